"""The numbers of records, read off the bytes."""

import pytest

from devices.conversation import numbered
from devices.conversation.record_numbers import is_same_record, numbers_in
from devices.profiles import PROFILES
from tests.devices.conversation.fix_script import METER, PLAIN, glucose_record, sensor_record


@pytest.mark.parametrize(
    ("characteristic", "raw", "numbers"),
    [
        ("2A18", bytes.fromhex("02 3412"), (0x1234,)),
        ("2A18", bytes.fromhex("02 34"), ()),
        ("2AA7", bytes.fromhex("06 00 6C00 3412"), (0x1234,)),
        ("2AA7", bytes.fromhex("06 00 6C00 3412 07 00 6C00 3512 FF"), (0x1234, 0x1235)),
        ("2AA7", bytes.fromhex("06 00 6C00 3412 05 00 6C00 3512"), (0x1234,)),
        ("2AA7", bytes.fromhex("06 00 6C00 3412 FF 00 6C00 3512"), (0x1234,)),
        ("2AA7", b"", ()),
        ("2A35", bytes.fromhex("02 3412 0000"), ()),
    ],
)
def test_numbers(characteristic: str, raw: bytes, numbers: tuple[int, ...]) -> None:
    assert numbers_in(characteristic, raw) == numbers


def test_the_same_record() -> None:
    one = glucose_record(8)
    with_context = bytes((one[0] | 0x10,)) + one[1:]
    assert is_same_record("2A18", one, with_context)
    assert is_same_record("2A18", b"\x01", b"\x01"), "also where nobody can read it"
    assert not is_same_record("2A18", one, b"\x01")
    assert not is_same_record("2A18", one, glucose_record(8, epoch=1))
    assert not is_same_record("2A18", one, glucose_record(8, mmol=7.0))
    assert not is_same_record("2AA7", sensor_record(5), sensor_record(5, mg_dl=99))
    assert not is_same_record("2A19", b"\x50", b"\x51")
    assert not is_same_record("2A08", bytes(7), bytes((0xEA, 7, 1, 1, 0, 0, 0)))


def test_what_a_profile_numbers() -> None:
    assert numbered(METER) == "2A18"
    assert numbered(PLAIN) is None
    assert numbered(PROFILES["taidoc-fora"]) == PROFILES["taidoc-fora"].measurements[0]
