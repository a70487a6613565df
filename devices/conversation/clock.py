"""The device's clock (2A08 or 2A2B): read it, note how wrong it is, then set it.

What the device kept until now carries the time of its clock as it was, so the offset is noted, and
the bytes are kept, *before* the clock is corrected. A clock that was never set (year 0) has no
offset; one that answers nonsense is set like any other. A clock that cannot be set costs no value:
its offset is read at each link. Only where it is far off does somebody hear of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from devices.conversation.commands import (
    Command,
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    WriteValue,
)
from devices.errors import DecodeError
from devices.gatt import current_time, date_time

CLOCK_RIGHT_S = 2.0
"""A device's clock counts whole seconds; nearer than this it is called right."""
CLOCK_FAR_OFF_S = 600.0
"""A value further ahead than this is not believed; it lives from the correction alone."""
_EXTERNAL_REFERENCE = 0b10


@dataclass(slots=True)
class DeviceClock:
    """The clock that a device has, as ``characteristic``, and how far off it was."""

    characteristic: str
    _is_far_off: bool = False

    def told(self, raw: bytes, now: Moment) -> tuple[Command, ...]:
        """Take what was read; returns what to keep and to note of it."""
        try:
            told = self._read(raw)
        except DecodeError:
            return ()
        if now.local is None:
            # Kept for the day our own clock is known; until then nobody can say which one is wrong.
            return (Keep(self.characteristic, raw),)
        offset_s = None if told is None else (told - now.local).total_seconds()
        self._is_far_off = offset_s is None or abs(offset_s) >= CLOCK_FAR_OFF_S
        if offset_s is not None and abs(offset_s) < CLOCK_RIGHT_S:
            return (NoteClock(offset_s),)
        # Beside the values that follow, this is what tells later how wrong their times are.
        return (Keep(self.characteristic, raw), NoteClock(offset_s))

    def set(self, local: datetime) -> WriteValue:
        """Return the write that sets it to ``local``, the time when it goes out."""
        if self.characteristic == current_time.CHARACTERISTIC:
            raw = current_time.encode(local, adjust_reason=_EXTERNAL_REFERENCE)
        else:
            raw = date_time.encode(local)
        return WriteValue(self.characteristic, raw)

    def refused(self) -> tuple[Command, ...]:
        """Return what to note where it could not be set."""
        if not self._is_far_off:
            return ()
        return (NoteEvent("clock_refused", "a clock that is far off or unset cannot be set"),)

    def _read(self, raw: bytes) -> datetime | None:
        if self.characteristic == current_time.CHARACTERISTIC:
            return current_time.read(raw)
        return date_time.read(raw)


def clock_of(wanted: str | None, present: Collection[str]) -> DeviceClock | None:
    """Return the clock to set: the ``wanted`` one, the other one where only that is present."""
    if wanted is None:
        return None
    both = (wanted, date_time.CHARACTERISTIC, current_time.CHARACTERISTIC)
    return next((DeviceClock(one) for one in both if one in present), None)
