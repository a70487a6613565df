"""One home as a process of its own: the gateway's outbox, intake and uplink, and what they hear.

Made to be killed at any moment and started again on the same folder. A value is in ``measured.txt``
once the gateway has taken it from its device: from then on it may not be lost.

Only the boot-time clock, by which the gateway waits, runs :data:`SPEED` times as fast, so that what
it does after ten seconds or ten minutes can be seen in a test; the time of day is the machine's.
And a minute is let pass on it at the beginning of each connection: faults come as fast here as no
gateway would believe of anything but a second one of its name.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from devices.gatt import blood_pressure, temperature
from gateway.clock import ClockReading
from gateway.link import Broker
from gateway.main import DurableJournal
from gateway.uplink import STABLE_S
from hemma.broker import LOOPBACK
from tests.gateway.fix_home import STOCKHOLM, Home, make_home, uplinked

SPEED: Final = 30
TICK_S: Final = 0.05
YOUNG_S: Final = 0.3
# A home that was away for a while, or a cuff with a memory: values that waited, all at once.
BURST_SHARE: Final = 0.01
BURST_MAX: Final = 120
WAITED_MIN_S: Final = 15 * 60
WAITED_MAX_S: Final = 20 * 60 * 60
REST: Final = "rest"
MEASURED: Final = "measured.txt"
MINUTES: Final = "minutes.txt"


class Asked(msgspec.Struct, frozen=True):
    """What the process is told at its start, as JSON in its only argument.

    ``clock_zero_s`` is where the boot-time clock of this home began; ``pace_s`` the mean time
    between two values.
    """

    folder: str
    name: str
    port: int
    boot: str
    seed: str
    clock_zero_s: float
    pace_s: float


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a home, by the names under which they are bound."""

    cuff: str
    thermometer: str


def devices_of(name: str) -> Devices:
    """Return the devices of the home ``name``, which ends with its number."""
    number = int(name.rpartition("-")[2])
    return Devices(f"ble-c0ffee{number:06x}", f"ble-decade{number:06x}")


async def live(asked: Asked) -> None:
    """Measure, and send what was measured, until killed."""
    folder = Path(asked.folder)
    home = make_home(folder / "outbox.sqlite3", asked.boot)
    dice = random.Random(asked.seed)
    pace = Pace(home, asked)
    pace.keep()
    home.intake.take_all()
    taken = os.open(folder / MEASURED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    link = Broker(asked.name, LOOPBACK, asked.port, asked.name)
    async with uplinked(home, link):
        due_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            pace.keep()
            while due_s <= time.monotonic():
                due_s += dice.expovariate(1 / asked.pace_s)
                if not (folder / REST).exists():
                    _measure(home, devices_of(asked.name), dice, taken)


class Pace:
    """Pushes a home's boot-time clock to where it should be by now; the time of day stays."""

    def __init__(self, home: Home, asked: Asked) -> None:
        self._home = home
        self._clock_zero_s = asked.clock_zero_s
        # What was let pass is kept, so that the clock never goes back within a boot.
        self._path = Path(asked.folder) / MINUTES
        self._minutes = int(self._path.read_text()) if self._path.exists() else 0
        self._up_since_ms: int | None = None
        self._up_s = 0.0

    def keep(self) -> None:
        """Do it; call it often."""
        self._let_a_minute_pass()
        lived_s = time.clock_gettime(time.CLOCK_BOOTTIME) - self._clock_zero_s
        passed_s = (SPEED - 1) * lived_s + STABLE_S * self._minutes
        self._home.clock.pushed = timedelta(seconds=passed_s)
        self._home.clock.wrong = -self._home.clock.pushed
        self._home.bell.set()

    def _let_a_minute_pass(self) -> None:
        link = self._home.uplink.link if self._home.uplink is not None else None
        if link is None or not link.is_up:
            self._up_since_ms = None
        elif link.since_mono_ms != self._up_since_ms:
            self._up_since_ms, self._up_s = link.since_mono_ms, time.monotonic() + YOUNG_S
        elif 0 < self._up_s <= time.monotonic():
            self._up_s = 0.0
            replacement = self._path.with_suffix(".new")
            replacement.write_text(str(self._minutes + 1))
            replacement.replace(self._path)
            self._minutes += 1


def _measure(home: Home, devices: Devices, dice: random.Random, taken: int) -> None:
    if dice.random() >= BURST_SHARE:
        _take(home, devices, dice, taken, home.clock.read())
        return
    now, waited_s = home.clock.read(), dice.uniform(WAITED_MIN_S, WAITED_MAX_S)
    for _ in range(dice.randint(2, BURST_MAX)):
        waited_s = max(WAITED_MIN_S, waited_s - dice.uniform(1, 60))
        then = now.utc - timedelta(seconds=waited_s)
        mono_ms = now.mono_ms - round(waited_s * 1000)
        _take(home, devices, dice, taken, ClockReading(then, now.quality, mono_ms))


def _take(
    home: Home, devices: Devices, dice: random.Random, taken: int, when: ClockReading
) -> None:
    """Take one value as the gateway takes it out of the air, and note it once it is on disk."""
    is_cuff = dice.random() < 0.7
    device, characteristic = devices.cuff, blood_pressure.CHARACTERISTIC
    if is_cuff:
        raw = _pressure(dice, when.utc.astimezone(STOCKHOLM).replace(microsecond=0, tzinfo=None))
    else:
        device, characteristic = devices.thermometer, temperature.CHARACTERISTIC
        raw = temperature.encode(temperature.Temperature(round(dice.uniform(35.5, 40), 2)))
    journal = DurableJournal(home.outbox, lambda: when, asyncio.Event(), lambda *_: None)
    journal.append(dev=device, model="Virtual", characteristic=characteristic, raw=raw)
    os.write(taken, f"{device} {raw.hex()}\n".encode())
    home.intake.take_all()
    home.bell.set()


def _pressure(dice: random.Random, time: datetime) -> bytes:
    diastolic = dice.randint(50, 110)
    return blood_pressure.encode(
        blood_pressure.BloodPressure(
            systolic=diastolic + dice.randint(20, 140),
            diastolic=diastolic,
            mean=diastolic + dice.randint(5, 19),
            time=time,
            pulse_bpm=dice.randint(45, 120),
        )
    )


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    asyncio.run(live(msgspec.json.decode(sys.argv[1], type=Asked)))
