"""An alert's life: single steps by table, and the invariants by a machine that does anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alerts.errors import HistoryError
from alerts.lifecycle import (
    NOTE_MAX,
    OUTCOME_TEXTS,
    AlertState,
    By,
    Condition,
    Detail,
    Event,
    Handling,
    Happened,
    Outcome,
    Refusal,
    Refused,
    close,
    fold,
    heard_again,
    note,
    release,
    take,
)
from alerts.rules import Severity, Text
from tests.alerts.fix_readings import at

KERSTIN, MATS = 1, 2
TEXT = Text("Gult", "Yellow")
FIRED = Event(
    at(0), Happened.FIRED, None, Detail(severity=Severity.YELLOW, text=TEXT, measured_at=at(0))
)


def by(staff_id: int, state: AlertState, minutes: float = 1) -> By:
    return By(staff_id, at(minutes), state.version)


def done(answer: Event | Refusal) -> Event:
    assert isinstance(answer, Event)
    return answer


def refused(answer: Event | Refusal) -> tuple[Refused, int | None]:
    assert isinstance(answer, Refusal)
    return answer.reason, answer.holder_id


def test_the_whole_life() -> None:
    events = [FIRED]
    state = fold(events)
    events.append(done(take(state, by(KERSTIN, state))))
    state = fold(events)
    assert (state.handling, state.owner_id) == (Handling.ACKNOWLEDGED, KERSTIN)
    events.append(done(note(state, by(KERSTIN, state), " Ringer strax. ")))
    state = fold(events)
    assert state.handling is Handling.IN_PROGRESS
    assert events[-1].detail.note == "Ringer strax."
    events.append(done(close(state, by(KERSTIN, state), Outcome.VISIT)))
    state = fold(events)
    assert (state.handling, state.outcome, state.closed_at) == (
        Handling.CLOSED,
        Outcome.VISIT,
        at(1),
    )
    assert events[-1].detail.while_firing
    assert state.version == 4


def test_the_second_nurse_hears_who_was_first() -> None:
    open_state = fold([FIRED])
    state = fold([FIRED, done(take(open_state, by(KERSTIN, open_state)))])
    assert refused(take(state, by(MATS, open_state))) == (Refused.HELD, KERSTIN)
    assert refused(release(state, by(MATS, state))) == (Refused.HELD, KERSTIN)
    assert refused(close(state, by(MATS, state), Outcome.VISIT)) == (Refused.HELD, KERSTIN)
    assert refused(take(state, by(KERSTIN, state))) == (Refused.ALREADY_YOURS, KERSTIN)


def test_taking_bears_new_evidence_and_closing_does_not() -> None:
    seen = fold([FIRED])
    more = Event(at(1), Happened.EXTENDED, None, Detail(measured_at=at(1)))
    state = fold([FIRED, more])
    assert done(take(state, by(KERSTIN, seen))).happened is Happened.TAKEN
    assert refused(close(state, by(KERSTIN, seen), Outcome.VISIT)) == (Refused.CHANGED, None)


RAISED = Event(
    at(5),
    Happened.RAISED,
    None,
    Detail(severity=Severity.YELLOW, text=Text("Nytt", "New"), measured_at=at(5)),
)


def test_what_is_raised_comes_back_to_everybody_and_keeps_its_owner() -> None:
    taken = [FIRED, Event(at(1), Happened.TAKEN, KERSTIN)]
    seen, state = fold(taken), fold([*taken, RAISED])
    assert (state.handling, state.owner_id, state.text.sv) == (Handling.OPEN, KERSTIN, "Nytt")
    assert state.needs_attention
    assert refused(close(state, by(KERSTIN, seen), Outcome.VISIT)) == (Refused.CHANGED, KERSTIN)
    assert refused(close(state, by(MATS, state), Outcome.VISIT)) == (Refused.HELD, KERSTIN)
    own = fold([*taken, RAISED, done(take(state, by(KERSTIN, seen)))])
    assert (own.handling, own.owner_id) == (Handling.ACKNOWLEDGED, KERSTIN)
    assert not own.needs_attention


def test_a_colleague_who_has_seen_it_may_take_what_was_raised() -> None:
    taken = [FIRED, Event(at(1), Happened.TAKEN, KERSTIN)]
    seen, state = fold(taken), fold([*taken, RAISED])
    assert refused(take(state, by(MATS, seen))) == (Refused.CHANGED, KERSTIN)
    over = fold([*taken, RAISED, done(take(state, by(MATS, state)))])
    assert (over.handling, over.owner_id) == (Handling.ACKNOWLEDGED, MATS)


def test_taking_after_a_close_changes_nothing() -> None:
    state = fold([FIRED])
    shut = fold([FIRED, done(close(state, by(MATS, state), Outcome.DUPLICATE, " Se ovan "))])
    assert refused(take(shut, by(KERSTIN, state))) == (Refused.CLOSED, MATS)


def test_releasing_gives_it_back() -> None:
    state = fold([FIRED])
    assert refused(release(state, by(KERSTIN, state))) == (Refused.NOT_YOURS, None)
    taken = [FIRED, Event(at(1), Happened.TAKEN, KERSTIN)]
    assert refused(release(fold(taken), by(KERSTIN, state))) == (Refused.CHANGED, KERSTIN)
    back = fold([*taken, done(release(fold(taken), by(KERSTIN, fold(taken))))])
    assert (back.handling, back.owner_id) == (Handling.OPEN, None)


def test_notes_have_words_and_an_end() -> None:
    state = fold([FIRED])
    assert refused(note(state, by(MATS, state), "  ")) == (Refused.EMPTY_NOTE, None)
    assert refused(note(state, by(MATS, state), "x" * (NOTE_MAX + 1))) == (Refused.LONG_NOTE, None)
    long_close = close(state, by(MATS, state), Outcome.VISIT, "x" * (NOTE_MAX + 1))
    assert refused(long_close) == (Refused.LONG_NOTE, None)
    assert fold([FIRED, done(note(state, by(MATS, state), "Obs"))]).handling is Handling.OPEN


def test_worse_raises_with_its_text_and_milder_does_not_lower() -> None:
    red = Detail(severity=Severity.RED, text=Text("Rött", "Red"), measured_at=at(5))
    mild = Detail(severity=Severity.YELLOW, text=TEXT, measured_at=at(3))
    state = fold(
        [
            FIRED,
            Event(at(5), Happened.RAISED, None, red),
            Event(at(6), Happened.EXTENDED, None, mild),
        ]
    )
    assert (state.severity, state.text.sv, state.measured_at) == (Severity.RED, "Rött", at(5))
    bare = Event(at(5), Happened.RAISED, None, Detail(severity=Severity.RED))
    assert fold([FIRED, bare]).text == TEXT


def test_a_value_that_is_anothers_is_said_and_takes_nothing_away() -> None:
    seen = [FIRED, Event(at(1), Happened.TAKEN, KERSTIN)]
    changed = Event(at(2), Happened.EVIDENCE_CHANGED)
    assert fold([*seen, changed]) == replace(fold(seen), version=3)
    shut = [*seen, Event(at(3), Happened.CLOSED, KERSTIN, Detail(outcome=Outcome.WRONG_PERSON))]
    assert fold([*shut, changed]) == replace(fold(shut), version=4)


def test_values_that_return_close_nothing() -> None:
    state = fold([FIRED, Event(at(1), Happened.RECOVERED)])
    assert (state.condition, state.handling) == (Condition.RECOVERED, Handling.OPEN)
    assert not done(close(state, by(MATS, state), Outcome.VISIT)).detail.while_firing
    again = Event(at(2), Happened.EXTENDED, None, Detail(measured_at=at(2)))
    assert fold([FIRED, Event(at(1), Happened.RECOVERED), again]).condition is Condition.FIRING


def test_equipment_that_is_heard_again() -> None:
    fired = fold([FIRED])
    events = heard_again(fired, at(9))
    assert [e.happened for e in events] == [Happened.RECOVERED, Happened.CLOSED_ITSELF]
    shut = fold([FIRED, *events])
    assert (shut.handling, shut.outcome, shut.owner_id) == (
        Handling.CLOSED,
        Outcome.TECHNICAL_FIXED,
        None,
    )
    assert heard_again(shut, at(10)) == ()
    held = fold([FIRED, Event(at(1), Happened.TAKEN, MATS)])
    assert [e.happened for e in heard_again(held, at(9))] == [Happened.RECOVERED]
    held = fold([FIRED, Event(at(1), Happened.TAKEN, MATS), Event(at(9), Happened.RECOVERED)])
    assert heard_again(held, at(10)) == ()


@pytest.mark.parametrize(
    "events",
    [
        [],
        [Event(at(0), Happened.TAKEN, MATS)],
        [Event(at(0), Happened.FIRED)],
        [FIRED, FIRED],
        [FIRED, Event(at(1), Happened.CLOSED, None, Detail(outcome=Outcome.VISIT))],
        [FIRED, Event(at(1), Happened.CLOSED, MATS)],
        [
            FIRED,
            Event(at(1), Happened.CLOSED, MATS, Detail(outcome=Outcome.VISIT)),
            Event(at(2), Happened.TAKEN, MATS),
        ],
    ],
)
def test_a_history_no_alert_can_have_is_refused(events: list[Event]) -> None:
    with pytest.raises(HistoryError):
        fold(events)


def test_every_outcome_has_words() -> None:
    assert set(OUTCOME_TEXTS) == set(Outcome)


class Life(RuleBasedStateMachine):
    """Engine and people do anything in any order; what clinical.md 4b demands holds throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.events = [FIRED]
        self.minute = 0.0

    @property
    def state(self) -> AlertState:
        return fold(self.events)

    def _by(self, staff_id: int, behind: int) -> By:
        self.minute += 1
        return By(staff_id, at(self.minute), self.state.version - behind)

    def _keep(self, answer: Event | Refusal) -> None:
        if isinstance(answer, Event):
            self.events.append(answer)

    @precondition(lambda self: self.state.handling is not Handling.CLOSED)
    @rule(severity=st.sampled_from([Severity.YELLOW, Severity.RED]), age=st.integers(0, 500))
    def more_evidence(self, severity: Severity, age: int) -> None:
        before = self.state.severity
        detail = Detail(severity=severity, text=TEXT, measured_at=at(self.minute - age))
        self.events.append(Event(at(self.minute), Happened.EXTENDED, None, detail))
        assert self.state.severity.rank == max(before.rank, severity.rank)

    @precondition(lambda self: self.state.handling is not Handling.CLOSED)
    @rule(severity=st.sampled_from([Severity.YELLOW, Severity.RED]))
    def something_raises(self, severity: Severity) -> None:
        owner = self.state.owner_id
        detail = Detail(severity=severity, text=TEXT, measured_at=at(self.minute))
        self.events.append(Event(at(self.minute), Happened.RAISED, None, detail))
        assert (self.state.handling, self.state.owner_id) == (Handling.OPEN, owner)

    @rule()
    def a_value_is_anothers(self) -> None:
        before = self.state
        self.events.append(Event(at(self.minute), Happened.EVIDENCE_CHANGED))
        assert self.state == replace(before, version=before.version + 1)

    @rule()
    def values_return(self) -> None:
        handling = self.state.handling
        self.events.append(Event(at(self.minute), Happened.RECOVERED))
        assert self.state.handling is handling

    @rule(staff=st.integers(1, 3), behind=st.integers(0, 2))
    def somebody_takes(self, staff: int, behind: int) -> None:
        before = self.state
        answer = take(before, self._by(staff, behind))
        self._keep(answer)
        free = before.handling is Handling.OPEN
        from_another = before.owner_id not in (None, staff)
        assert isinstance(answer, Event) == (free and not (from_another and behind))

    @rule(staff=st.integers(1, 3), behind=st.integers(0, 2))
    def somebody_releases(self, staff: int, behind: int) -> None:
        answer = release(self.state, self._by(staff, behind))
        assert isinstance(answer, Refusal) or (behind == 0 and self.state.owner_id == staff)
        self._keep(answer)

    @rule(staff=st.integers(1, 3))
    def somebody_writes(self, staff: int) -> None:
        self._keep(note(self.state, self._by(staff, 2), "En rad"))

    @rule(staff=st.integers(1, 3), behind=st.integers(0, 2), outcome=st.sampled_from(Outcome))
    def somebody_closes(self, staff: int, behind: int, outcome: Outcome) -> None:
        answer = close(self.state, self._by(staff, behind), outcome)
        assert isinstance(answer, Refusal) or behind == 0
        self._keep(answer)

    @invariant()
    def a_replay_gives_the_same_row(self) -> None:
        assert fold(list(self.events)) == self.state
        assert self.state.version == len(self.events)

    @invariant()
    def closed_means_a_person_and_an_outcome(self) -> None:
        closed = [e for e in self.events if e.happened is Happened.CLOSED]
        assert (self.state.handling is Handling.CLOSED) == (len(closed) == 1)
        if closed:
            assert closed[0].staff_id is not None
            assert self.state.outcome is not None

    @invariant()
    def taken_means_an_owner(self) -> None:
        if self.state.handling in (Handling.ACKNOWLEDGED, Handling.IN_PROGRESS):
            assert self.state.owner_id is not None
        if self.state.handling is Handling.OPEN and self.state.owner_id is not None:
            assert self.state.needs_attention
            assert any(e.happened is Happened.RAISED for e in self.events)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)
