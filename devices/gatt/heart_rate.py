"""Heart Rate Measurement (0x2A37; Heart Rate Service 1.0, section 3.1).

Flags (1 byte: 16 bits, contact, contact supported, energy, RR), the rate, then the optional fields.
RR intervals fill the rest of the value, the oldest first, in 1/1024 s. In the context they are
milliseconds in one line; where that grows too long for an item the oldest are left out there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from devices.gatt.reading import Reader, sample
from devices.kinds import KINDS
from devices.measurement import Measurement

CHARACTERISTIC = "2A37"
_KIND = KINDS["heart_rate"]
_WIDE, _CONTACT, _CONTACT_SUPPORTED, _ENERGY, _RR = (1 << bit for bit in range(5))
_RR_PER_SECOND = 1024
_BYTE_MAX = 0xFF
# A string in an item's context has at most 200 characters; 25 intervals of 7 digits and a space.
RR_SHOWN_MAX = 25


@dataclass(frozen=True, slots=True)
class HeartRate:
    """What a sensor says. ``has_contact`` is None where it cannot tell; intervals in 1/1024 s."""

    rate_bpm: int
    has_contact: bool | None = None
    energy_kj: int | None = None
    rr_1024ths_s: Sequence[int] = ()


def decode(raw: bytes) -> Measurement:
    """Return the heart rate in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b11111)
    rate = reader.unsigned(2 if flags & _WIDE else 1, "heart rate")
    has_lost_contact = bool(flags & _CONTACT_SUPPORTED) and not flags & _CONTACT
    context: dict[str, str | int | float] = {}
    if flags & _ENERGY:
        context["energy_kj"] = reader.unsigned(2, "energy expended")
    if flags & _RR:
        intervals = [reader.unsigned(2, "RR interval")]
        while reader.left:
            intervals.append(reader.unsigned(2, "RR interval"))
        context["rr_count"] = len(intervals)
        context["rr_ms"] = " ".join(
            f"{interval * 1000 / _RR_PER_SECOND:.1f}" for interval in intervals[-RR_SHOWN_MAX:]
        )
    reader.end()
    return Measurement(
        _KIND.name,
        (sample(_KIND.named("heart_rate"), Decimal(rate)),),
        CHARACTERISTIC,
        raw,
        flags=("no_skin_contact",) if has_lost_contact else (),
        context=context,
    )


def encode(value: HeartRate) -> bytes:
    """Return the bytes a sensor would send for ``value``; OverflowError where it does not fit."""
    flags = 0
    if value.has_contact is not None:
        flags |= _CONTACT_SUPPORTED | (_CONTACT if value.has_contact else 0)
    if value.rate_bpm > _BYTE_MAX:
        flags |= _WIDE
    body = value.rate_bpm.to_bytes(2 if flags & _WIDE else 1, "little")
    if value.energy_kj is not None:
        flags |= _ENERGY
        body += value.energy_kj.to_bytes(2, "little")
    if value.rr_1024ths_s:
        flags |= _RR
        body += b"".join(interval.to_bytes(2, "little") for interval in value.rr_1024ths_s)
    return bytes((flags,)) + body
