"""Values that real devices sent, as their owners published them, against what the device showed.

None of these bytes, and none of the expected numbers, were made here. SO is the number of a
question on stackoverflow.com; the others name a repository.
"""

import pytest

from tests.devices.gatt.fix_values import measurement, reason, values


def test_thermometer_a_and_d_ut_201ble() -> None:
    # SO 66169331: the display said 36.8 °C.
    one = measurement("2A1C", bytes([6, 112, 1, 0, 255, 229, 7, 2, 12, 10, 56, 34, 2]).hex())
    assert [sample.value for sample in one.samples] == [36.8]
    assert str(one.device_time) == "2021-02-12 10:56:34"


def test_thermometer_that_showed_fahrenheit() -> None:
    # SO 60841331: 98.5 °F on the display, four bytes of °C.
    assert values("2A1C", "00" + bytes([113, 14, 0, 254]).hex()) == {"150364": 36.97}
    assert round(36.97 * 9 / 5 + 32, 1) == 98.5


def test_glucose_meter_that_showed_104_mg_dl() -> None:
    # SO 61797331 (copied at it1352.com/2201520).
    one = measurement("2A18", "0B 0400 E407 05 0E 0C 31 1D 4E01 68B0 F8 0000")
    (glucose,) = one.samples
    assert glucose.as_sent is not None
    assert (glucose.as_sent.value, glucose.as_sent.unit) == (0.00104, "kg/L")
    assert glucose.value == pytest.approx(104 / 18.0156, abs=0.001)
    assert one.sequence_number == 4


def test_glucose_meter_that_showed_6_2_mmol_l() -> None:
    # pullrequest.ru/14028530: the meter's first record, beside one of ketones without glucose.
    raw = bytes([3, 0, 0, 228, 7, 3, 14, 23, 23, 0, 0, 0, 112, 176, 17]).hex()
    one = measurement("2A18", raw)
    assert [round(sample.value or 0, 1) for sample in one.samples] == [6.2]
    assert str(one.device_time) == "2020-03-14 23:23:00"


def test_glucose_that_nobody_can_have_is_not_hidden() -> None:
    # The same meter fills the glucose of its ketone records with 0xFFFF, which is -0.1 kg/L and
    # not one of the five words for "no number". The catalogue finds it implausible.
    raw = bytes([3, 1, 0, 228, 7, 3, 14, 23, 23, 0, 0, 0, 255, 255, 17]).hex()
    (value,) = values("2A18", raw).values()
    assert value is not None
    assert value < 0


def test_oximeter_choicemmed() -> None:
    # SO 71264072, both characteristics; the continuous one said 98 % and 78.
    spot = measurement("2A5E", "17 6100 6000 E107 01 01 01 22 13 2000 200000")
    assert [sample.value for sample in spot.samples] == [97, 96]
    assert spot.flags == ("measurement_ongoing", "low_perfusion", "device_clock_not_set")
    assert list(values("2A5F", "0C 6200 4E00 2000 000000").values())[:2] == [98, 78]


@pytest.mark.parametrize(
    ("raw", "rate", "intervals_ms"),
    [
        # ActiGraph, GT3X-File-Format, LogRecords/HeartRateBLE.md: 66, and 1048 and 368 of 1/1024 s.
        ("16 42 1804 7001", 66, "1023.4 359.4"),
        ("10 3B 5304", 59, "1081.1"),  # Polar H10, SO 67024800
        ("10 49 5E03 9603", 73, "841.8 896.5"),  # Polar H10, SO 50477232
        ("16 4D 1603", 77, "771.5"),  # Polar H7: "790/1024 = 0.77 s"
        ("16 78 FF01 FF01 0C01", 120, "499.0 499.0 261.7"),  # SO 33917836
    ],
)
def test_heart_rate_belts(raw: str, rate: int, intervals_ms: str) -> None:
    one = measurement("2A37", raw)
    assert [sample.value for sample in one.samples] == [rate]
    assert one.context["rr_ms"] == intervals_ms
    assert one.flags == ()


def test_scale_that_showed_46_6_pounds() -> None:
    # codepudding.com/Mobile/444507
    one = measurement("2A9D", bytes([3, 52, 18, 224, 7, 2, 25, 3, 49, 28]).hex())
    (weight,) = one.samples
    assert weight.as_sent is not None
    assert (weight.as_sent.value, weight.as_sent.unit) == (46.6, "[lb_av]")
    assert str(one.device_time) == "2016-02-25 03:49:28"


@pytest.mark.parametrize(
    ("raw", "kilograms"),
    [
        (bytes([6, 32, 18, 0, 0, 0, 0, 0, 0, 0, 1]).hex(), 23.2),
        (bytes([6, 16, 14, 0, 0, 0, 0, 0, 0, 0, 1]).hex(), 18.0),
    ],
)
def test_scale_of_spezi(raw: str, kilograms: float) -> None:
    # StanfordSpezi/SpeziKt, WeightDataConverterTest.
    one = measurement("2A9D", raw)
    assert [sample.value for sample in one.samples] == [kilograms]
    assert one.context == {"user_index": 1}
    assert one.flags == ("device_time_unknown",)


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        # A cuff with two bits of its own in the flags (SO 78168365, read elsewhere as 127 mmHg).
        # They may announce fields, so the value is kept as it came, with its reason.
        ("2A35", "DE F6F4 16F3 FF07 E407 01 14 08 2B 00 B2F2 01 8000"),
        # Xiaomi's scales put a layout of their own under the SIG's number: 5.5, 12.7 and 77.8 kg.
        ("2A9C", "0624 B207 01 01 00 2E 38 0000 4C04"),
        ("2A9C", "02A4 B207 02 13 06 33 35 FDFF EC09"),
        ("2A9C", "02A4 B207 02 13 06 3B 17 FDFF C83C"),
    ],
)
def test_own_layouts_are_refused_and_never_misread(uuid: str, raw: str) -> None:
    assert reason(uuid, raw) == "reserved_flags"
