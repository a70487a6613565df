"""An invented home: a gateway radio and four devices on one in-process link.

``async with VirtualHome(seed=1) as home`` gives ``home.scanner_backend`` and
``home.client_backend`` for bleak's ``backend=`` and ``home.devices`` by what they are. Addresses
and clock errors come from the seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, tzinfo
from types import TracebackType
from zoneinfo import ZoneInfo

from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import BaseBleakScanner
from bumble.link import LocalLink

from devices.virtual.backend import Central, backends
from devices.virtual.cuff import CUFF
from devices.virtual.device import Clocks, Design, VirtualDevice
from devices.virtual.link import controller_device
from devices.virtual.oximeter import OXIMETER
from devices.virtual.scale import SCALE
from devices.virtual.thermometer import THERMOMETER

DESIGNS: Mapping[str, Design] = {
    "cuff": CUFF,
    "scale": SCALE,
    "thermometer": THERMOMETER,
    "oximeter": OXIMETER,
}
CLOCK_ERROR_MAX_S = 45 * 60
"""How wrong a device's clock may be before anybody set it, either way."""


def addresses(seed: int) -> tuple[str, ...]:
    """Five random static addresses for ``seed``: the gateway's radio, then the devices.

    ``AA:BB:CC:DD:EE:FF`` in upper case; the two highest bits are set, as such an address has them.
    """
    rng = random.Random(f"hemma-address-{seed}")
    return tuple(
        ":".join(f"{byte:02X}" for byte in (rng.randrange(0xC0, 0x100), *rng.randbytes(4), n + 1))
        for n in range(1 + len(DESIGNS))
    )


class VirtualHome:
    """The home. Enter it inside a running event loop; nothing of it is left when it is left.

    ``utc`` and ``mono_s`` are the home's true clocks; ``window_s`` replaces the designs'
    advertising windows where a test has no time.
    """

    scanner_backend: type[BaseBleakScanner]
    client_backend: type[BaseBleakClient]
    devices: Mapping[str, VirtualDevice]

    def __init__(
        self,
        seed: int = 1,
        *,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        mono_s: Callable[[], float] = time.monotonic,
        zone: tzinfo | None = None,
        window_s: float | None = None,
    ) -> None:
        self._seed = seed
        self._clocks = Clocks(utc, mono_s, zone or ZoneInfo("Europe/Stockholm"))
        self._window_s = window_s
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> VirtualHome:
        self.link = LocalLink()  # type: ignore[no-untyped-call]
        names = addresses(self._seed)
        controller, radio = controller_device(self.link, name="gateway", address=names[0])
        await radio.power_on()
        self._stack.push_async_callback(radio.power_off)
        self.central = Central(radio, controller)
        self.scanner_backend, self.client_backend = backends(self.central)
        rng = random.Random(f"hemma-clock-{self._seed}")
        devices: dict[str, VirtualDevice] = {}
        for (name, design), address in zip(DESIGNS.items(), names[1:], strict=True):
            devices[name] = await self._join(design, address, rng)
        self.devices = devices
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _join(self, design: Design, address: str, rng: random.Random) -> VirtualDevice:
        _, radio = controller_device(self.link, name=design.local_name, address=address)
        device = VirtualDevice(
            design=design,
            address=address,
            clocks=self._clocks,
            radio=radio,
            clock_offset=timedelta(seconds=rng.randint(-CLOCK_ERROR_MAX_S, CLOCK_ERROR_MAX_S)),
            battery_percent=rng.randint(55, 95),
            window_s=self._window_s if self._window_s is not None else design.window_s,
        )
        await device.power_on()
        self._stack.push_async_callback(radio.power_off)
        self._stack.push_async_callback(radio.stop_advertising)
        self._stack.push_async_callback(device.drop_link)
        return device
