"""Talking with a TaiDoc meter: what is new, once, in order, with its own time, on any line."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.conversation.commands import Moment, NoteClock, Pause, WriteValue
from devices.gatt import taidoc
from devices.gatt.taidoc import CHARACTERISTIC, Command, Frame
from devices.measurement import Measurement
from devices.vendor import taidoc_meter
from devices.vendor.taidoc import RECORDS_MAX, TOGETHER, TRIES_MAX, Reading
from devices.vendor.taidoc_meter import Stored
from tests.devices.vendor.fix_meter import (
    NOW,
    Fault,
    Meter,
    after,
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
    assert told.others == [NoteClock(0.0), Pause()]
    assert commands(meter) == [
        *("MODEL", "CLOCK", "RECORD_COUNT"),
        *["RECORD_TIME", "RECORD_VALUE"] * 3,
        *("RECORD_COUNT", "RECORD_TIME", "RECORD_VALUE"),
        "TURN_OFF",
    ]


def test_the_next_link_reads_only_what_is_new() -> None:
    records = pressures(3)
    told = link(Reading(), Meter(records))
    newer = [*records, *pressures(1, last=MINUTE + timedelta(hours=5))]
    meter = Meter(newer)
    again = link(after(told), meter)
    assert [systolic(raw) for raw in again.kept] == [100]
    # The new one twice, and two that are known.
    assert commands(meter).count("RECORD_VALUE") == 4
    assert link(after(again), Meter(newer)).kept == []


def test_two_records_of_one_minute_are_two_and_none_comes_again() -> None:
    first = taidoc_meter.pressure(MINUTE, systolic_mmhg=120, diastolic_mmhg=80, pulse_bpm=60)
    second = taidoc_meter.pressure(MINUTE, systolic_mmhg=130, diastolic_mmhg=80, pulse_bpm=60)
    told = link(Reading(), Meter([first]))
    again = link(after(told), Meter([first, second]))
    assert [systolic(raw) for raw in again.kept] == [130]
    assert link(after(again), Meter([first, second])).kept == []


def test_a_link_lost_in_between_goes_on_where_it_stopped() -> None:
    records = pressures(20)
    # Model, clock, count, the newest, then time and value of nine and the look at the newest.
    broken = link(Reading(), Meter(records), lost_after=3 + 2 + 16 + 3 + 2)
    assert len(broken.kept) == TOGETHER
    rest = link(after(broken), Meter(records))
    assert [systolic(raw) for raw in broken.kept + rest.kept] == [100 + n for n in range(20)]


def test_a_clock_that_went_back_hides_nothing_and_repeats_nothing() -> None:
    ahead = pressures(3, last=MINUTE + timedelta(hours=1), step_min=0)
    told = link(Reading(), Meter(ahead))
    memory = [*ahead, *pressures(1)]
    again = link(after(told), Meter(memory))
    assert ([systolic(raw) for raw in again.kept], again.events) == ([100], [])
    memory += pressures(1, last=MINUTE + timedelta(minutes=2))
    third = link(after(again), Meter(memory))
    assert (len(third.kept), third.events) == (1, [])
    assert link(after(third), Meter(memory)).kept == []


@pytest.mark.parametrize("time", [MINUTE, None])
def test_a_memory_that_was_emptied_is_told_and_all_is_read(time: datetime | None) -> None:
    def record(systolic_mmhg: int) -> Stored:
        return taidoc_meter.pressure(
            time, systolic_mmhg=systolic_mmhg, diastolic_mmhg=80, pulse_bpm=60
        )

    told = link(Reading(), Meter([record(130), record(140)]))
    fresh = [taidoc_meter.pressure(None, systolic_mmhg=140, diastolic_mmhg=80, pulse_bpm=60)]
    again = link(after(told), Meter(fresh))
    assert ([systolic(raw) for raw in again.kept], again.events) == ([140], ["numbering_restarted"])
    assert link(after(again), Meter(fresh)).kept == []
    assert link(after(again), Meter([])).kept == []


def test_a_note_without_its_proof_is_no_note() -> None:
    records = pressures(2)
    for exchange in (Reading(2, None), Reading(2, b"odd"), Reading(None, bytes(8))):
        told = link(exchange, Meter(records))
        assert ([systolic(raw) for raw in told.kept], told.events) == ([100, 101], [])


def test_records_without_a_time_are_kept_too_and_once() -> None:
    records = [*pressures(1), *(Stored(None, bytes((n, 90, 80, 60))) for n in (140, 150, 150))]
    told = link(Reading(), Meter(records))
    assert [systolic(raw) for raw in told.kept] == [100, 140, 150, 150]
    assert read(told.kept[-1]).flags == ("device_time_unknown",)
    assert link(after(told), Meter(records)).kept == []
    records.append(Stored(None, bytes((150, 90, 80, 60))))
    again = link(after(told), Meter(records))
    assert ([systolic(raw) for raw in again.kept], again.events) == ([150], [])
    assert link(after(again), Meter(records)).kept == []


@dataclass
class Life:
    """A meter with a small memory that is read over many links by one gateway."""

    capacity: int
    reading: Reading = field(default_factory=Reading)
    clock: datetime | None = MINUTE
    measured: list[bytes] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    memory: list[Stored] = field(default_factory=list)

    def measure(self, value: int) -> None:
        body = bytes((value, 90, 80, 60))
        self.memory.append(Stored(self.clock, body))
        del self.memory[: -self.capacity]
        self.measured.append(taidoc.encode_stamp(self.clock) + body)

    def read(self, lost_after: int | None = None) -> None:
        meter = Meter(self.memory, clock=self.clock)
        told = link(self.reading, meter, local=None, lost_after=lost_after)
        self.kept += [raw[10:14] + raw[18:22] for raw in told.kept]
        self.reading = after(told, self.reading)


DAY = st.lists(
    st.one_of(
        st.tuples(st.just("measure"), st.integers(100, 103)),
        st.tuples(st.just("pass"), st.integers(0, 90)),
        st.tuples(st.just("cut"), st.integers(0, 40)),
        st.tuples(st.just("link"), st.just(0)),
    ),
    max_size=40,
)


def live(life: Life, day: list[tuple[str, int]]) -> None:
    for what, number in day:
        match what:
            case "measure":
                life.measure(number)
            case "pass" if life.clock is not None:
                life.clock += timedelta(minutes=number)
            case "cut":
                life.read(lost_after=number)
            case "link":
                life.read()
            case "back" if life.clock is not None:
                life.clock -= timedelta(minutes=number)
            case "reset":
                life.clock = None
            case "set":
                life.clock = MINUTE + timedelta(days=number)
            case "clear":
                life.memory.clear()
            case _:
                pass
    life.read()


BACK = st.tuples(st.sampled_from(["back", "reset", "set"]), st.integers(0, 120))


@given(st.one_of(st.just(MINUTE), st.none()), st.lists(st.one_of(DAY, BACK.map(lambda one: [one]))))
def test_every_record_is_kept_once_in_its_order_whatever_its_clock_does(
    clock: datetime | None, days: list[list[tuple[str, int]]]
) -> None:
    life = Life(capacity=1000, clock=clock)
    for day in days:
        live(life, day)
    assert life.kept == life.measured


@given(st.integers(2, 12), st.lists(DAY, max_size=6))
def test_a_full_memory_loses_only_what_it_lost_itself(
    capacity: int, days: list[list[tuple[str, int]]]
) -> None:
    life = Life(capacity=capacity)
    for day in days:
        life.clock = (life.clock or MINUTE) + timedelta(minutes=1)
        for start in range(0, len(day), max(1, capacity - 2)):
            # Between two whole links no more is measured than the memory holds.
            live(life, day[start : start + max(1, capacity - 2)])
            assert life.clock is not None
            life.clock += timedelta(minutes=1)
    assert life.kept == life.measured


@given(
    st.integers(3, 12),
    st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 40)), st.booleans())),
)
def test_a_full_memory_without_any_time_tells_its_records_apart_by_their_row(
    capacity: int, links: list[tuple[int, int | None, bool]]
) -> None:
    life = Life(capacity=capacity, clock=None)
    for number, (count, lost_after, is_emptied) in enumerate(links):
        if is_emptied:
            life.memory.clear()
        for _ in range(min(count, capacity - 1)):
            # Values that only come again after more than a memory.
            life.measure(20 + len(life.measured) % 200)
        if lost_after is not None:
            life.read(lost_after)
        life.read()
        assert life.kept == life.measured, number


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
    assert told.others == [NoteClock(offset_s), Pause()]
    assert commands(meter)[-2:] == (
        ["SET_CLOCK", "TURN_OFF"] if is_set else ["RECORD_VALUE", "TURN_OFF"]
    )
    assert meter.clock == (MINUTE if is_set else clock)
    assert len(told.kept) == 1


def test_no_clock_is_set_by_a_time_that_nobody_knows() -> None:
    meter = Meter(pressures(1), clock=None)
    told = link(Reading(), meter, local=None)
    assert "SET_CLOCK" not in commands(meter)
    assert told.others == [Pause()]
    assert len(told.kept) == 1


def test_a_clock_that_is_not_taken_is_told() -> None:
    # Model, clock, then twice count, time and value.
    faults = [*[whole] * 8, *[silent] * TRIES_MAX]
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


@pytest.mark.parametrize("place", range(13))
def test_a_measurement_in_between_moves_all_places_and_they_are_read_again(place: int) -> None:
    records = pressures(3)
    later = pressures(1, last=MINUTE + timedelta(minutes=2))

    def measure(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        records.extend(later)
        return frames

    told = link(Reading(), Meter(records, faults=[*[whole] * place, measure]))
    rest = link(after(told), Meter(records))
    assert told.events == []
    assert [systolic(raw) for raw in told.kept + rest.kept] == [100, 101, 102, 100]


def test_a_meter_that_measures_on_and_on_is_left_for_the_next_link() -> None:
    records = pressures(3)

    def measure(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if frames[0][1] == Command.RECORD_COUNT:
            records.extend(pressures(1, last=MINUTE + timedelta(minutes=len(records))))
        return frames

    told = link(Reading(), Meter(records, faults=[measure] * 40))
    assert (told.kept, told.events) == ([], ["records_missing"])


@pytest.mark.parametrize(("place", "kept"), [(0, 0), (2, 0), (4, 0), (9, 0), (11, 0)])
def test_a_meter_that_falls_silent_is_given_up_on(place: int, kept: int) -> None:
    meter = Meter(pressures(3), faults=[*[whole] * place, *[silent] * 50])
    told = link(Reading(), meter)
    assert told.events == ["records_missing"]
    assert len(told.kept) == kept
    assert told.seconds <= 3 * TRIES_MAX * 2 + 2


def test_a_clock_that_is_not_told_loses_no_record() -> None:
    told = link(Reading(), Meter(pressures(2), faults=[whole, *[silent] * TRIES_MAX]))
    assert len(told.kept) == 2
    assert told.others == [Pause()]


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
    exchange, kept = Reading(), []
    for line in (faults, more, []):
        told = link(exchange, Meter(records, faults=line))
        kept += told.kept
        exchange = after(told, exchange)
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
