"""Talking with a TaiDoc meter: what is new, once, in order, with its own time, on any line."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.conversation.commands import Moment, NoteClock, WriteValue
from devices.gatt import taidoc
from devices.gatt.taidoc import CHARACTERISTIC, Command, Frame
from devices.measurement import Measurement
from devices.vendor import taidoc_meter
from devices.vendor.taidoc import RECORDS_MAX, TRIES_MAX, Reading
from devices.vendor.taidoc_meter import Stored
from tests.devices.vendor.fix_meter import (
    NOW,
    Fault,
    Meter,
    late,
    link,
    silent,
    spoilt,
    twice,
    whole,
)

MINUTE = NOW.replace(second=0)


def pressures(count: int, *, last: datetime = MINUTE, step_min: int = 60) -> list[Stored]:
    """Return ``count`` records, the newest last and at ``last``; systolic tells which it is."""
    return [
        taidoc_meter.pressure(
            last - timedelta(minutes=step_min * (count - 1 - n)),
            systolic_mmhg=100 + n,
            diastolic_mmhg=70,
            pulse_bpm=60,
        )
        for n in range(count)
    ]


def read(raw: bytes) -> Measurement:
    decoded = gatt.decode(CHARACTERISTIC, raw)
    assert isinstance(decoded, gatt.Reading)
    (one,) = decoded.measurements
    return one


def systolic(raw: bytes) -> float | None:
    return read(raw).samples[0].value


def commands(meter: Meter) -> list[str]:
    return [Command(taidoc.read_frame(raw).command).name for raw in meter.questions]


def test_a_first_link_reads_all_oldest_first_and_switches_off() -> None:
    meter = Meter(pressures(3))
    told = link(Reading(), meter)
    assert [systolic(raw) for raw in told.kept] == [100, 101, 102]
    times = [read(raw).device_time for raw in told.kept]
    assert times == [MINUTE - timedelta(hours=2), MINUTE - timedelta(hours=1), MINUTE]
    assert told.events == []
    assert told.others == [NoteClock(0.0)]
    assert commands(meter) == [
        *("MODEL", "CLOCK", "RECORD_COUNT"),
        *["RECORD_TIME", "MODEL"] * 3,
        *["RECORD_TIME", "RECORD_VALUE"] * 3,
        "TURN_OFF",
    ]


def test_the_next_link_reads_only_what_is_new() -> None:
    records = pressures(3)
    told = link(Reading(), Meter(records))
    newer = [*records, *pressures(1, last=MINUTE + timedelta(hours=5))]
    meter = Meter(newer)
    again = link(Reading(told.sequences[-1]), meter)
    assert [systolic(raw) for raw in again.kept] == [100]
    assert commands(meter).count("RECORD_VALUE") == 1
    assert link(Reading(again.sequences[-1]), Meter(newer)).kept == []


def test_two_records_of_one_minute_are_two_and_none_comes_again() -> None:
    first = taidoc_meter.pressure(MINUTE, systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=60)
    second = taidoc_meter.pressure(MINUTE, systolic_mmhg=130, diastolic_mmhg=80, pulse_bpm=60)
    told = link(Reading(), Meter([first]))
    again = link(Reading(told.sequences[-1]), Meter([first, second]))
    assert [systolic(raw) for raw in again.kept] == [130]
    assert link(Reading(again.sequences[-1]), Meter([first, second])).kept == []


def test_a_link_lost_in_between_goes_on_where_it_stopped() -> None:
    records = pressures(5)
    # Model, clock, count, five times with their fences, then time and value of two.
    broken = link(Reading(), Meter(records), lost_after=18)
    assert 0 < len(broken.kept) < 5
    rest = link(Reading(broken.sequences[-1]), Meter(records))
    assert [systolic(raw) for raw in broken.kept + rest.kept] == [100, 101, 102, 103, 104]


def test_a_clock_that_went_back_is_told_and_all_is_read_anew() -> None:
    last = link(Reading(), Meter(pressures(2))).sequences[-1]
    old = pressures(2, last=datetime(2020, 1, 1, 0, 30))  # noqa: DTZ001 - a device's
    told = link(Reading(last), Meter(old))
    assert told.events == ["numbering_restarted"]
    assert told.sequences[0] is None
    assert [systolic(raw) for raw in told.kept] == [100, 101]
    assert link(Reading(told.sequences[-1]), Meter(old)).kept == []


def test_records_from_before_the_clock_was_set_back_come_no_second_time() -> None:
    ahead = pressures(3, last=MINUTE + timedelta(hours=1), step_min=0)
    last = link(Reading(), Meter(ahead)).sequences[-1]
    memory = [*ahead, *pressures(1)]
    told = link(Reading(last), Meter(memory))
    assert told.events == ["numbering_restarted"]
    memory += pressures(1, last=MINUTE + timedelta(minutes=2))
    again = link(Reading(told.sequences[-1]), Meter(memory))
    assert (again.kept, again.events) == ([again.kept[-1]], [])


def test_records_without_a_time_are_kept_too() -> None:
    records = [*pressures(1), *(Stored(None, bytes((n, 90, 80, 60))) for n in (140, 150))]
    told = link(Reading(), Meter(records))
    assert [systolic(raw) for raw in told.kept] == [100, 140, 150]
    assert read(told.kept[-1]).flags == ("device_time_unknown",)
    assert len(told.sequences) == 1


def test_no_records_at_all() -> None:
    told = link(Reading(), Meter([]))
    assert (told.kept, told.sequences, told.events) == ([], [], [])


def test_a_long_memory_is_read_from_its_new_end_and_the_rest_is_told() -> None:
    records = pressures(RECORDS_MAX + 7)
    told = link(Reading(), Meter(records))
    assert len(told.kept) == RECORDS_MAX
    assert systolic(told.kept[-1]) == 100 + RECORDS_MAX + 6
    assert told.events == ["records_missing"]


@pytest.mark.parametrize(
    ("clock", "offset_s", "is_set"),
    [
        (NOW, 0.0, False),
        (NOW - timedelta(minutes=1), -60.0, False),
        (NOW + timedelta(hours=1), 3600.0, True),
        (NOW - timedelta(days=365), -365 * 86400.0, True),
        (None, None, True),
    ],
)
def test_the_clock_is_noted_first_and_set_last(
    clock: datetime | None, offset_s: float | None, is_set: bool
) -> None:
    meter = Meter(pressures(1), clock=clock)
    told = link(Reading(), meter)
    assert told.others == [NoteClock(offset_s)]
    assert commands(meter)[-2:] == (
        ["SET_CLOCK", "TURN_OFF"] if is_set else ["RECORD_VALUE", "TURN_OFF"]
    )
    assert meter.clock == (MINUTE if is_set else clock)
    assert len(told.kept) == 1


def test_no_clock_is_set_by_a_time_that_nobody_knows() -> None:
    meter = Meter(pressures(1), clock=None)
    told = link(Reading(), meter, local=None)
    assert "SET_CLOCK" not in commands(meter)
    assert told.others == []
    assert len(told.kept) == 1


def test_a_clock_that_is_not_taken_is_told() -> None:
    before = ("MODEL", "CLOCK", "RECORD_COUNT", "RECORD_TIME", "MODEL", "RECORD_TIME", "VALUE")
    faults = [*[whole] * len(before), *[silent] * TRIES_MAX]
    told = link(Reading(), Meter(pressures(1), clock=None, faults=faults))
    assert told.events == ["clock_refused"]
    assert len(told.kept) == 1


@pytest.mark.parametrize("fault", [silent, spoilt, late, twice])
@pytest.mark.parametrize("place", range(15))
def test_one_fault_anywhere_costs_nothing(fault: Fault, place: int) -> None:
    meter = Meter(pressures(3), faults=[*[whole] * place, fault])
    told = link(Reading(), meter)
    assert [systolic(raw) for raw in told.kept] == [100, 101, 102]
    assert told.events == []


def test_a_measurement_in_between_moves_all_places_and_the_next_link_reads_on() -> None:
    records = pressures(3)
    later = pressures(1, last=MINUTE + timedelta(minutes=2))

    def measure(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        records.extend(later)
        return frames

    # During the time of the second value.
    told = link(Reading(), Meter(records, faults=[*[whole] * 10, measure]))
    assert told.events == ["records_missing"]
    assert [systolic(raw) for raw in told.kept] == [100]
    rest = link(Reading(told.sequences[-1]), Meter(records))
    assert [systolic(raw) for raw in rest.kept] == [101, 102, 100]


@pytest.mark.parametrize(("place", "kept"), [(0, 0), (2, 0), (4, 0), (11, 1)])
def test_a_meter_that_falls_silent_is_given_up_on(place: int, kept: int) -> None:
    meter = Meter(pressures(3), faults=[*[whole] * place, *[silent] * 50])
    told = link(Reading(), meter)
    assert told.events == ["records_missing"]
    assert len(told.kept) == kept
    assert told.seconds <= 3 * TRIES_MAX * 2 + 2


def test_a_clock_that_is_not_told_loses_no_record() -> None:
    told = link(Reading(), Meter(pressures(2), faults=[whole, *[silent] * TRIES_MAX]))
    assert len(told.kept) == 2
    assert told.others == []


FAULTS = st.lists(st.sampled_from([whole, whole, silent, spoilt, twice, late]), max_size=30)


@given(FAULTS, st.integers(0, 6), st.integers(1, 120))
def test_whatever_the_line_does_a_value_keeps_its_own_time(
    faults: list[Fault], count: int, step_min: int
) -> None:
    records = pressures(count, step_min=step_min)
    told = link(Reading(), Meter(records, faults=faults))
    true = {(record.time, float(record.value[0])) for record in records}
    pairs = [(read(raw).device_time, systolic(raw)) for raw in told.kept]
    assert set(pairs) <= true
    assert len(set(pairs)) == len(pairs)
    assert pairs == sorted(pairs)
    if "records_missing" not in told.events:
        assert len(pairs) == count


@given(FAULTS, FAULTS, st.integers(1, 6))
def test_what_one_link_missed_the_next_one_brings(
    faults: list[Fault], more: list[Fault], count: int
) -> None:
    records = pressures(count)
    last: int | None = None
    kept: list[bytes] = []
    for line in (faults, more, []):
        told = link(Reading(last), Meter(records, faults=line))
        kept += told.kept
        last = told.sequences[-1] if told.sequences else last
    assert [systolic(raw) for raw in kept] == [100 + n for n in range(count)]


@given(st.lists(st.binary(max_size=24), max_size=40))
def test_any_bytes_from_a_meter_end_the_talk_and_nothing_worse(frames: list[bytes]) -> None:
    exchange = Reading()
    exchange.begin(Moment(0.0, NOW))
    for second, raw in enumerate(frames):
        exchange.heard(CHARACTERISTIC, raw, Moment(float(second), NOW))
        exchange.written(CHARACTERISTIC, second % 3 == 0, Moment(float(second), NOW))
    for second in range(len(frames), len(frames) + 60):
        exchange.tick(Moment(float(second), NOW))
    assert exchange.is_done


def test_a_refused_write_is_tried_again() -> None:
    exchange = Reading()
    (question,) = exchange.begin(Moment(0.0, NOW))
    assert exchange.written(CHARACTERISTIC, False, Moment(0.1, NOW)) == (question,)
    assert exchange.written(CHARACTERISTIC, True, Moment(0.2, NOW)) == ()


def test_a_meter_that_says_it_is_ready_gets_the_question_again() -> None:
    exchange = Reading()
    (question,) = exchange.begin(Moment(0.0, NOW))
    ready = taidoc_meter.ready()
    assert exchange.heard(CHARACTERISTIC, ready, Moment(0.5, NOW)) == (question,)


def test_an_echo_and_another_characteristic_are_nothing() -> None:
    exchange = Reading()
    (question,) = exchange.begin(Moment(0.0, NOW))
    assert isinstance(question, WriteValue)
    assert exchange.heard(CHARACTERISTIC, question.raw, Moment(0.1, NOW)) == ()
    assert exchange.heard("2A19", b"\x50", Moment(0.1, NOW)) == ()


def test_after_the_end_nothing_is_asked() -> None:
    meter = Meter([])
    exchange = Reading()
    link(exchange, meter)
    frame = taidoc.encode_frame(Frame(Command.MODEL, is_answer=True))
    assert exchange.heard(CHARACTERISTIC, frame, Moment(99.0, NOW)) == ()
    assert exchange.written(CHARACTERISTIC, False, Moment(99.0, NOW)) == ()
    assert exchange.tick(Moment(199.0, NOW)) == ()


def test_thermometers_and_glucose_meters_are_asked_alike() -> None:
    told = link(Reading(), Meter([taidoc_meter.temperature(MINUTE, 38.5, place=3)], model="1241"))
    one = read(told.kept[0])
    assert (one.kind, one.samples[0].value, one.context) == (
        "body_temperature",
        38.5,
        {"site": "armpit"},
    )
    told = link(Reading(), Meter([taidoc_meter.glucose(MINUTE, 104, meal=1)], model="4277"))
    assert read(told.kept[0]).kind == "glucose"


def test_a_meter_stays_silent_where_it_is_not_asked_rightly() -> None:
    def ask(raw: bytes) -> tuple[bytes, ...]:
        return taidoc_meter.answers(raw, model="3128", clock=NOW, records=pressures(1))

    assert ask(b"nonsense") == ()
    assert ask(taidoc_meter.ready()) == ()
    assert ask(taidoc.encode_frame(Frame(Command.READY))) == ()
    assert ask(taidoc.encode_frame(Frame(Command.RECORD_TIME, bytes((1, 0, 0, 0))))) == ()
    assert taidoc_meter.clock_set_by(b"nonsense") is None


def test_a_record_of_irregular_beats() -> None:
    record = taidoc_meter.pressure(
        MINUTE, systolic_mmhg=130, diastolic_mmhg=80, pulse_bpm=90, is_irregular=True
    )
    told = link(Reading(), Meter([record]))
    assert read(told.kept[0]).flags == ("irregular_pulse",)
