"""What a device's own words make of a number: a reading, one it doubts, or no reading at all.

Rules of this file (docs/decisions/0012): what is no reading never fires, never clears, and counts
in no median; it is kept and shown as what it is. What the device doubts may alarm, but never
reassures. A flag that is in neither set is a fact beside a value that is read as any other: a red
value may be true although the pulse was irregular, the signal weak or the cuff loose.

A device that can say no more than HI or LO has measured all the same (docs/decisions/0016).
"""

from __future__ import annotations

from collections.abc import Set

from alerts.rules import Direction
from devices.measurement import Absent

NO_READING = frozenset(
    {
        # Not of the person at all.
        "control_solution",
        "demonstration",
        "testing",
        "setting",
        # The sensor was not on the person.
        "no_skin_contact",
        "sensor_disconnected",
        "sensor_unconnected_to_user",
        # The device itself takes the number back, or has not finished.
        "early_estimate",
        "invalid_measurement",
        "measurement_unavailable",
    }
)
"""A value with one of these flags is no reading of the person."""

DOUBTED = frozenset(
    {
        # The measuring.
        "erratic_signal",
        "inadequate_signal",
        "nonpulsatile_signal",
        "poor_signal",
        "questionable_measurement",
        "questionable_pulse",
        "read_interrupted",
        "sample_size_insufficient",
        "sensor_displaced",
        "sensor_interference",
        "signal_irregularity",
        # The device and what is put into it.
        "calibrating",
        "calibration_required",
        "equipment_malfunction",
        "general_device_fault",
        "sensor_malfunction",
        "sensor_type_incorrect",
        "session_stopped",
        "strip_insertion_error",
        "strip_type_incorrect",
        "temperature_too_high",
        "temperature_too_low",
        "unknown_sensor",
    }
)
"""A value with one of these flags is one that the device does not stand by itself."""


def is_reading(flags: Set[str]) -> bool:
    """Tell whether a value with these flags is a reading of the person."""
    return NO_READING.isdisjoint(flags)


def is_doubted(flags: Set[str]) -> bool:
    """Tell whether the device that sent a value with these flags doubts it."""
    return not DOUBTED.isdisjoint(flags)


def beyond_range(absent: str | None, flags: Set[str]) -> Direction | None:
    """Return on which side of its device's range a sample without a number lies.

    ``absent`` is the reason it has none, as stored; None for a number. The sample's own word counts
    first, then the flags, which belong to the whole measurement. None where nothing says so, or
    both sides are said: it is not known then, and nothing is guessed.
    """
    if absent is None:
        return None
    if absent in _SIDES:
        return _SIDES[absent]
    said = {side for flag, side in _SIDE_FLAGS.items() if flag in flags}
    return said.pop() if len(said) == 1 else None


_SIDES = {
    Absent.POSITIVE_INFINITY.value: Direction.HIGH,
    Absent.NEGATIVE_INFINITY.value: Direction.LOW,
}
_SIDE_FLAGS = {"result_too_high": Direction.HIGH, "result_too_low": Direction.LOW}
