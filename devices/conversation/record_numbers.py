"""The numbers that stored records carry, read off the bytes also where the rest cannot be read."""

from __future__ import annotations

from devices.errors import DecodeError
from devices.gatt import cgm, decode, glucose
from devices.gatt.reading import Reading

NUMBER_MAX = 0xFFFF
"""Sequence numbers and minutes have 16 bits; after this one nobody knows what follows."""


def numbers_in(characteristic: str, raw: bytes) -> tuple[int, ...]:
    """Return the number of each record in ``raw``: its sequence number, or its minutes for CGM.

    Empty where the characteristic has none or the value is too short to hold one.
    """
    if characteristic == glucose.CHARACTERISTIC:
        return (int.from_bytes(raw[1:3], "little"),) if len(raw) >= 3 else ()
    if characteristic != cgm.CHARACTERISTIC:
        return ()
    numbers = []
    while len(raw) >= cgm.SHORTEST and cgm.SHORTEST <= raw[0] <= len(raw):
        numbers.append(int.from_bytes(raw[4:6], "little"))
        raw = raw[raw[0] :]
    return tuple(numbers)


def is_same_record(characteristic: str, one: bytes, other: bytes) -> bool:
    """Tell whether two values are the same record, though one may have been marked since.

    A person can add a meal to a stored glucose value, which changes its bytes; number, time and
    result stay.
    """
    if one == other:
        return True
    try:
        first, second = decode(characteristic, one), decode(characteristic, other)
    except DecodeError:
        return False
    if not (isinstance(first, Reading) and isinstance(second, Reading)):
        return False
    facts = [
        [(m.sequence_number, m.device_time, m.samples) for m in reading.measurements]
        for reading in (first, second)
    ]
    return facts[0] == facts[1]
