"""What the tests of characteristics share: reading a value written in hex, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices import gatt
from devices.errors import DecodeError
from devices.measurement import Measurement


def measurements(uuid: str, raw: str) -> tuple[Measurement, ...]:
    decoded = gatt.decode(uuid, bytes.fromhex(raw))
    assert isinstance(decoded, gatt.Reading)
    raws = [one.raw for one in decoded.measurements]
    # Two measurements of the same bytes, or each of its own part of them.
    assert bytes.fromhex(raw) in (*raws, b"".join(raws))
    assert all(one.characteristic == uuid for one in decoded.measurements)
    return decoded.measurements


def measurement(uuid: str, raw: str) -> Measurement:
    (one,) = measurements(uuid, raw)
    return one


def values(uuid: str, raw: str) -> dict[str, float | None]:
    return {sample.code: sample.value for sample in measurement(uuid, raw).samples}


def fields(uuid: str, raw: str) -> dict[str, object]:
    decoded = gatt.decode(uuid, bytes.fromhex(raw))
    assert isinstance(decoded, gatt.Fields)
    assert decoded.characteristic == uuid
    return dict(decoded.fields)


def reason(uuid: str, raw: str | bytes) -> str:
    with pytest.raises(DecodeError) as error:
        gatt.decode(uuid, bytes.fromhex(raw) if isinstance(raw, str) else raw)
    assert error.value.detail
    return error.value.reason


def refuses_every_other_length(uuid: str, raw: str) -> None:
    """Check that ``raw`` reads, and no beginning of it and nothing longer does."""
    whole = bytes.fromhex(raw)
    gatt.decode(uuid, whole)
    for end in range(len(whole)):
        assert reason(uuid, whole[:end]) == "truncated"
    assert reason(uuid, whole + b"\0") == "trailing_bytes"
    assert reason(uuid, whole + bytes(513)) == "too_long"


def reads_only_its_flags(uuid: str, build: Callable[[int], bytes], count: int, known: int) -> None:
    """Check the ``count`` flag bytes that begin a value which ``build`` makes.

    Each combination of known flags must read with exactly its fields, and not with one byte more or
    less; each unknown flag must be refused, alone and beside all others, whatever follows.
    """
    for flags in range(1 << 8 * count):
        if flags & ~known:
            continue
        raw = build(flags)
        gatt.decode(uuid, raw)
        assert reason(uuid, raw[:-1]) == "truncated"
        assert reason(uuid, raw + b"\0") == "trailing_bytes"
    for bit in range(8 * count):
        if not known >> bit & 1:
            for flags in (1 << bit, known | 1 << bit):
                assert reason(uuid, build(flags)) == "reserved_flags"
