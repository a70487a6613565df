"""What was measured on: the type and place of a glucose sample, two halves of one byte.

The type is the lower half. Both tables are those of the Glucose and the CGM Feature characteristics
(GATT Specification Supplement and the SIG's XML). **Control solution** is no patient's blood: it is
flagged, so that no rule judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from devices.gatt.reading import Reader
from devices.measurement import Absent
from devices.medfloat import Number

CONTROL_SOLUTION = "control_solution"

TYPES: Mapping[int, str] = {
    1: "capillary_whole_blood",
    2: "capillary_plasma",
    3: "venous_whole_blood",
    4: "venous_plasma",
    5: "arterial_whole_blood",
    6: "arterial_plasma",
    7: "undetermined_whole_blood",
    8: "undetermined_plasma",
    9: "interstitial_fluid",
    10: CONTROL_SOLUTION,
}

LOCATIONS: Mapping[int, str] = {
    1: "finger",
    2: "alternate_site",
    3: "earlobe",
    4: CONTROL_SOLUTION,
    5: "subcutaneous_tissue",  # in the CGM service only
    15: "not_available",
}


def take_sample(reader: Reader) -> tuple[dict[str, str | int | float], list[str]]:
    """Take type and place: their names as context, and the flags for what is odd about them."""
    both = reader.unsigned(1, "type and sample location")
    context: dict[str, str | int | float] = {}
    notes: list[str] = []
    for name, number, names in (
        ("sample_type", both & 0x0F, TYPES),
        ("sample_location", both >> 4, LOCATIONS),
    ):
        if number in names:
            context[name] = names[number]
        else:
            notes.append(f"unknown_{name}")
    if CONTROL_SOLUTION in context.values():
        notes.append(CONTROL_SOLUTION)
    return context, notes


def encode_sample(sample_type: str, location: str) -> bytes:
    """Return the byte for a type of TYPES and a place of LOCATIONS."""
    return bytes((_number(TYPES, sample_type) | _number(LOCATIONS, location) << 4,))


def beyond_range(number: Number | None, *, is_high: bool, is_low: bool) -> Number | None:
    """Return ``number``; where there is none, the infinity that the status bits say it was.

    "Higher than the device can process" is a result that a nurse must see, not a failure.
    """
    if isinstance(number, Decimal) or is_high == is_low:
        return number
    return Absent.POSITIVE_INFINITY if is_high else Absent.NEGATIVE_INFINITY


def has_failed(number: Number | None) -> bool:
    """Tell whether a concentration is neither a number nor beyond the range."""
    return number in (None, Absent.NAN, Absent.NRES, Absent.RESERVED)


def _number(names: Mapping[int, str], name: str) -> int:
    return next(number for number, known in names.items() if known == name)
