"""Subscriptions on BlueZ that are there before the link is, and stay between links.

A bonded cuff that remembers its subscription sends as soon as the link is encrypted. bluetoothd
confirms each indication by itself, whether anybody listens or not, and the cuff deletes what was
confirmed. So whoever subscribes after connecting (bleak) can lose a value. Here every
characteristic of every paired device is subscribed to on the gateway's own bus connection as soon
as BlueZ has an object for it; BlueZ keeps that while the device is away and renews it before it
reads the first byte of the next link.

What BlueZ does, as its ``src/gatt-client.c`` shows and the tests on the real stack confirm:

* Objects of a bonded device stay when it disconnects; those of any other device go.
* After bluetoothd or the adapter came back there are none until the first link was searched
  through; a value that comes before that is confirmed and lost. Such links are counted
  (``blind_links``).
* Each notification is its own ``PropertiesChanged``, also for the same bytes: none is merged.
* A read is told by the same signal as a notification (:meth:`Subscriptions.reading`).
* A subscription that the device refuses at the start of a link is dropped without a word, so each
  is asked for again in the link and before the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from dbus_fast import Message

from devices.conversation import Disconnected, Notified
from devices.profiles import PROFILES
from gateway.ble.bus import BusAway, BusError, SystemBus
from gateway.ble.journal import JOURNAL_ERRORS, Journal
from gateway.ble.objects import CHARACTERISTIC, DEVICE, Objects, device_path_of
from gateway.ble.uuids import short_uuid, subscribable
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""How often the list of paired devices is looked at for one that was enrolled meanwhile."""
IN_PROGRESS = "org.bluez.Error.InProgress"
"""Held already: BlueZ's answer while the device is away."""

FLAP_MAX_S = 1.0
FLAPS = 3
"""So many links in a row that were gone within a second, and without services, are a refusal. A
device that forgot its bond: 30 ms each. One at the edge of reach can do the same, by bad luck."""

Route = Callable[[Notified | Disconnected], None]


@dataclass(frozen=True, slots=True)
class _Source:
    """Whose values come from an object's path."""

    paired: PairedDevice
    characteristic: str


@dataclass(slots=True)
class _Flaps:
    """The links of one attempt that were gone at once; ``too_many`` is set when that is enough."""

    count: int = 0
    since_s: float | None = None
    has_come_up: bool = False
    too_many: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self, changed: Mapping[str, Any], now_s: float) -> None:
        if "ServicesResolved" in changed and changed["ServicesResolved"].value:
            self.since_s = None
        if "Connected" not in changed:
            return
        if changed["Connected"].value:
            self.since_s, self.has_come_up = now_s, True
        elif self.since_s is not None and now_s - self.since_s <= FLAP_MAX_S:
            self.count += 1
            if self.count >= FLAPS:
                self.too_many.set()


@dataclass(slots=True)
class Counts:
    """What was counted since the start.

    ``values`` came in all, ``early`` of them before a conversation asked for them, ``unkept`` could
    not be kept though BlueZ had confirmed them. ``blind_links`` began while BlueZ had no objects
    for a bonded device.
    """

    values: int = 0
    early: int = 0
    unkept: int = 0
    blind_links: int = 0


class Subscriptions:
    """Holds the subscriptions of the paired devices; journals each value before anything else.

    Make it before ``bus.run()`` starts, and run :meth:`run` in a task of its own.
    """

    def __init__(
        self, bus: SystemBus, *, paired: Callable[[], Sequence[PairedDevice]], journal: Journal
    ) -> None:
        self.counts = Counts()
        self.bus = bus
        self._paired = paired
        self._journal = journal
        self._sources: dict[str, _Source] = {}
        self._watched: dict[str, PairedDevice] = {}
        self._routes: dict[str, Route] = {}
        self._reading: dict[str, list[bytes]] = {}
        self._asked: set[str] = set()
        self._unasked: set[str] = set()
        self._flaps: dict[str, _Flaps] = {}
        self._to_hang_up: set[str] = set()
        self._addresses: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._holding = asyncio.Lock()
        bus.on_bluez(self._on_bluez)
        bus.on_signal(self._on_signal)

    async def run(self) -> None:
        """Hold whatever is to be held, whenever something changed; until cancelled."""
        held_for: Sequence[PairedDevice] | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            is_changed = self._changed.is_set()
            self._changed.clear()
            paired = self._known()
            if not self.bus.is_bluez_here or (paired == held_for and not is_changed):
                continue
            try:
                await self._hang_up()
                await self.hold()
                held_for = paired
            except (BusError, BusAway) as error:
                held_for = None
                log.info("subscriptions_wait", error=str(error))

    async def hold(self, only: str | None = None) -> None:
        """Subscribe to whatever BlueZ has objects for; to the address ``only`` where it is given.

        What is held already stays. Raises BusAway, and BusError where BlueZ tells nothing.
        """
        async with self._holding:
            objects = await self.bus.managed_objects()
            for paired in self._known():
                if only is None or paired.address == only:
                    await self._hold_device(paired, objects)

    async def prepare(self, paired: PairedDevice) -> bool:
        """Call before linking up with ``paired``; raises BusAway and BusError.

        Returns False where BlueZ has no objects for a device that it is bonded with, as after
        bluetoothd or the adapter came back: a value that comes early on the next link is lost then.
        """
        await self.hold(paired.address)
        if any(source.paired == paired for source in self._sources.values()):
            return True
        device = (await self.bus.managed_objects()).device(paired.address)
        if device is None or not device.is_bonded:
            return True
        self.counts.blind_links += 1
        log.warning("link_before_objects", dev=paired.dev)
        return False

    async def subscribe(self, paired: PairedDevice, path: str, characteristic: str) -> None:
        """Subscribe within a link; raises BusError where the device refuses, BusAway."""
        self._sources[path] = _Source(paired, characteristic)
        self._asked.add(path)
        self._unasked.discard(paired.dev)
        await self._start(path)

    @contextmanager
    def routed(self, paired: PairedDevice, route: Route) -> Iterator[None]:
        """Hand ``paired``'s values, once they are kept, to ``route`` while the block lasts."""
        self._routes[paired.dev] = route
        self._flaps[paired.dev] = _Flaps()
        self._asked.clear()
        profile = PROFILES.get(paired.profile)
        if profile is not None and profile.clock is not None:
            self._unasked.add(paired.dev)
        try:
            yield
        finally:
            self._unasked.discard(paired.dev)
            del self._routes[paired.dev], self._flaps[paired.dev]

    def awaits_clock(self, dev: str) -> bool:
        """Tell whether a link with ``dev`` is under way whose clock may still be read.

        It is read before anything is asked for, and values may come before that.
        """
        return dev in self._unasked

    def has_come_up(self, paired: PairedDevice) -> bool:
        """Tell whether there was a link at all, however short; within routed()."""
        return self._flaps[paired.dev].has_come_up

    def flaps(self, paired: PairedDevice) -> asyncio.Event:
        """Return what is set when the device refuses one link after the other; within routed()."""
        return self._flaps[paired.dev].too_many

    @contextmanager
    def reading(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """Read the characteristic at ``path`` in this block, and call what is given with the value.

        BlueZ tells a read like a notification. One value equal to what was read is left out, any
        other is kept: with equal bytes it makes no difference which of the two it was.
        """
        heard = self._reading.setdefault(path, [])
        try:
            yield partial(_leave_out, heard)
        finally:
            self._reading.pop(path, None)
            for raw in heard:
                self._on_value(path, raw)

    async def _hold_device(self, paired: PairedDevice, objects: Objects) -> None:
        profile = PROFILES.get(paired.profile)
        device = objects.device(paired.address)
        if profile is None or device is None:
            return
        self._watched[device.path] = paired
        await self.bus.watch(device.path)
        wanted = subscribable(profile)
        for characteristic in objects.characteristics(device.path):
            name = short_uuid(characteristic.uuid)
            if name not in wanted or not characteristic.is_subscribable:
                continue
            self._sources[characteristic.path] = _Source(paired, name)
            try:
                await self._start(characteristic.path)
            except BusError as error:
                # It is asked for again in the link; only then does the device's refusal count.
                log.info(
                    "subscription_waits", dev=paired.dev, characteristic=name, error=str(error)
                )

    async def _start(self, path: str) -> None:
        try:
            await self.bus.call(path, CHARACTERISTIC, "StartNotify")
        except BusError as error:
            if error.name != IN_PROGRESS:
                raise

    async def _on_bluez(self, is_here: bool) -> None:
        self._sources.clear()
        self._watched.clear()
        if is_here:
            self._changed.set()
            return
        # bluetoothd took its links with it, and nobody is left to say so.
        for route in self._routes.values():
            route(Disconnected())

    def _on_signal(self, message: Message) -> None:
        match message.member:
            case "PropertiesChanged":
                self._on_change(str(message.path), message.body[0], message.body[1])
            case "InterfacesAdded":
                if CHARACTERISTIC in message.body[1] or DEVICE in message.body[1]:
                    self._look_at(message.body[0])
            case "InterfacesRemoved":
                self._sources.pop(message.body[0], None)
            case _:
                pass

    def _on_change(self, path: str, interface: str, changed: Mapping[str, Any]) -> None:
        if interface == CHARACTERISTIC and "Value" in changed:
            raw = bytes(changed["Value"].value)
            if (window := self._reading.get(path)) is not None:
                window.append(raw)
            else:
                self._on_value(path, raw)
        elif interface == DEVICE and (paired := self._watched.get(path)) is not None:
            if (flaps := self._flaps.get(paired.dev)) is not None:
                flaps.changed(changed, asyncio.get_running_loop().time())
            if "Connected" in changed:
                # After a link whatever the device refused is asked for again.
                self._changed.set()

    def _look_at(self, path: str) -> None:
        device_path = device_path_of(path)
        address = device_path.rpartition("/dev_")[2].replace("_", ":")
        if device_path in self._watched or address in self._addresses:
            self._changed.set()

    def _known(self) -> Sequence[PairedDevice]:
        paired = self._paired()
        self._addresses = frozenset(device.address for device in paired)
        return paired

    def _on_value(self, path: str, raw: bytes) -> None:
        source = self._sources.get(path)
        if source is None:
            return
        paired, characteristic = source.paired, source.characteristic
        kept = self._keep(paired, characteristic, raw)
        self.counts.values += 1
        if path not in self._asked:
            self.counts.early += 1
            log.info("early_value", dev=paired.dev, characteristic=characteristic)
        if route := self._routes.get(paired.dev):
            route(Notified(characteristic, raw, kept))
        elif not kept:
            self._to_hang_up.add(device_path_of(path))
            self._changed.set()

    async def _hang_up(self) -> None:
        """End links that nobody holds a conversation on and whose values could not be kept."""
        while self._to_hang_up:
            await self.bus.call(self._to_hang_up.pop(), DEVICE, "Disconnect")

    def _keep(self, paired: PairedDevice, characteristic: str, raw: bytes) -> bool:
        try:
            self._journal.append(
                dev=paired.dev, model=paired.model, characteristic=characteristic, raw=raw
            )
        except JOURNAL_ERRORS:
            # bluetoothd has confirmed it already: said as loudly as can be, and the link ends
            # before the device sends more.
            self.counts.unkept += 1
            log.exception(
                "value_not_kept",
                dev=paired.dev,
                characteristic=characteristic,
            )
            return False
        return True


def _leave_out(heard: list[bytes], raw: bytes) -> None:
    with suppress(ValueError):
        heard.remove(raw)
