"""A device's own clock, as it is read, written and stamped: 2A08, 2A2B and 2A0F.

It runs with the place's time, off by an offset; a write corrects it. It shows local time and knows
no zone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from bumble.att import ATT_WRITE_NOT_PERMITTED_ERROR, ATT_Error

from devices.errors import DecodeError
from devices.gatt import current_time, date_time, local_time

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice

SAME_MOMENT = timedelta(minutes=1)
QUARTER_MIN = 15
OUT_OF_RANGE = 0xFF
"""ATT's "Out of Range" (Core Specification Supplement, part B, 1.2)."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The place's clocks: true UTC, monotonic seconds, and the zone it lies in."""

    utc: Callable[[], datetime]
    mono_s: Callable[[], float]
    zone: tzinfo


@dataclass(slots=True)
class DeviceClock:
    """The clock of ``device``; ``offset`` is how far it is ahead, faults apart."""

    device: VirtualDevice
    offset: timedelta
    _last_stamp: datetime | None = None

    def now(self, at: datetime | None = None) -> datetime:
        """What it shows at ``at`` (default now): local, naive, whole seconds."""
        clocks = self.device.clocks
        local = (at or clocks.utc()).astimezone(clocks.zone).replace(tzinfo=None)
        return (local + self.offset + self.device.faults.clock_error).replace(microsecond=0)

    def stamp(self, at: datetime | None) -> datetime:
        """What a value measured at ``at`` is stamped with; no two alike within a minute."""
        stamp = self.now(at)
        last = self._last_stamp
        if last is not None and timedelta(0) <= last - stamp < SAME_MOMENT:
            # No device measures twice in a second, so no two of its records may look the same.
            stamp = last + timedelta(seconds=1)
        self._last_stamp = stamp
        return stamp

    def read(self, uuid: str) -> bytes | None:
        """Return what is read at a clock's characteristic, None elsewhere."""
        match uuid:
            case date_time.CHARACTERISTIC:
                return date_time.encode(None if self.device.faults.clock_absent else self.now())
            case current_time.CHARACTERISTIC if self.device.faults.clock_absent:
                return bytes(current_time.LENGTH)
            case current_time.CHARACTERISTIC:
                return current_time.encode(self.now())
            case local_time.CHARACTERISTIC:
                return local_time.encode(*self._zone())
            case _:
                return None

    def write(self, uuid: str, raw: bytes) -> bool:
        """Take a write of the clock; False where ``uuid`` is none. Raises ``ATT_Error``."""
        if uuid not in (date_time.CHARACTERISTIC, current_time.CHARACTERISTIC):
            return False
        if self.device.faults.refuses_clock:
            raise ATT_Error(ATT_WRITE_NOT_PERMITTED_ERROR)
        codec = date_time if uuid == date_time.CHARACTERISTIC else current_time
        try:
            told = codec.read(raw)
        except DecodeError as error:
            raise ATT_Error(OUT_OF_RANGE) from error
        if told is not None:
            self.set(told)
        return True

    def set(self, told: datetime) -> None:
        """Set it to naive local ``told``; what was wrong with it is over."""
        self.device.switch_off("clock_error", "clock_absent")
        self.offset += told - self.now()

    def _zone(self) -> tuple[int, int]:
        here = self.device.clocks.utc().astimezone(self.device.clocks.zone)
        dst = here.dst() or timedelta(0)
        whole = here.utcoffset() or timedelta(0)
        return _minutes(whole - dst), _minutes(dst)


def without_time(raw: bytes, stamp: datetime | None) -> bytes:
    """Return ``raw`` with year 0 in place of its time stamp, as a clock that was never set has."""
    if stamp is None:
        return raw
    return raw.replace(date_time.encode(stamp), date_time.encode(None), 1)


def _minutes(delta: timedelta) -> int:
    return round(delta.total_seconds() / 60 / QUARTER_MIN) * QUARTER_MIN
