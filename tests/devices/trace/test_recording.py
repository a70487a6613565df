"""A recorded device: what it keeps of the real one, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.errors import TraceError
from devices.gatt import heart_rate, plx, temperature, weight
from devices.gatt.heart_rate import HeartRate
from devices.gatt.plx import SpotCheck
from devices.gatt.temperature import Temperature
from devices.gatt.weight import Weight
from devices.measurement import Absent
from devices.trace import recording
from devices.trace.invented import FIRST, invented
from devices.trace.recording import Recording, Slot, Trigger, record
from devices.trace.telling import only_device, tell
from tests.devices.gatt.test_any_bytes import READABLE
from tests.devices.gatt.test_gatt import COMPLETE
from tests.devices.trace.fix_traces import (
    ADDRESS,
    BTMON,
    CUFF,
    FOUND,
    MEASURED,
    VALUE,
    Packet,
    advertised,
    connected,
    disconnected,
    encrypted,
    ours,
    theirs,
    trace,
)


def recorded(*packets: Packet, keep_values: bool = False) -> Recording:
    return record(only_device(tell(trace(packets))), keep_values=keep_values)


def test_the_cuff_of_btmon() -> None:
    device = only_device(tell(BTMON.read_bytes()), CUFF)
    kept = record(device, keep_values=True)
    assert (kept.name, kept.model, kept.manufacturer) == (
        "A&D_UA-651BLE_V1",
        "UA-651BLE",
        "Hemma, virtual",
    )
    assert kept.must_bond
    assert [service.uuid for service in kept.services] == ["1810"]
    assert [step.raw for session in kept.sessions for step in session if step.sends] == [
        "1680004f005f00ea070b1611220542000000",
        "1696005b005f00ea070b1611220642000000",
    ]
    assert all(steps[-1].sends == "" for steps in kept.sessions), "it hung up by itself"


def test_nothing_personal_is_kept() -> None:
    packets = [
        advertised("0F0942505F3030314132423343 3444".replace(" ", "")),
        connected(),
        *FOUND,
        *ours("0A 1500"),
        *theirs("0B 48656D6D61"),
        *MEASURED,
        disconnected(),
    ]
    text = recording.encode(recorded(*packets))
    for private in (ADDRESS, ADDRESS.replace(":", ""), "001A2B3C4D", VALUE, "48656d6d61", "2026"):
        assert private.lower() not in text.lower(), private
    assert json.loads(text)["name"] == "BP_0000000000"
    kept = recording.encode(recorded(*packets, keep_values=True))
    assert VALUE.lower() in kept
    assert "48656d6d61" in kept
    assert ADDRESS not in kept


def test_each_step_has_its_trigger_and_its_delay() -> None:
    wrote = [*ours("12 1500 0101"), *theirs("13")]
    packets = [
        connected(),
        *FOUND,
        encrypted(),
        *theirs(f"1D 1200 {VALUE}"),
        *ours("1E"),
        *MEASURED,
        *wrote,
        *theirs("1B 1500 AA"),
        *ours("12 1500 FF"),
        *theirs("01 12 1500 80"),
        *theirs("1B 1500 BB"),
        disconnected(0x16),
    ]
    ((*steps,),) = recorded(*packets, keep_values=True).sessions
    assert [(step.after, step.at, step.sends, step.delay_s) for step in steps] == [
        (Trigger.ENCRYPTED, "", "2A35", 0.001),
        (Trigger.SUBSCRIBED, "2A35", "2A35", 0.002),
        (Trigger.WROTE, steps[2].at, steps[2].at, 0.002),
        (Trigger.WROTE, steps[2].at, steps[2].at, 0.003),
    ]


def test_a_link_without_a_value_is_no_session_and_one_that_never_shows_services_no_device() -> None:
    assert recorded(connected(), *FOUND, disconnected()).sessions == ()
    with pytest.raises(TraceError, match="no_device"):
        recorded(connected(), *MEASURED)


def test_a_model_that_cannot_be_read_is_called_by_its_name() -> None:
    information = [
        *ours("10 0100 FFFF 0028"),
        *theirs("11 06 2000 2200 0A18"),
        *ours("08 2000 2200 0328"),
        *theirs("09 07 2100 02 2200 242A"),
        *ours("0A 2200"),
    ]
    begin = [advertised("05094D797363"), connected(), *FOUND, *information]
    assert recorded(*begin, *theirs("0B FF")).model == "Mysc"
    assert recorded(*begin, *theirs("0B 55413121")).model == "UA1!"


# On disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_values", [True, False])
def test_there_and_back(keep_values: bool) -> None:
    one = recorded(connected(), *FOUND, *MEASURED, disconnected(), keep_values=keep_values)
    assert recording.decode(recording.encode(one)) == one


def spoilt(change: Callable[[dict[str, object]], object]) -> str:
    fields = json.loads(recording.encode(recorded(connected(), *FOUND, *MEASURED, disconnected())))
    change(fields)
    return json.dumps(fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "x" * ((1 << 20) + 1),
        "[" * 100_000,
        spoilt(lambda fields: fields.update(hemma_recorded_device=2)),
        spoilt(lambda fields: fields.update(services=[])),
        spoilt(lambda fields: fields.update(name=None)),
        spoilt(lambda fields: fields.update(more=1)),
        spoilt(lambda fields: fields["services"][0]["slots"][0].update(value="xy")),  # type: ignore[index]
        spoilt(lambda fields: fields["sessions"][0][0].update(after="never")),  # type: ignore[index]
        spoilt(lambda fields: fields["sessions"][0][0].update(delay_s=61)),  # type: ignore[index]
        spoilt(lambda fields: fields["sessions"][0][0].update(delay_s="a")),  # type: ignore[index]
        spoilt(lambda fields: fields["sessions"][0][0].update(sends="2A36")),  # type: ignore[index]
        spoilt(lambda fields: fields["sessions"][0][0].update(raw="0")),  # type: ignore[index]
    ],
)
def test_what_is_no_recording(text: str) -> None:
    with pytest.raises(TraceError) as error:
        recording.decode(text)
    assert error.value.reason == "bad_recording"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists))
def test_any_json_is_a_recording_or_is_refused(value: object) -> None:
    with pytest.raises(TraceError):
        recording.decode(spoilt(lambda fields: fields.update(services=value)))


# Invented numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        *((uuid, bytes.fromhex(digits)) for uuid, digits in (*COMPLETE, *READABLE)),
        ("2A1C", temperature.encode(Temperature(98.6, in_fahrenheit=True, site="ear"))),
        ("2A9D", weight.encode(Weight(180.5, is_imperial=True, user=2, bmi=25, height=70))),
        ("2A9D", weight.encode(Weight(Absent.NAN))),
        ("2A5E", plx.encode(SpotCheck(88, 120, status=1 << 5, sensor_status=8))),
        ("2A37", heart_rate.encode(HeartRate(130, has_contact=False, rr_1024ths_s=(800, 810)))),
        ("2A35", bytes.fromhex("00FF07FF07FF07")),
        ("2A35", b"\xff\xff"),
        ("2A18", bytes.fromhex("000100EA070B16070C00")),
    ],
)
def test_invented_numbers_keep_layout_flags_and_what_is_missing(uuid: str, raw: bytes) -> None:
    made = invented(uuid, raw, 3)
    assert len(made) == len(raw)
    if uuid == "2A36":
        assert made[0] == raw[0]
        return
    if uuid not in ("2A35", "2A1C", "2A9D", "2A5E", "2A18", "2A37") or raw == b"\xff\xff":
        assert made in (bytes(len(raw)), raw)
        return
    assert made[0] == raw[0]
    before, after = gatt.decode(uuid, raw), gatt.decode(uuid, made)
    assert isinstance(before, gatt.Reading)
    assert isinstance(after, gatt.Reading)
    (was,), (now,) = before.measurements, after.measurements
    assert [(s.code, s.absent) for s in was.samples] == [(s.code, s.absent) for s in now.samples]
    assert was.flags == now.flags
    assert set(was.context) == set(now.context)
    if was.device_time is not None and now.device_time is not None:
        assert now.device_time.date() == FIRST.date()


def test_slots_keep_what_tells_nobody_anything() -> None:
    one = recorded(connected(), *FOUND, *MEASURED, disconnected())
    slots = {slot.uuid: slot for service in one.services for slot in service.slots}
    assert slots["2A35"] == Slot("2A35", ("indicate",))
    assert replace(one, values_kept=True) != one
