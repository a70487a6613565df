"""Weight Scale Feature (0x2A9E; GATT Specification Supplement): what a scale can do, 32 bits.

Three bits, then how finely it weighs (bits 3 to 6) and keeps height (7 to 9). The resolution says
how much the last digit is worth; the step of the fields in a measurement never changes.
"""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader, feature_names

CHARACTERISTIC = "2A9E"
LENGTH = 4
WEIGHT_BITS, HEIGHT_BITS = 4, 3
_RESOLUTIONS_AT = 3

FEATURES = {0: "time", 1: "multiple_users", 2: "bmi"}
"""Names by bit; bits 10 to 31 are reserved."""

# By number; 0 is not specified, numbers past the end are reserved.
_WEIGHTS = (
    (None, None),
    (0.5, 1.0),
    (0.2, 0.5),
    (0.1, 0.2),
    (0.05, 0.1),
    (0.02, 0.05),
    (0.01, 0.02),
    (0.005, 0.01),
)
_HEIGHTS = ((None, None), (0.01, 1.0), (0.005, 0.5), (0.001, 0.1))
_UNITS = (
    ("weight_resolution_kg", "weight_resolution_lb", _WEIGHTS),
    ("height_resolution_m", "height_resolution_in", _HEIGHTS),
)


def decode(raw: bytes) -> Fields:
    """Return ``features`` and the resolutions, None where not specified or reserved."""
    reader = Reader(raw)
    word = reader.unsigned(LENGTH, "weight scale feature")
    reader.end()
    return Fields(CHARACTERISTIC, scale_features(word, FEATURES, _RESOLUTIONS_AT))


def encode(features: int, *, weight: int = 0, height: int = 0) -> bytes:
    """Return the bytes for the feature bits and the two numbers of the resolution tables."""
    return (features | resolution_bits(weight, height, _RESOLUTIONS_AT)).to_bytes(LENGTH, "little")


def scale_features(word: int, names: dict[int, str], at: int) -> dict[str, object]:
    """Return the fields of a scale's features; the resolutions begin at bit ``at`` of ``word``."""
    both = (1 << WEIGHT_BITS + HEIGHT_BITS) - 1
    fields: dict[str, object] = {"features": feature_names(word & ~(both << at), names)}
    resolutions = word >> at & both
    numbers = (resolutions & (1 << WEIGHT_BITS) - 1, resolutions >> WEIGHT_BITS)
    for (metric, imperial, table), number in zip(_UNITS, numbers, strict=True):
        known = table[number] if number < len(table) else (None, None)
        fields[metric], fields[imperial] = known
    return fields


def resolution_bits(weight: int, height: int, at: int) -> int:
    """Return the numbers of the two resolutions as bits from ``at`` on."""
    return (weight | height << WEIGHT_BITS) << at
