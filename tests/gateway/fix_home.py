"""A home without a radio: outbox, intake and uplink wired as in the real process, on a clock that
tests may push forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from devices import wire
from devices.gatt import blood_pressure
from devices.wire import ClockQuality
from gateway.answers import Answers
from gateway.clock import ClockReading, SystemClock
from gateway.health import Health
from gateway.intake import Intake
from gateway.link import Broker
from gateway.main import DurableJournal
from gateway.outbox import Outbox
from gateway.settings import QUOTA_BYTES
from gateway.uplink import Uplink

CUFF = "ble-c0ffee000001"
STOCKHOLM = ZoneInfo("Europe/Stockholm")
KERNEL_BOOT = "11111111-1111-4111-8111-111111111111"
PATIENCE_S = 10.0


@dataclass
class PushedClock:
    """The machine's clock, pushed forward as a test likes, always synchronised unless told.

    ``wrong`` is how far the wall clock is ahead of the time.
    """

    quality: ClockQuality = "ntp"
    pushed: timedelta = timedelta(0)
    wrong: timedelta = timedelta(0)

    def read(self) -> ClockReading:
        reading = SystemClock(lambda: True).read()
        return ClockReading(
            reading.utc + self.pushed + self.wrong,
            self.quality,
            reading.mono_ms + self.pushed // timedelta(milliseconds=1),
        )

    def push(self, seconds: float) -> None:
        self.pushed += timedelta(seconds=seconds)


def cuff_value(systolic: float, time: datetime | None = None) -> bytes:
    """What a cuff would send."""
    return blood_pressure.encode(
        blood_pressure.BloodPressure(systolic=systolic, diastolic=80, mean=95, time=time)
    )


@dataclass
class Home:
    """One gateway's parts; ``events`` is what it told."""

    outbox: Outbox
    clock: PushedClock
    journal: DurableJournal
    intake: Intake
    bell: asyncio.Event
    events: list[tuple[str, Mapping[str, object]]]
    uplink: Uplink | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def measure(self, systolic: float, time: datetime | None = None) -> None:
        self.journal.append(
            dev=CUFF,
            model="Virtual cuff",
            characteristic="2A35",
            raw=cuff_value(systolic, time),
        )
        self.intake.take_all()
        self.bell.set()

    def push(self, seconds: float) -> None:
        self.clock.push(seconds)
        self.bell.set()

    def told(self, event: str) -> list[int]:
        return [int(str(fields["seq"])) for name, fields in self.events if name == event]


def make_home(path: Path, kernel_boot: str = KERNEL_BOOT, quota_bytes: int = QUOTA_BYTES) -> Home:
    clock, bell = PushedClock(), asyncio.Event()
    events: list[tuple[str, Mapping[str, object]]] = []

    def on_event(name: str, fields: Mapping[str, object]) -> None:
        events.append((name, fields))

    outbox = Outbox(path, kernel_boot, quota_bytes=quota_bytes)
    intake_bell = asyncio.Event()
    intake = Intake(
        outbox=outbox, zone=STOCKHOLM, bell=intake_bell, uplink_bell=bell, on_event=on_event
    )
    journal = DurableJournal(outbox, clock.read, intake_bell, on_event)
    return Home(outbox, clock, journal, intake, bell, events)


def written_items(home: Home) -> list[wire.Item]:
    """Every item in the outbox, of any age, in the order in which it was written."""
    rows = home.outbox.connection.execute("SELECT item FROM outbox ORDER BY rowid")
    return [wire.decode_item(row["item"]) for row in rows]


@asynccontextmanager
async def uplinked(home: Home, broker: Broker, key: bytes | None = None) -> AsyncIterator[Home]:
    """``home`` with its uplink running to ``broker``."""

    def on_event(name: str, fields: Mapping[str, object]) -> None:
        home.events.append((name, fields))

    stop = asyncio.Event()
    home.uplink = Uplink(
        broker=broker,
        outbox=home.outbox,
        clock=home.clock.read,
        answers=Answers(
            outbox=home.outbox,
            gateway=broker.name,
            key=key,
            clock=home.clock.read,
            jitter=lambda: 0.0,
        ),
        status=Health(
            outbox=home.outbox, clock=home.clock.read, radio=None, data=home.outbox.path.parent
        ),
        bell=home.bell,
        jitter=lambda: 0.0,
        on_event=on_event,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(home.uplink.run(stop))
        try:
            yield home
        finally:
            stop.set()
            home.bell.set()


async def until(is_so: object, patience_s: float = PATIENCE_S) -> None:
    """Wait until ``is_so()`` holds; fails loudly when it never does."""
    assert callable(is_so)
    async with asyncio.timeout(patience_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for is in other threads
            await asyncio.sleep(0.01)


def items_of(payload: bytes) -> Iterator[wire.Item]:
    envelope = wire.decode_envelope(payload)
    return (wire.decode_item(raw) for raw in envelope.items)
