"""Whatever the bytes, every characteristic reads them or says why not."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.errors import DecodeError
from devices.kinds import KINDS
from devices.measurement import Measurement
from tests.devices.gatt import (
    test_battery_status,
    test_blood_pressure_family,
    test_cgm_family,
    test_device_information,
    test_generic_health,
    test_glucose,
    test_heart_rate,
    test_plx_family,
    test_scale_family,
    test_temperature_family,
)

UUIDS = st.sampled_from(sorted(gatt.CHARACTERISTICS))
# Values that read, so that changes to them reach far into a decoder.
READABLE = [
    ("2A36", test_blood_pressure_family.CUFF_FULL),
    ("2B34", test_blood_pressure_family.ENHANCED),
    ("2B35", test_blood_pressure_family.ENHANCED_CUFF),
    ("2A1E", test_temperature_family.RISING),
    ("2A5F", test_plx_family.FULL),
    ("2A60", test_plx_family.FEATURES),
    ("2A18", test_glucose.NORDIC),
    ("2A34", test_glucose.CONTEXT),
    ("2AA7", test_cgm_family.DOUBLE),
    ("2AA7", test_cgm_family.FULL),
    ("2A9C", test_scale_family.METRIC),
    ("2A37", test_heart_rate.WIDE),
    ("2BED", test_battery_status.CHARGING),
    ("2A2A", test_device_information.WHITE_PAPER),
    ("2B8B", test_generic_health.ST_BUNDLE),
    ("2B8B", test_generic_health.ST_PRESSURE),
    ("2BF2", test_generic_health.ST_TIME),
]
# What an item on the wire may hold (contract.md 1).
CONTEXT_MAX, TEXT_MAX, FLAGS_MAX = 32, 200, 64


def check(uuid: str, raw: bytes) -> None:
    with suppress(DecodeError):
        decoded = gatt.decode(uuid, raw)
        if isinstance(decoded, gatt.Reading):
            assert decoded.measurements
            for one in decoded.measurements:
                check_measurement(one, uuid, raw)
        else:
            assert decoded.characteristic == uuid


def check_measurement(one: Measurement, uuid: str, raw: bytes) -> None:
    kind = KINDS[one.kind]
    assert one.characteristic == uuid
    assert one.raw in raw, "its own part of the value, mostly all of it"
    codes = [sample.code for sample in one.samples]
    assert len(set(codes)) == len(codes)
    for sample in one.samples:
        component = kind.component(sample.code)
        assert component is not None
        assert sample.unit == component.unit
    assert one.samples or "measurement_failed" in one.flags
    assert len(set(one.flags)) == len(one.flags) <= FLAGS_MAX
    assert len(one.context) <= CONTEXT_MAX
    assert all(len(text) <= TEXT_MAX for text in one.context.values() if isinstance(text, str))
    assert one.device_time is None or one.device_time.tzinfo is None


@given(UUIDS, st.binary(max_size=64))
def test_any_bytes(uuid: str, raw: bytes) -> None:
    check(uuid, raw)


@given(UUIDS, st.binary(min_size=480, max_size=530))
def test_absurd_lengths(uuid: str, raw: bytes) -> None:
    check(uuid, raw)


@given(
    st.sampled_from(READABLE),
    st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=4),
    st.integers(0, 79),
    st.binary(max_size=3),
)
def test_values_that_nearly_read(
    value: tuple[str, str], changes: list[tuple[int, int]], end: int, tail: bytes
) -> None:
    uuid, digits = value
    raw = bytearray.fromhex(digits)
    for at, byte in changes:
        raw[at % len(raw)] = byte
    check(uuid, bytes(raw[: end or len(raw)]) + tail)


def test_every_characteristic_refuses_what_no_attribute_can_hold() -> None:
    for uuid in gatt.CHARACTERISTICS:
        for size in (513, 100_000):
            with pytest.raises(DecodeError) as error:
                gatt.decode(uuid, bytes(size))
            assert error.value.reason == "too_long"


@given(st.text(max_size=40), st.binary(max_size=3))
def test_any_uuid_decodes_or_has_a_reason(uuid: str, raw: bytes) -> None:
    with pytest.raises(DecodeError):
        gatt.decode(uuid, raw)
