"""Whether there is a radio to use: bluetoothd and the adapter, gone and back.

When bluetoothd dies it takes links, subscriptions, agent and scan with it and tells nobody; bleak
then waits for its time-outs. The bus does say that the name lost its owner: whoever listens stops
at once, the state is "absent", and everything is built again when it is back (``bus.on_bluez`` for
agent and subscriptions, :attr:`Watch.usable` for the scan).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import structlog
from dbus_fast import Message

from gateway.ble.bus import BusAway, BusError, SystemBus
from gateway.ble.objects import ADAPTER, Adapter

log = structlog.get_logger(__name__)

POWER_RETRY_S = 5.0
"""Between tries to switch an adapter on that somebody, or rfkill, has switched off."""


class Watch:
    """Follows bluetoothd and the adapters; switches an adapter on that is off.

    ``usable`` is set while there is a powered adapter, ``lost`` while there is none. ``counts`` has
    ``bluetoothd_restarts``, ``adapter_lost`` and ``adapter_powered`` since the start. Make it
    before ``bus.run()`` starts, and run :meth:`run` in a task of its own.
    """

    def __init__(self, bus: SystemBus) -> None:
        self.usable = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._hands_off = False
        self._changed = asyncio.Event()
        bus.on_bluez(self._on_bluez)
        bus.on_signal(self._on_signal)

    async def run(self) -> None:
        """Look whenever something changed, and now and then while no adapter is usable."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.usable.is_set() else POWER_RETRY_S):
                    await self._changed.wait()
            self._changed.clear()
            if self._bus.is_bluez_here:
                with suppress(BusError, BusAway):
                    await self._look()

    async def adapter(self) -> Adapter | None:
        """Return the adapter that is ours, powered or not; raises BusAway and BusError."""
        adapters = (await self._bus.managed_objects()).adapters
        return min(adapters, key=lambda adapter: not adapter.is_powered, default=None)

    async def power_cycle(self) -> None:
        """Switch the adapter off and on again; raises BusAway and BusError."""
        adapter = await self.adapter()
        if adapter is None:
            return
        self._hands_off = True
        try:
            await self._power(adapter, on=False)
        finally:
            self._hands_off = False
            self._changed.set()
        await self._power(adapter, on=True)

    async def _look(self) -> None:
        adapter = await self.adapter()
        self._is_usable(adapter is not None and adapter.is_powered)
        if adapter is None or adapter.is_powered or self._hands_off:
            return
        log.warning("adapter_is_off", adapter=adapter.path)
        await self._power(adapter, on=True)
        self.counts["adapter_powered"] += 1

    async def _power(self, adapter: Adapter, *, on: bool) -> None:
        await self._bus.set_property(adapter.path, ADAPTER, "Powered", "b", on)

    async def _on_bluez(self, is_here: bool) -> None:
        if is_here:
            self.counts["bluetoothd_restarts"] = self._bus.bluez_starts - 1
        else:
            self._is_usable(False)
        self._changed.set()

    def _on_signal(self, message: Message) -> None:
        if message.member == "PropertiesChanged":
            is_adapter = message.body[0] == ADAPTER and "Powered" in message.body[1]
        else:
            is_adapter = message.member in ("InterfacesAdded", "InterfacesRemoved") and (
                ADAPTER in message.body[1]
            )
        if is_adapter:
            self._changed.set()

    def _is_usable(self, is_usable: bool) -> None:
        if is_usable and not self.usable.is_set():
            log.info("adapter_here")
            self.usable.set()
            self.lost.clear()
        elif not is_usable and self.usable.is_set():
            log.warning("adapter_lost", bluez=self._bus.is_bluez_here)
            self.counts["adapter_lost"] += 1
            self.usable.clear()
            self.lost.set()
