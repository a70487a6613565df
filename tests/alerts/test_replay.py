"""A history stepped through as it became known."""

from __future__ import annotations

import json
import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.decision import Decided, Decision
from alerts.plan import plan_for
from alerts.replay import Arrival, line, replay
from alerts.series_table import read
from tests.alerts.fix_readings import MORNING, at, pressure

RULES = plan_for().rules
LATER = MORNING + timedelta(days=400)
HEAD = "patient,time,kind,code,value,unit,received\n"


def came(systolic: float, diastolic: float, minutes: float, *, late: float = 0) -> Arrival:
    seq = round(minutes * 1000)
    return Arrival(at(minutes + late), tuple(pressure(systolic, diastolic, minutes, seq=seq)))


def decided(*arrivals: Arrival, until_minutes: float | None = None) -> list[Decision]:
    until = LATER if until_minutes is None else at(until_minutes)
    return list(replay(RULES, {"1": arrivals}, until=until))


def test_a_value_fires_when_it_came() -> None:
    (one,) = decided(came(171, 80, 0, late=30))
    assert one.decided is Decided.FIRE
    assert one.decided_at == at(30)
    assert one.evidence[0].measured_at == at(0)


def test_an_episode_ends_72_hours_after_its_last_evidence_and_fires_anew() -> None:
    day = 24 * 60
    made = decided(*(came(171, 80, d * day) for d in (0, 2, 4.999, 7.999)))
    assert [one.decided for one in made] == [
        Decided.FIRE, Decided.EXTEND, Decided.EXTEND, Decided.FIRE,
    ]  # fmt: skip
    assert made[0].alert_id == made[2].alert_id != made[3].alert_id


def test_a_weeks_backlog_is_one_finding() -> None:
    day = 24 * 60
    made = decided(*(came(171, 80, d * day, late=(7 - d) * day) for d in range(7)))
    assert [one.decided for one in made].count(Decided.FIRE) == 1
    assert {one.decided_at for one in made} == {at(7 * day)}


def test_what_came_after_the_given_time_is_not_known() -> None:
    assert decided(came(171, 80, 10), until_minutes=9) == []
    assert len(decided(came(171, 80, 10), until_minutes=10)) == 1


def test_decisions_of_all_come_in_the_order_decided() -> None:
    history = {"b": [came(171, 80, 0)], "a": [came(171, 80, 0)], "c": [came(171, 80, -5)]}
    made = replay(RULES, history, until=LATER)
    assert [one.subject for one in made] == ["c", "a", "b"]


def test_a_line_is_what_the_contract_says() -> None:
    text = HEAD + "7,2026-11-22T07:12:00Z,blood_pressure,150021,183,mm[Hg],\n"
    (one,) = replay(RULES, read(text.splitlines()), until=LATER)
    said = json.loads(line(one))
    assert list(said) == [
        "patient", "rule", "version", "decision", "severity", "decided_at", "evidence", "text",
    ]  # fmt: skip
    assert said["patient"] == "7"
    assert (said["rule"], said["decision"], said["severity"]) == ("bp.high", "fire", "yellow")
    assert said["decided_at"] == "2026-11-22T07:12:00.000Z"
    assert said["evidence"] == [
        {"time": "2026-11-22T07:12:00.000Z", "code": "150021", "value": 183.0}
    ]
    assert said["text"]["sv"] == "Blodtryck över gräns: övertryck 183 mmHg (gräns 160 mmHg)."
    assert said["version"] == one.version


MEASURED = st.lists(
    st.tuples(
        st.integers(80, 230), st.integers(50, 120), st.integers(0, 20_000), st.integers(0, 3000)
    ),
    max_size=25,
    unique_by=lambda one: one[2],
)


def logged(arrivals: list[Arrival], until_minutes: float | None = None) -> list[bytes]:
    return [line(one) for one in decided(*arrivals, until_minutes=until_minutes)]


@given(MEASURED, st.randoms(use_true_random=False))
def test_neither_order_nor_doubles_of_the_history_change_a_byte(
    measured: list[tuple[int, int, int, int]], chance: random.Random
) -> None:
    arrivals = [came(s, d, minutes, late=late) for s, d, minutes, late in measured]
    mixed = arrivals + [one for one in arrivals if chance.random() < 0.3]
    chance.shuffle(mixed)
    assert logged(mixed) == logged(arrivals)


@given(MEASURED, st.integers(0, 23_000))
def test_what_was_decided_by_then_does_not_depend_on_what_came_later(
    measured: list[tuple[int, int, int, int]], minutes: int
) -> None:
    arrivals = [came(s, d, m, late=late) for s, d, m, late in measured]
    known = [one for one in arrivals if one.received_at <= at(minutes)]
    whole = [one for one in decided(*arrivals) if one.decided_at <= at(minutes)]
    assert [line(one) for one in whole] == logged(known)
    assert logged(arrivals, minutes) == logged(known)


@given(MEASURED, st.integers(-(10**6), 10**6))
def test_a_shift_of_all_times_shifts_the_decisions_and_nothing_else(
    measured: list[tuple[int, int, int, int]], shift: int
) -> None:
    here = decided(*(came(s, d, m, late=late) for s, d, m, late in measured))
    moved = [
        Arrival(
            one.received_at + timedelta(minutes=shift),
            tuple(pressure(s, d, m + shift, seq=round(m * 1000))),
        )
        for (s, d, m, late), one in zip(
            measured, [came(s, d, m, late=late) for s, d, m, late in measured], strict=True
        )
    ]
    there = list(replay(RULES, {"1": moved}, until=LATER + timedelta(minutes=max(shift, 0))))
    told = [(one.decided, one.rule.rule, one.severity, one.text) for one in here]
    assert told == [(one.decided, one.rule.rule, one.severity, one.text) for one in there]
