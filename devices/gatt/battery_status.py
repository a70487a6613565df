"""Battery Level Status (0x2BED; GATT Specification Supplement, Battery Service 1.1).

Flags (1 byte: identifier, level, additional status), power state (16 bits), then the optional
fields. With a level it is a measurement of kind ``battery`` like 0x2A19, the rest its context;
without one it is fields. Reserved choices become ``unknown_status``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader, sample
from devices.kinds import KINDS
from devices.measurement import Measurement

CHARACTERISTIC = "2BED"
_KIND = KINDS["battery"]
_FULL = 100
_IDENTIFIER, _LEVEL, _ADDITIONAL = (1 << bit for bit in range(3))

_SOURCE = ("no", "yes", "unknown")
_CHARGING_TYPES = (
    "unknown_or_not_charging",
    "constant_current",
    "constant_voltage",
    "trickle",
    "float",
)
# Name, first bit, number of bits, choices; a number past the end is reserved.
_CHOICES: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("battery_present", 0, 1, ("no", "yes")),
    ("wired_power", 1, 2, _SOURCE),
    ("wireless_power", 3, 2, _SOURCE),
    ("charge_state", 5, 2, ("unknown", "charging", "discharging_active", "discharging_inactive")),
    ("charge_level", 7, 2, ("unknown", "good", "low", "critical")),
    ("charging_type", 9, 3, _CHARGING_TYPES),
)
_FAULTS = {
    12: "charging_fault_battery",
    13: "charging_fault_power_source",
    14: "charging_fault_other",
}
_RESERVED_POWER = 1 << 15
_SERVICE = (("service_required", 0, 2, ("no", "yes", "unknown")),)
_BATTERY_FAULT = 1 << 2
_RESERVED_ADDITIONAL = 0b11111000


@dataclass(frozen=True, slots=True)
class BatteryStatus:
    """The bit fields as sent; None leaves an optional field out."""

    power_state: int
    identifier: int | None = None
    level_percent: int | None = None
    additional: int | None = None


def decode(raw: bytes) -> Measurement | Fields:
    """Return the battery as a measurement where a level was sent, else as fields."""
    reader = Reader(raw)
    flags = reader.flags(known=0b111)
    power = reader.unsigned(2, "power state")
    context, notes = _chosen(power, _CHOICES)
    notes += [name for bit, name in _FAULTS.items() if power >> bit & 1]
    is_odd = bool(power & _RESERVED_POWER)
    if flags & _IDENTIFIER:
        context["identifier"] = reader.unsigned(2, "identifier")
    level = reader.unsigned(1, "battery level") if flags & _LEVEL else None
    if flags & _ADDITIONAL:
        additional = reader.unsigned(1, "additional status")
        service, odd = _chosen(additional, _SERVICE)
        context |= service
        notes += odd + (["battery_fault"] if additional & _BATTERY_FAULT else [])
        is_odd = is_odd or bool(additional & _RESERVED_ADDITIONAL)
    reader.end()
    told = tuple(dict.fromkeys(notes + (["unknown_status"] if is_odd else [])))
    if level is None:
        return Fields(CHARACTERISTIC, {**context, "flags": list(told)})
    if level > _FULL:
        raise DecodeError("reserved_value", f"battery level {level}")
    samples = (sample(_KIND.named("battery"), Decimal(level)),)
    return Measurement(_KIND.name, samples, CHARACTERISTIC, raw, flags=told, context=context)


def encode(value: BatteryStatus) -> bytes:
    """Return the bytes for ``value``."""
    flags = 0
    body = value.power_state.to_bytes(2, "little")
    if value.identifier is not None:
        flags |= _IDENTIFIER
        body += value.identifier.to_bytes(2, "little")
    if value.level_percent is not None:
        flags |= _LEVEL
        body += bytes((value.level_percent,))
    if value.additional is not None:
        flags |= _ADDITIONAL
        body += bytes((value.additional,))
    return bytes((flags,)) + body


def _chosen(
    word: int, choices: tuple[tuple[str, int, int, tuple[str, ...]], ...]
) -> tuple[dict[str, str | int | float], list[str]]:
    context: dict[str, str | int | float] = {}
    notes: list[str] = []
    for name, first, bits, names in choices:
        number = word >> first & (1 << bits) - 1
        if number < len(names):
            context[name] = names[number]
        else:
            notes.append("unknown_status")
    return context, notes
