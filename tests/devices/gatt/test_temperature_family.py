"""Thermometers at work, and where they measure.

"By hand": written from the tables of the Bluetooth GATT Specification Supplement.
"""

import pytest

from devices.gatt import intermediate_temperature, temperature_type
from devices.gatt.temperature import SITES, Temperature
from tests.devices.gatt.fix_values import (
    fields,
    reads_only_its_flags,
    reason,
    refuses_every_other_length,
)

# By hand: 36.4 °C while rising, 2026-11-22 07:12:00, ear.
RISING = "06 6C0100FF EA07 0B 16 07 0C 00 03"


def test_a_temperature_in_passing_is_no_measurement() -> None:
    assert fields("2A1E", RISING) == {
        "temperature": {"value": 36.4, "unit": "Cel", "absent": None},
        "device_time": "2026-11-22T07:12:00",
        "ctx": {"site": "ear"},
        "flags": [],
    }
    assert fields("2A1E", "01 D20300FF")["temperature"] == {
        "value": 36.56,
        "unit": "Cel",
        "absent": None,
        "as_sent": {"value": 97.8, "unit": "[degF]"},
    }
    empty = fields("2A1E", "04 FFFF7F00 00")
    assert empty["temperature"] == {"value": None, "unit": "Cel", "absent": "nan"}
    assert empty["flags"] == ["unknown_site"]


def test_where_it_measures() -> None:
    # Nordic Android-BLE-Library, TemperatureTypeDataCallbackTest, and the table: 1 to 9.
    for number, site in enumerate(SITES, start=1):
        assert fields("2A1D", f"{number:02X}") == {"site": site}
        assert temperature_type.encode(site) == bytes((number,))


@pytest.mark.parametrize("number", [0, *range(10, 256)])
def test_a_reserved_site_is_refused(number: int) -> None:
    assert reason("2A1D", bytes((number,))) == "reserved_value"


@pytest.mark.parametrize(("uuid", "raw"), [("2A1E", RISING), ("2A1D", "03")])
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


def test_every_combination_of_flags() -> None:
    sizes = {1: 7, 2: 1}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes.fromhex("6C0100FF") + bytes(rest)

    reads_only_its_flags("2A1E", build, 1, 0b111)


def test_encoded() -> None:
    assert intermediate_temperature.encode(Temperature(36.4)) == bytes.fromhex("00 6C0100FF")
