"""Scales: what they can do, and body composition.

"By hand": written from the tables of the Bluetooth GATT Specification Supplement.
"""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.gatt import body_composition, body_composition_feature, weight_feature
from devices.gatt.body_composition import BodyComposition
from devices.measurement import Absent, AsSent
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    measurements,
    reads_only_its_flags,
    refuses_every_other_length,
)

# By hand: several packets, 25.3 % fat, 2026-11-22 07:12:00, user 1, 6500 kJ, 41.2 % muscle, then
# 32.0, 59.5, 56.5 and 43.5 kg of muscle, fat free, soft lean and water, 512.3 ohm, 79.6 kg, 1.7 m.
METRIC = "FE1F FD00 EA07 0B 16 07 0C 00 01 6419 9C01 0019 7C2E 242C FC21 0314 303E A406"
# By hand: 25.3 %, 70.55 lb of muscle, 175.5 lb, 66.9 in.
IMPERIAL = "210C FD00 8F1B 8E44 9D02"


def test_everything_metric() -> None:
    composition, weight = measurements("2A9C", METRIC)
    assert (composition.kind, weight.kind) == ("body_composition", "body_weight")
    assert [(sample.code, sample.value, sample.unit) for sample in composition.samples] == [
        ("188748", 25.3, "%"),
        ("188768", 6500.0, "kJ"),
        ("188772", 41.2, "%"),
        ("188776", 32.0, "kg"),
        ("188756", 59.5, "kg"),
        ("188760", 56.5, "kg"),
        ("188764", 43.5, "kg"),
        ("188780", 512.3, "Ohm"),
    ]
    assert [(sample.code, sample.value) for sample in weight.samples] == [
        ("188736", 79.6),
        ("188740", 170.0),
    ]
    for one in (composition, weight):
        assert one.device_time == datetime.fromisoformat("2026-11-22T07:12:00")
        assert one.context == {"user_index": 1, "multiple_packets": "yes"}
        assert one.flags == ()


def test_imperial() -> None:
    composition, weight = measurements("2A9C", IMPERIAL)
    assert composition.samples[1].value == 32.001
    assert composition.samples[1].as_sent == AsSent(70.55, "[lb_av]")
    assert weight.samples[0].value == 79.605
    assert weight.samples[0].as_sent == AsSent(175.5, "[lb_av]")
    assert weight.samples[1].value == 169.93
    assert weight.samples[1].as_sent == AsSent(66.9, "[in_i]")


def test_without_weight_it_is_one_measurement() -> None:
    composition = measurement("2A9C", "0000 FD00")
    assert [sample.value for sample in composition.samples] == [25.3]
    (_, height) = measurements("2A9C", "0008 FD00 A406")
    assert [sample.value for sample in height.samples] == [170.0]


def test_a_composition_that_failed_takes_nothing_from_the_weight() -> None:
    composition, weight = measurements("2A9C", "0604 FFFF 0000 00 00 00 00 00 FF 303E")
    assert composition.samples[0].absent is Absent.NAN
    assert composition.flags == ("measurement_failed", "device_time_unknown")
    assert composition.context == {}
    assert weight.flags == ("device_time_unknown",)
    assert weight.samples[0].value == 79.6


def test_features() -> None:
    # Stanford Spezi, WeightScaleTests: three options are 0x07.
    assert fields("2A9E", "07000000") == {
        "features": ["time", "multiple_users", "bmi"],
        "weight_resolution_kg": None,
        "weight_resolution_lb": None,
        "height_resolution_m": None,
        "height_resolution_in": None,
    }
    # By hand: weight 7, height 3, and 10 << 3 | 4 << 7, both reserved, with a reserved bit.
    assert fields("2A9E", "B8010000") == {
        "features": [],
        "weight_resolution_kg": 0.005,
        "weight_resolution_lb": 0.01,
        "height_resolution_m": 0.001,
        "height_resolution_in": 0.1,
    }
    odd = fields("2A9E", "50020080")
    assert odd["features"] == ["unknown_feature"]
    assert odd["weight_resolution_kg"] is None
    assert odd["height_resolution_in"] is None
    # By hand: all eleven, weight 3, height 1.
    composition = fields("2A9B", "FF9F0000")
    assert composition["features"] == list(body_composition_feature.FEATURES.values())
    assert composition["weight_resolution_lb"] == 0.2
    assert composition["height_resolution_m"] == 0.01
    assert fields("2A9B", "00000400")["features"] == ["unknown_feature"]


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        ("2A9C", METRIC),
        ("2A9C", IMPERIAL),
        ("2A9C", "0000 FD00"),
        ("2A9E", "07000000"),
        ("2A9B", "FF9F0000"),
    ],
)
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


def test_every_combination_of_flags() -> None:
    sizes = {1: 7, 2: 1} | dict.fromkeys(range(3, 12), 2)

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return flags.to_bytes(2, "little") + bytes(2 + rest)

    reads_only_its_flags("2A9C", build, 2, 0x1FFF)


def test_known_bytes_encoded() -> None:
    metric = BodyComposition(
        25.3,
        time=datetime.fromisoformat("2026-11-22T07:12:00"),
        user=1,
        basal_metabolism=6500,
        muscle=41.2,
        muscle_mass=32,
        fat_free_mass=59.5,
        soft_lean_mass=56.5,
        body_water_mass=43.5,
        impedance=512.3,
        weight=79.6,
        height=1.7,
        in_multiple_packets=True,
    )
    assert body_composition.encode(metric) == bytes.fromhex(METRIC)
    imperial = BodyComposition(25.3, True, muscle_mass=70.55, weight=175.5, height=66.9)
    assert body_composition.encode(imperial) == bytes.fromhex(IMPERIAL)
    assert body_composition.encode(BodyComposition(Absent.NAN)) == bytes.fromhex("0000 FFFF")
    assert weight_feature.encode(0b111) == bytes.fromhex("07000000")
    assert weight_feature.encode(0, weight=7, height=3) == bytes.fromhex("B8010000")
    assert body_composition_feature.encode(0x7FF, weight=3, height=1) == bytes.fromhex("FF9F0000")


@given(st.integers(0, 750), st.none() | st.integers(4000, 60_000), st.booleans())
def test_there_and_back(tenths: int, steps: int | None, is_imperial: bool) -> None:
    step = 0.01 if is_imperial else 0.005
    weight = None if steps is None else round(steps * step, 3)
    raw = body_composition.encode(BodyComposition(tenths / 10, is_imperial, weight=weight))
    decoded = gatt.decode("2A9C", raw)
    assert isinstance(decoded, gatt.Reading)
    assert decoded.measurements[0].samples[0].value == tenths / 10
    assert len(decoded.measurements) == (1 if weight is None else 2)
