"""An invented home with a listening gateway, a journal in memory and the machine's clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from devices.virtual.backend import BumbleScanner
from devices.virtual.device import VirtualDevice
from devices.virtual.home import VirtualHome
from gateway.ble.connect import Limits
from gateway.ble.health import RadioHealth
from gateway.ble.listen import listen
from gateway.ble.radio import Radio
from gateway.clock import ClockReading, SystemClock
from gateway.errors import StorageFull
from gateway.paired import PairedDevice

QUICK = Limits(connect_s=1.0, pair_s=3.0, step_s=2.0, hang_up_s=1.0, tick_s=0.1)


@dataclass(frozen=True)
class Kept:
    """A row of the journal."""

    dev: str
    model: str
    characteristic: str
    raw: bytes


@dataclass
class MemoryJournal:
    """A journal that keeps in memory, and can be full."""

    rows: list[Kept] = field(default_factory=list)
    refuse: Callable[[Kept], bool] = lambda _row: False
    on_append: Callable[[Kept], None] = lambda _row: None

    def append(self, *, dev: str, model: str, characteristic: str, raw: bytes) -> None:
        row = Kept(dev, model, characteristic, raw)
        self.on_append(row)
        if self.refuse(row):
            raise StorageFull("The outbox is full.", "Wait for the server.")
        self.rows.append(row)

    def values(self, characteristic: str) -> list[bytes]:
        return [row.raw for row in self.rows if row.characteristic == characteristic]


@dataclass
class Listening:
    """What a test sees of a gateway that listens."""

    home: VirtualHome
    journal: MemoryJournal
    health: RadioHealth
    paired: list[PairedDevice]
    task: asyncio.Task[None]

    def pair(self, device: VirtualDevice) -> None:
        self.paired.append(paired_device(device))


class TellsOnce(BumbleScanner):
    """Tells of each device once in a scan, as BlueZ 5.82 does while nothing about it changes."""

    def call_detection_callbacks(self, device: BLEDevice, data: AdvertisementData) -> None:
        told: set[str] = self.__dict__.setdefault("told", set())
        if device.address not in told:
            told.add(device.address)
            super().call_detection_callbacks(device, data)


def paired_device(device: VirtualDevice) -> PairedDevice:
    return PairedDevice(device.address, device.model, device.profile)


@asynccontextmanager
async def listening(
    *names: str,
    seed: int = 1,
    window_s: float = 5.0,
    limits: Limits = QUICK,
    clock: Callable[[], ClockReading] | None = None,
    health: RadioHealth | None = None,
    tells_once: bool = False,
) -> AsyncIterator[Listening]:
    """A home whose devices ``names`` are paired, and a gateway listening to it.

    With ``tells_once`` its scans are like those of BlueZ 5.82.
    """
    async with VirtualHome(seed=seed, window_s=window_s) as home:
        paired = [paired_device(home.devices[name]) for name in names]
        journal, health = MemoryJournal(), health or RadioHealth()
        scanner = home.scanner_backend
        if tells_once:
            scanner = type("Scanner", (TellsOnce,), {"central": home.central})
        task = asyncio.create_task(
            listen(
                radio=Radio(scanner, home.client_backend),
                paired=lambda: paired,
                journal=journal,
                clock=clock or SystemClock(synchronised=lambda: True).read,
                health=health,
                limits=limits,
            )
        )
        try:
            yield Listening(home, journal, health, paired, task)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait until ``condition`` holds; fails after ``limit_s``."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the condition is somebody else's plain state
            await asyncio.sleep(0.005)
