"""A device sends again what it sent before: one value, for each kind that comes from a device."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices import wire
from devices.gatt import (
    blood_pressure,
    body_composition,
    glucose,
    plx,
    temperature,
    weight,
)
from devices.gatt.blood_pressure import BloodPressure
from devices.gatt.body_composition import BodyComposition
from devices.gatt.glucose import Glucose
from devices.gatt.plx import SpotCheck
from devices.gatt.temperature import Temperature
from devices.gatt.weight import Weight
from devices.measurement import Absent
from gateway.identity import REMEMBERED_RECORDS
from tests.gateway.fix_home import CUFF, STOCKHOLM, Home, make_home, written_items

Make = Callable[[datetime | None, int], bytes]
"""The bytes of a value of that time; the number tells two values of one second apart."""

TIMED: dict[str, tuple[str, Make]] = {
    "blood_pressure": (
        "2A35",
        lambda time, n: blood_pressure.encode(BloodPressure(120 + n, 80, 95, time=time)),
    ),
    "body_weight": ("2A9D", lambda time, n: weight.encode(Weight(70.0 + n, time=time))),
    "body_composition": (
        "2A9C",
        lambda time, n: body_composition.encode(BodyComposition(20.0 + n, time=time)),
    ),
    "body_temperature": (
        "2A1C",
        lambda time, n: temperature.encode(Temperature(37.0 + n, time=time)),
    ),
    "pulse_oximetry": ("2A5E", lambda time, n: plx.encode(SpotCheck(95 - n, 70, time=time))),
    "glucose": (
        "2A18",
        lambda time, n: glucose.encode(Glucose(n, time, concentration=0.006, in_moles=True)),
    ),
}
FAILED: dict[str, bytes] = {
    "2A35": blood_pressure.encode(BloodPressure(Absent.NAN, Absent.NAN, Absent.NAN)),
    "2A9D": weight.encode(Weight(Absent.NAN)),
    "2A9C": body_composition.encode(BodyComposition(Absent.NAN)),
    "2A1C": temperature.encode(Temperature(Absent.NAN)),
    "2A5E": plx.encode(SpotCheck(Absent.NAN, Absent.NAN)),
    "2A18": glucose.encode(Glucose(1, None)),
    # CGM by hand: size, flags, NaN, minute 60. Continuous oximetry: flags, NaN twice.
    "2AA7": bytes.fromhex("06 00 FF07 3C00"),
    "2A5F": bytes.fromhex("00 FF07 FF07"),
}


def tell(home: Home, characteristic: str, *raws: bytes) -> None:
    for raw in raws:
        home.journal.append(dev=CUFF, model="m", characteristic=characteristic, raw=raw)
    home.intake.take_all()


def ago(home: Home, minutes: int) -> datetime:
    now = home.clock.read().utc.astimezone(STOCKHOLM)
    return now.replace(tzinfo=None, microsecond=0) - timedelta(minutes=minutes)


@pytest.mark.parametrize("kind", TIMED)
def test_all_that_is_stored_at_each_link_is_stored_once(home: Home, kind: str) -> None:
    characteristic, make = TIMED[kind]
    memory = [make(ago(home, 30 - n), n) for n in range(3)]
    tell(home, characteristic, *memory)
    assert [item.kind for item in written_items(home)] == [kind] * 3
    tell(home, characteristic, *memory, make(ago(home, 1), 9))
    assert len(written_items(home)) == 4
    assert home.outbox.counts().duplicates == 3


@pytest.mark.parametrize("kind", TIMED)
def test_the_same_indication_twice_in_one_link_is_one_value(home: Home, kind: str) -> None:
    characteristic, make = TIMED[kind]
    raw = make(ago(home, 1), 0)
    tell(home, characteristic, raw, raw)
    assert len(written_items(home)) == 1


@pytest.mark.parametrize("kind", sorted(set(TIMED) - {"glucose"}))
def test_without_a_time_an_equal_value_is_kept_and_marked(home: Home, kind: str) -> None:
    characteristic, make = TIMED[kind]
    tell(home, characteristic, make(None, 0), make(None, 0))
    first, second = written_items(home)
    assert "possible_repeat" not in first.flags
    assert "possible_repeat" in second.flags
    assert first.uid != second.uid


UNTIMED = sorted(set(TIMED) - {"glucose"})


@pytest.mark.parametrize("kind", UNTIMED)
def test_without_a_time_each_value_of_a_replayed_memory_is_kept_and_marked(
    home: Home, kind: str
) -> None:
    characteristic, make = TIMED[kind]
    memory = [make(None, n) for n in range(3)]
    for raw in memory:
        tell(home, characteristic, raw)
        home.clock.push(600)
    # At the next link, where the last value is new.
    home.clock.push(3600)
    tell(home, characteristic, *memory, make(None, 9))
    flags = [item.flags for item in written_items(home)]
    assert [("possible_repeat" in one) for one in flags] == [False] * 3 + [True] * 3 + [False]


def test_a_memory_is_remembered_when_the_gateway_starts_anew(tmp_path: Path) -> None:
    characteristic, make = TIMED["blood_pressure"]
    memory = [make(None, n) for n in range(3)]
    before = make_home(tmp_path / "outbox.sqlite3")
    tell(before, characteristic, *memory)
    before.outbox.close()
    after = make_home(tmp_path / "outbox.sqlite3", kernel_boot=str(uuid.UUID(int=2)))
    tell(after, characteristic, *memory)
    flags = [item.flags for item in written_items(after)]
    assert [("possible_repeat" in one) for one in flags] == [False] * 3 + [True] * 3
    after.outbox.close()


def test_an_equal_temperature_days_later_is_another_but_not_in_a_quick_row(home: Home) -> None:
    characteristic, make = TIMED["body_temperature"]
    for n in (0, 1, 2):
        tell(home, characteristic, make(None, n))
    home.clock.push(timedelta(hours=36).total_seconds())
    tell(home, characteristic, make(None, 0))
    assert "possible_repeat" not in written_items(home)[-1].flags
    # Nobody measures again within a second: this is the memory after all.
    home.clock.push(1)
    tell(home, characteristic, make(None, 1))
    assert "possible_repeat" in written_items(home)[-1].flags
    home.clock.push(timedelta(hours=36).total_seconds())
    tell(home, characteristic, make(None, 2))
    assert "possible_repeat" not in written_items(home)[-1].flags


def test_what_is_remembered_of_a_device_is_bounded(home: Home) -> None:
    _, make = TIMED["blood_pressure"]
    for n in range(REMEMBERED_RECORDS + 1):
        tell(home, "2A35", make(None, n - 100))
    tell(home, "2A35", make(None, -100))
    connection = home.outbox.connection
    (count,) = connection.execute("SELECT count(*) FROM remembered").fetchone()
    assert count == REMEMBERED_RECORDS
    # The oldest is forgotten, so it looks new; the one after it would not.
    assert "possible_repeat" not in written_items(home)[-1].flags
    tell(home, "2A35", make(None, -98))
    assert "possible_repeat" in written_items(home)[-1].flags


@pytest.mark.parametrize(("characteristic", "raw"), [("2A37", "0048"), ("2A5F", "00 6100 4800")])
def test_a_state_that_stays_the_same_is_no_repeat(
    home: Home, characteristic: str, raw: str
) -> None:
    for _ in range(4):
        tell(home, characteristic, bytes.fromhex(raw))
        home.clock.push(15)
    assert [item.flags for item in written_items(home)] == [()] * 4


@pytest.mark.parametrize("kind", TIMED)
def test_two_values_of_one_second_are_two(home: Home, kind: str) -> None:
    characteristic, make = TIMED[kind]
    time = ago(home, 1)
    tell(home, characteristic, make(time, 0), make(time, 1))
    assert len(written_items(home)) == 2


def test_a_number_that_a_meter_uses_again_is_another_value(home: Home) -> None:
    """After a change of batteries record 1 is another record 1; each replay is itself."""
    _, make = TIMED["glucose"]
    old, new = make(ago(home, 600), 1), make(ago(home, 5), 1)
    tell(home, "2A18", old, new, old, new)
    assert [item.dev_seq for item in written_items(home)] == [1, 1]
    assert home.outbox.counts().duplicates == 2


def test_a_glucose_value_without_a_time_is_known_by_its_number(home: Home) -> None:
    _, make = TIMED["glucose"]
    tell(home, "2A18", make(None, 1), make(None, 2), make(None, 1))
    assert [item.dev_seq for item in written_items(home)] == [1, 2]
    assert not any("possible_repeat" in item.flags for item in written_items(home))


@pytest.mark.parametrize("characteristic", FAILED)
def test_a_measurement_that_failed_is_an_event_of_its_kind(home: Home, characteristic: str) -> None:
    tell(home, characteristic, FAILED[characteristic])
    (item,) = written_items(home)
    assert (item.type, item.event) == ("event", "measurement_failed")
    assert item.kind is not None
    assert item.raw == FAILED[characteristic].hex()
    assert wire.fault_of(item) is None


@pytest.mark.parametrize(
    "flag", ["early_estimate", "invalid_measurement", "demonstration", "measurement_unavailable"]
)
@pytest.mark.parametrize("characteristic", ["2A5E", "2A5F"])
def test_an_oximeters_doubts_travel_with_the_value(
    home: Home, characteristic: str, flag: str
) -> None:
    bit = next(bit for bit, name in plx.MEASUREMENT_STATUS.items() if name == flag)
    status = (1 << bit).to_bytes(2, "little")
    # By hand: flags (2A5E: bit 1, 2A5F: bit 2 for the status), SpO2 91, pulse 60, status.
    flags = b"\x02" if characteristic == "2A5E" else b"\x04"
    tell(home, characteristic, flags + bytes.fromhex("5B00 3C00") + status)
    (item,) = written_items(home)
    assert (item.type, item.samples[0].value) == ("value", 91.0)
    assert flag in item.flags
