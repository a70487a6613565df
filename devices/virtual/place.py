"""A place with virtual devices and no radio of ours: whoever listens there is somebody else's host.

``async with Place(seed=1) as place`` gives ``await place.add("cuff")`` and
``await place.attach("unix:/path")``: a controller on the same air whose host is at the other end of
an HCI transport, such as BlueZ on a real kernel. Addresses, clock errors and batteries come from
the seed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from bumble.controller import Controller
from bumble.transport import open_transport
from bumble.transport.common import Transport

from devices.virtual.air import Air, AirController, controller_for_a_kernel
from devices.virtual.designs import DESIGNS
from devices.virtual.device import Clocks, Design, VirtualDevice
from devices.virtual.faults import NO_FAULTS, Faults
from devices.virtual.link import controller_device

CLOCK_ERROR_MAX_S = 45 * 60
"""How wrong a device's clock may be before anybody set it, either way."""
PASSKEYS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Attached:
    controller: AirController
    transport: Transport


class Place:
    """The place. Enter it inside a running event loop; nothing of it is left when it is left.

    ``utc`` and ``mono_s`` are the place's true clocks; ``window_s`` replaces the designs'
    advertising windows where a test has no time.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        mono_s: Callable[[], float] = time.monotonic,
        zone: tzinfo | None = None,
        window_s: float | None = None,
    ) -> None:
        self.seed = seed
        self.clocks = Clocks(utc, mono_s, zone or ZoneInfo("Europe/Stockholm"))
        self._window_s = window_s
        self._addresses = random.Random(f"hemma-place-{seed}")
        self._rng = random.Random(f"hemma-clock-{seed}")
        self._passkeys = random.Random(f"hemma-passkey-{seed}")
        self._given = 0
        self._devices: dict[str, tuple[VirtualDevice, AirController]] = {}
        self._attached: list[_Attached] = []

    async def __aenter__(self) -> Place:
        self.link = Air()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async with AsyncExitStack() as stack:
            for attached in self._attached:
                stack.push_async_callback(self._detach, attached)
            for device in self.devices:
                stack.push_async_callback(self.remove, device)

    @property
    def devices(self) -> tuple[VirtualDevice, ...]:
        """The devices that are here, oldest first."""
        return tuple(device for device, _ in self._devices.values())

    async def add(
        self,
        design: Design | str,
        *,
        address: str | None = None,
        battery_percent: int | None = None,
        clock_offset: timedelta | None = None,
        faults: Faults = NO_FAULTS,
    ) -> VirtualDevice:
        """Bring a device of this design (or its name in ``DESIGNS``); it sleeps until it is used.

        ``address`` is a random static one (``C0:…`` or above), default one never given out before.
        ``clock_offset`` is how far its clock is ahead. What is None comes from the seed.
        """
        design = DESIGNS[design] if isinstance(design, str) else design
        address = address or self._new_address()
        offset_s = self._rng.randint(-CLOCK_ERROR_MAX_S, CLOCK_ERROR_MAX_S)
        battery = self._rng.randint(55, 95)
        controller, radio = controller_device(self.link, name=design.local_name, address=address)
        device = VirtualDevice(
            design=design,
            address=address,
            clocks=self.clocks,
            radio=radio,
            clock_ahead=timedelta(seconds=offset_s) if clock_offset is None else clock_offset,
            passkey=self._passkeys.randrange(PASSKEYS),
            battery_percent=battery if battery_percent is None else battery_percent,
            window_s=design.window_s if self._window_s is None else self._window_s,
            faults=faults,
        )
        self._devices[address] = device, controller
        await device.power_on()
        return device

    async def remove(self, device: VirtualDevice) -> None:
        """Take a device away, its link first; one that is not here is fine."""
        _, controller = self._devices.pop(device.address, (None, None))
        if controller is None:
            return
        await device.drop_link()
        await device.radio.stop_advertising()
        await device.radio.power_off()
        controller.fall_silent()
        self.link.remove_controller(controller)

    async def attach(self, transport_spec: str, *, address: str | None = None) -> Controller:
        """Put a controller on the air for the host at the other end of ``transport_spec``.

        The spec is one of Bumble's: ``unix:/path``, ``tcp-client:host:port``, ``vhci``,
        ``hci-socket:0``. ``address`` is the host's public address, default from the seed. The
        socket must exist already; when it closes, the controller leaves the air. Raises ``OSError``
        where nobody listens there.
        """
        transport = await open_transport(transport_spec)
        controller = controller_for_a_kernel(
            self.link, f"host-{len(self._attached)}", address or self._new_public_address()
        )
        controller.set_packet_sink(transport.sink)
        transport.source.set_packet_sink(controller)
        attached = _Attached(controller, transport)
        self._attached.append(attached)
        terminated: asyncio.Future[Any] = transport.source.terminated
        terminated.add_done_callback(lambda _done: self._silence(attached))
        return controller

    async def detach(self, controller: Controller) -> None:
        """Take a controller of :meth:`attach` off the air and close its transport."""
        for attached in [one for one in self._attached if one.controller is controller]:
            await self._detach(attached)

    async def _detach(self, attached: _Attached) -> None:
        self._silence(attached)
        await attached.transport.close()

    def _silence(self, attached: _Attached) -> None:
        if attached in self._attached:
            self._attached.remove(attached)
            attached.controller.set_packet_sink(None)
            attached.controller.fall_silent()
            self.link.remove_controller(attached.controller)

    def _new_address(self) -> str:
        return self._address(first=self._addresses.randrange(0xC0, 0x100))

    def _new_public_address(self) -> str:
        return self._address(first=0x00)

    def _address(self, *, first: int) -> str:
        self._given += 1
        rest = self._addresses.randbytes(3) + self._given.to_bytes(2, "big")
        return ":".join(f"{byte:02X}" for byte in (first, *rest))
