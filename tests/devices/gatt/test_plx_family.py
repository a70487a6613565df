"""Oximeters that measure as they go, and what they can do."""

import pytest

from devices.gatt import plx_continuous, plx_features
from devices.gatt.plx_continuous import Continuous
from devices.gatt.plx_features import PlxFeatures
from devices.measurement import Absent
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    reads_only_its_flags,
    refuses_every_other_length,
    values,
)

# Stanford Spezi, PLXTests: "PLXContinuousMeasurement" (as read), "Simple" and "Full".
PLAIN = bytes([0, 100, 0, 90, 0]).hex()
SIMPLE = bytes([28, 95, 0, 90, 0, 32, 0, 0, 0, 0, 87, 240]).hex()
FULL = bytes(
    [31, 222, 243, 202, 243, 202, 243, 90, 245, 212, 243, 178, 242, 32, 1, 0, 0, 0, 122, 227]
).hex()
# Stanford Spezi, PLXTests "PLXFeatures".
FEATURES = bytes([163, 0, 64, 16, 128, 1, 0]).hex()


def test_plain() -> None:
    spot = measurement("2A5F", PLAIN)
    assert values("2A5F", PLAIN) == {"150456": 100.0, "149530": 90.0}
    assert (spot.kind, spot.device_time, spot.flags) == ("pulse_oximetry", None, ())
    # The same as Spezi writes them: 1000 and 900 with exponent -1.
    encoded = bytes([0, 232, 243, 132, 243]).hex()
    assert values("2A5F", encoded) == {"150456": 100.0, "149530": 90.0}


def test_with_status() -> None:
    assert values("2A5F", SIMPLE) == {"150456": 95.0, "149530": 90.0, "150448": 8.7}
    assert measurement("2A5F", SIMPLE).flags == ("measurement_ongoing",)


def test_with_everything() -> None:
    full = measurement("2A5F", FULL)
    assert values("2A5F", FULL) == {"150456": 99.0, "149530": 97.0, "150448": 8.9}
    assert full.flags == ("measurement_ongoing", "fully_qualified")
    assert full.context == {
        "spo2_fast_percent": 97.0,
        "pulse_fast_bpm": 137.0,
        "spo2_slow_percent": 98.0,
        "pulse_slow_bpm": 69.0,
    }


def test_what_is_missing_stays_missing() -> None:
    # By hand from the SIG's table: no number at all, fast average without SpO2, reserved bits.
    empty = measurement("2A5F", "0D FF07 FF07 0008 4800 2100 040001")
    assert empty.flags == (
        "measurement_failed",
        "measurement_ongoing",
        "unknown_status",
        "signal_irregularity",
    )
    assert empty.context == {"spo2_fast_percent": "nres", "pulse_fast_bpm": 72.0}
    assert [sample.absent for sample in empty.samples] == [Absent.NAN, Absent.NAN]


def test_features() -> None:
    assert fields("2A60", FEATURES) == {
        "features": ["measurement_status", "sensor_status", "slow", "multiple_bonds"],
        "measurement_status": ["early_estimate", "calibrating"],
        "sensor_status": ["nonpulsatile_signal", "questionable_pulse"],
    }
    assert fields("2A60", "0081") == {  # by hand: two reserved bits
        "features": ["unknown_feature"],
        "measurement_status": None,
        "sensor_status": None,
    }


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        ("2A5F", PLAIN),
        ("2A5F", SIMPLE),
        ("2A5F", FULL),
        ("2A60", FEATURES),
        ("2A60", "0100 4000"),
        ("2A60", "0200 800100"),
        ("2A60", "7C00"),
    ],
)
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


def test_every_combination_of_flags() -> None:
    sizes = {0: 4, 1: 4, 2: 2, 3: 3, 4: 2}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes.fromhex("6100 4800") + bytes(rest)

    reads_only_its_flags("2A5F", build, 1, 0b11111)


def test_encoded() -> None:
    assert plx_continuous.encode(Continuous((100, 90))) == bytes.fromhex(PLAIN)
    simple = Continuous((95, 90), status=1 << 5, sensor_status=0, amplitude_percent=8.7)
    assert plx_continuous.encode(simple) == bytes.fromhex(SIMPLE)
    # Spezi writes these with more digits than are needed; ours are the same numbers.
    full = Continuous((99, 97), (97, 137), (98, 69), 0x0120, 0, 8.9)
    got = plx_continuous.decode(plx_continuous.encode(full))
    assert got.samples == measurement("2A5F", FULL).samples
    assert got.context == measurement("2A5F", FULL).context
    offered = PlxFeatures(0b10100000, 0x1040, 0x000180)
    assert plx_features.encode(offered) == bytes.fromhex(FEATURES)
    assert plx_features.encode(PlxFeatures(0xFF)) == bytes.fromhex("FC00")
