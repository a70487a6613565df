"""Time zone and daylight saving: 2A0D, 2A0E, 2A0F."""

import pytest

from devices.gatt import dst_offset, local_time, time_zone
from tests.devices.gatt.fix_values import fields, reason, refuses_every_other_length


@pytest.mark.parametrize(("word", "minutes"), [(0, 0), (2, 30), (4, 60), (8, 120), (255, None)])
def test_daylight_saving(word: int, minutes: int | None) -> None:
    # Nordic Android-BLE-Library, DSTOffsetDataCallbackTest.
    assert fields("2A0D", f"{word:02X}") == {"dst_min": minutes}
    assert dst_offset.encode(minutes) == bytes((word,))


@pytest.mark.parametrize("word", sorted(set(range(256)) - {0, 2, 4, 8, 255}))
def test_reserved_daylight_saving(word: int) -> None:
    assert reason("2A0D", bytes((word,))) == "reserved_value"


@pytest.mark.parametrize("quarters", range(-128, 128))
def test_time_zone(quarters: int) -> None:
    # Nordic, TimeZoneDataCallbackTest (1 is 15 minutes, -128 unknown, 60 invalid), and the
    # supplement: -48 to 56.
    raw = quarters.to_bytes(1, "little", signed=True)
    if quarters == -128:
        assert fields("2A0E", raw.hex()) == {"zone_min": None}
        assert time_zone.encode(None) == raw
    elif -48 <= quarters <= 56:
        assert fields("2A0E", raw.hex()) == {"zone_min": quarters * 15}
        assert time_zone.encode(quarters * 15) == raw
    else:
        assert reason("2A0E", raw) == "reserved_value"


def test_local_time() -> None:
    # By hand: Swedish summer, and nothing known.
    assert fields("2A0F", "04 04") == {"zone_min": 60, "dst_min": 60}
    assert fields("2A0F", "80 FF") == {"zone_min": None, "dst_min": None}
    assert reason("2A0F", "39 04") == reason("2A0F", "04 01") == "reserved_value"
    assert local_time.encode(60, 60) == bytes.fromhex("0404")
    assert local_time.encode(None, None) == bytes.fromhex("80FF")


@pytest.mark.parametrize(("uuid", "raw"), [("2A0D", "04"), ("2A0E", "04"), ("2A0F", "04 04")])
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)
