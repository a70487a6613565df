"""Current Time (0x2A2B): Date Time, day of week, 1/256 seconds, and why the clock was changed.

Ten bytes (GATT Specification Supplement: Current Time, Exact Time 256, Day Date Time). Day of week
0 is "not known", 1 is Monday, 8 and above are reserved. The date says the same: a reserved day is
flagged and the clock counts, since the times of the values beside it are corrected by it. Each
fraction is a possible one. Bits 4 to 7 of the reason are reserved and ignored: nothing follows
them.
"""

from __future__ import annotations

from datetime import datetime

from devices.gatt import date_time
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A2B"
LENGTH = 10

_SUNDAY = 7
_REASONS = ("manual", "external_reference", "time_zone", "daylight_saving")


def read(raw: bytes) -> datetime | None:
    """Return the naive local time with 1/256 s, or None where unknown; else DecodeError."""
    reader = Reader(raw)
    time = date_time.take(reader)
    _, fraction, _ = reader.take(3, "day, fraction and reason")
    reader.end()
    return None if time is None else time.replace(microsecond=fraction * 1_000_000 // 256)


def decode(raw: bytes) -> Fields:
    """Return ``time``, ``day_of_week`` (or None), ``fractions_256`` and ``adjust_reason``.

    ``flags`` has ``unknown_day_of_week`` where the day is a reserved number. Raises DecodeError for
    the same bytes as :func:`read`.
    """
    time = read(raw)
    day, fraction, reason = raw[date_time.LENGTH :]
    is_known = 1 <= day <= _SUNDAY
    return Fields(
        CHARACTERISTIC,
        {
            "time": None if time is None else time.replace(microsecond=0).isoformat(),
            "day_of_week": day if is_known else None,
            "fractions_256": fraction,
            "adjust_reason": [name for bit, name in enumerate(_REASONS) if reason >> bit & 1],
            "flags": ["unknown_day_of_week"] if day > _SUNDAY else [],
        },
    )


def encode(time: datetime, *, adjust_reason: int = 0) -> bytes:
    """Return the ten bytes for naive local ``time``; ``adjust_reason`` is the bit field."""
    fraction = time.microsecond * 256 // 1_000_000
    return date_time.encode(time) + bytes((time.isoweekday(), fraction, adjust_reason))
