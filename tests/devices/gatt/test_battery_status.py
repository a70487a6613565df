"""Battery Level Status. By hand, from the table of the Bluetooth GATT Specification Supplement."""

import pytest

from devices.gatt import battery_status
from devices.gatt.battery_status import BatteryStatus
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    reads_only_its_flags,
    reason,
    refuses_every_other_length,
)

# Present, wired, charging, good, constant current: 1 | 1 << 1 | 1 << 5 | 1 << 7 | 1 << 9 = 0x02A3;
# identifier 1, 87 %, service not required.
CHARGING = "07 A302 0100 57 00"


def test_a_level_is_a_measurement() -> None:
    battery = measurement("2BED", CHARGING)
    assert battery.kind == "battery"
    assert [(sample.code, sample.value) for sample in battery.samples] == [("67996", 87.0)]
    assert battery.flags == ()
    assert battery.context == {
        "battery_present": "yes",
        "wired_power": "yes",
        "wireless_power": "no",
        "charge_state": "charging",
        "charge_level": "good",
        "charging_type": "constant_current",
        "identifier": 1,
        "service_required": "no",
    }


def test_without_a_level_it_is_fields() -> None:
    # Critical (3 << 7), discharging (2 << 5), present; all three charging faults; battery fault.
    assert fields("2BED", "04 C171 05") == {
        "battery_present": "yes",
        "wired_power": "no",
        "wireless_power": "no",
        "charge_state": "discharging_active",
        "charge_level": "critical",
        "charging_type": "unknown_or_not_charging",
        "service_required": "yes",
        "flags": [
            "charging_fault_battery",
            "charging_fault_power_source",
            "charging_fault_other",
            "battery_fault",
        ],
    }


@pytest.mark.parametrize("raw", ["00 0600", "00 1800", "00 000A", "00 0080", "04 0000 03"])
def test_reserved_choices_are_flagged(raw: str) -> None:
    assert fields("2BED", raw)["flags"] == ["unknown_status"]


@pytest.mark.parametrize("bit", range(3, 8))
def test_reserved_additional_bits_are_flagged(bit: int) -> None:
    assert fields("2BED", f"04 0000 {1 << bit:02X}")["flags"] == ["unknown_status"]


def test_levels() -> None:
    assert measurement("2BED", "02 0000 64").samples[0].value == 100.0
    assert measurement("2BED", "02 0000 00").samples[0].value == 0.0
    for level in range(101, 256):
        assert reason("2BED", f"02 0000 {level:02X}") == "reserved_value"


def test_lengths_and_flags() -> None:
    for raw in (CHARGING, "00 0000", "04 C171 05"):
        refuses_every_other_length("2BED", raw)
    sizes = {0: 2, 1: 1, 2: 1}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes(2 + rest)

    reads_only_its_flags("2BED", build, 1, 0b111)


def test_encoded() -> None:
    assert battery_status.encode(BatteryStatus(0x02A3, 1, 87, 0)) == bytes.fromhex(CHARGING)
    assert battery_status.encode(BatteryStatus(0)) == bytes.fromhex("00 0000")
