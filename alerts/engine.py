"""One function of (rules, samples, state, as of) → (state, decisions): no clock, no I/O, no
randomness.

Rules of this file, from design.md and clinical.md 4:

- Red never waits: each raw reading is read by each red level, before any guard.
- One episode per person and rule lineage: more evidence extends it; a worse value raises it;
  nothing lowers it.
- A fresh value never hides behind a late one: it raises the open alert, which then stands by the
  fresh value. So does a fresh red after red values had returned.
- A value that cannot be believed still fires red ("orimligt värde, kontrollera"); yellow asks for a
  repeat.
- What is no reading of the person changes nothing; where it would have alarmed, that is recorded.
- After a person has closed an alert, only a new reading fires again: red always, yellow after the
  values have returned or the episode has ended.
- The same reading twice changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from alerts.decision import Decided, Decision, Reason, alert_id
from alerts.rules import Rule, Severity, Text, Threshold, version
from alerts.series import Reading, in_received_order
from alerts.threshold import Judged, Verdict, judge
from alerts.wording import DISPLAYED, Language, age, beyond, name, quantity
from devices.kinds import COMPONENTS

# Older than this the age is said (contract.md 1, the boundary between fresh and backlog).
FRESH = timedelta(minutes=10)
# Older than this it is a card "sen mätning", and nobody is called at night (contract.md 1, late
# red).
LATE = timedelta(hours=24)
# A measuring time further ahead than this is not believed (clinical.md 4e, clock error).
AHEAD = timedelta(minutes=2)
# How many earlier readings the state carries; repeats are looked for among these only.
KNOWN_MAX = 256


@dataclass(frozen=True, slots=True)
class Episode:
    """What the engine must know of the newest alert of one lineage.

    ``is_open`` until a person has closed it; ``is_firing`` until the values have returned.
    ``cited`` are the keys of the readings that are its evidence, ``last_evidence_at`` when the
    newest of them was measured. ``pinned`` is the rule as it fired: values have returned when it
    says so, however the rule has been changed since (clinical.md 4e). None: not known, so today's.
    ``is_late`` while the alert stands by a value that came more than a day late.
    """

    alert_id: uuid.UUID
    severity: Severity
    is_open: bool
    is_firing: bool
    cited: frozenset[tuple[str, int]]
    last_evidence_at: datetime
    pinned: Rule | None = None
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What is carried from one evaluation to the next about one subject."""

    subject: str
    episodes: Mapping[str, Episode] = field(default_factory=lambda: MappingProxyType({}))
    known: tuple[Reading, ...] = ()


def evaluate(
    rules: Sequence[Rule], samples: Iterable[Reading], state: State, as_of: datetime
) -> tuple[State, tuple[Decision, ...]]:
    """Judge one subject's new readings in the order the server received them.

    Returns the state to carry on with and the decisions, in the order made. ``as_of`` is the aware
    time at which it is decided. Technical rules are skipped here; ``alerts.absence`` judges them.
    """
    decisions: list[Decision] = []
    thresholds = [(rule, version(rule)) for rule in rules if isinstance(rule, Threshold)]
    for group in in_received_order(samples):
        seen = {reading.key for reading in state.known}
        if all(reading.key in seen for reading in group):
            continue
        for rule, rule_version in thresholds:
            judged = judge(rule, group, state.known)
            case = _Case(rule, rule_version, group, judged, state, as_of)
            decision = _decide(case) if judged else None
            if decision is not None:
                decisions.append(decision)
                state = _after(state, decision)
        state = replace(state, known=_remembered(state.known, group))
    return state, tuple(decisions)


@dataclass(frozen=True, slots=True)
class _Case:
    """One measurement before one rule."""

    rule: Threshold
    version: str
    group: tuple[Reading, ...]
    judged: tuple[Judged, ...]
    state: State
    as_of: datetime

    @property
    def episode(self) -> Episode | None:
        return self.state.episodes.get(self.rule.rule)

    @property
    def measured_at(self) -> datetime:
        return self.group[0].measured_at

    @property
    def is_late(self) -> bool:
        return self.as_of - self.measured_at > LATE

    def as_fired(self) -> _Case:
        """Return the same measurement before the rule that opened the episode."""
        pinned = None if self.episode is None else self.episode.pinned
        if not isinstance(pinned, Threshold) or pinned == self.rule:
            return self
        judged = judge(pinned, self.group, self.state.known)
        return replace(self, rule=pinned, version=version(pinned), judged=judged)

    def having(self, *verdicts: Verdict) -> tuple[Judged, ...]:
        return tuple(j for j in self.judged if j.verdict in verdicts)


def _remembered(known: tuple[Reading, ...], group: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """Return what is known now; what is no reading never pushes out a reading."""
    known = (*known, *group)
    if len(known) <= KNOWN_MAX:
        return known
    readings = tuple(r for r in known if r.is_of_the_person())[-KNOWN_MAX:]
    others = tuple(r for r in known if not r.is_of_the_person())
    return (*others[max(0, len(others) + len(readings) - KNOWN_MAX) :], *readings)


def _decide(case: _Case) -> Decision | None:
    if case.having(Verdict.RED, Verdict.YELLOW):
        return _alarm(case)
    doubtful = case.having(Verdict.IMPLAUSIBLE_YELLOW)
    if doubtful:
        return _made(case, Decided.ASK_REPEAT, Reason.IMPLAUSIBLE, doubtful)
    no_reading = case.having(Verdict.NO_READING)
    if no_reading:
        return _made(case, Decided.SUPPRESS, Reason.NO_READING, no_reading)
    disagreeing = case.having(Verdict.REPEATS_DISAGREE)
    if disagreeing:
        return _made(case, Decided.SUPPRESS, Reason.REPEATS_DISAGREE, disagreeing)
    return _clear(case.as_fired())


def _alarm(case: _Case) -> Decision | None:
    hits = case.having(Verdict.RED, Verdict.YELLOW)
    episode = case.episode
    if episode is not None and {hit.reading.key for hit in hits} <= episode.cited:
        return None
    worst = _worst(hits)
    if worst is not Severity.RED:
        if case.measured_at - case.as_of > AHEAD:
            return _made(case, Decided.SUPPRESS, Reason.FUTURE_TIME, hits)
        if episode is not None and not episode.is_open and _goes_on(case, episode):
            return _made(case, Decided.SUPPRESS, Reason.CLOSED_EPISODE_GOES_ON, hits, episode)
    if episode is None or not episode.is_open:
        return _made(case, Decided.FIRE, Reason.LIMIT_REACHED, hits)
    if worst.rank > episode.severity.rank:
        return _made(case, Decided.EXTEND, Reason.RAISED, hits, episode)
    if _stands_anew(case, worst, episode):
        return _made(case, Decided.EXTEND, Reason.FRESH, hits, episode)
    reason = Reason.MORE_EVIDENCE if episode.is_firing else Reason.FIRED_AGAIN
    return _made(case, Decided.EXTEND, reason, hits, episode)


def _stands_anew(case: _Case, worst: Severity, episode: Episode) -> bool:
    """Tell whether a fresh value of the alert's own level must be seen as if it had just fired."""
    if case.is_late or worst.rank < episode.severity.rank:
        return False
    return episode.is_late or (worst is Severity.RED and not episode.is_firing)


def _goes_on(case: _Case, episode: Episode) -> bool:
    """Tell whether a closed episode is still the same one: not returned, and not yet ended by its
    length.
    """
    ends = episode.last_evidence_at + timedelta(seconds=case.rule.episode_s)
    return episode.is_firing and case.measured_at < ends


def _clear(case: _Case) -> Decision | None:
    """Clear only on a later measurement that shows all that was cited, well inside its limits.

    ``case`` is as the alert fired. Under today's rule the measurement is no alarm.
    """
    episode = case.episode
    if episode is None or not episode.is_firing or case.measured_at <= episode.last_evidence_at:
        return None
    returned = case.having(Verdict.RETURNED)
    # Pulse from the oximeter answers for pulse from the cuff: names are compared, not numbers.
    cited = {COMPONENTS[component].name for _, component in episode.cited}
    if len(returned) < len(case.judged) or not cited <= {_name(j) for j in returned}:
        return None
    return _made(case, Decided.CLEAR, Reason.RETURNED, returned, episode)


def _name(judged: Judged) -> str:
    return COMPONENTS[judged.reading.component].name


def _worst(hits: Sequence[Judged]) -> Severity:
    red = any(hit.verdict is Verdict.RED for hit in hits)
    return Severity.RED if red else Severity.YELLOW


def _made(
    case: _Case,
    decided: Decided,
    reason: Reason,
    cited: Sequence[Judged],
    episode: Episode | None = None,
) -> Decision:
    worst = _worst(cited)
    severity = worst
    if episode is not None and episode.severity.rank > worst.rank:
        severity = episode.severity
    identity = episode.alert_id if episode is not None else None
    if decided is Decided.FIRE:
        first = cited[0].reading.uid
        identity = alert_id(case.state.subject, case.rule.rule, case.version, first)
    return Decision(
        subject=case.state.subject,
        rule=case.rule,
        version=case.version,
        decided=decided,
        reason=reason,
        severity=severity,
        decided_at=case.as_of,
        alert_id=identity,
        evidence=tuple(j.reading for j in cited),
        text=Text(_text(case, cited, Language.SV), _text(case, cited, Language.EN)),
        is_late=case.is_late,
    )


_DOUBT = {
    Language.SV: "Orimligt värde, kontrollera. ",
    Language.EN: "Implausible value, please check. ",
}
_RETRACTED = {
    Language.SV: "Personen har sagt att det inte var den som mätte, kontrollera. ",
    Language.EN: "The person has said that it was somebody else, please check. ",
}
_DOUBTED = {
    Language.SV: "Apparaten är själv osäker på värdet, kontrollera. ",
    Language.EN: "The device itself doubts the value, please check. ",
}
_NO_READING = {
    Language.SV: "Räknas inte som ett mätvärde, larmar inte. ",
    Language.EN: "Does not count as a reading, raises no alarm. ",
}
_FUTURE = {
    Language.SV: "Mättiden ligger i framtiden, kontrollera klockan. ",
    Language.EN: "The measuring time is in the future, please check the clock. ",
}
_LATE_LEAD = {Language.SV: "Sen mätning. ", Language.EN: "Late measurement. "}
_AGE = {Language.SV: ". Uppmätt för {} sedan", Language.EN: ". Measured {} ago"}
_LIMIT = {Language.SV: "gräns", Language.EN: "limit"}


def _text(case: _Case, cited: Sequence[Judged], language: Language) -> str:
    """Write the sentence as it stands for ever: what was measured, which limit, and what is odd
    about it.
    """
    findings = ", ".join(finding(j, language) for j in cited)
    template = case.rule.text.sv if language is Language.SV else case.rule.text.en
    elapsed = case.as_of - case.measured_at
    parts = [_LATE_LEAD[language] if case.is_late else ""]
    parts.append(_FUTURE[language] if -elapsed > AHEAD else "")
    parts.append(_doubt([j.reading for j in cited], language))
    parts.append(template.replace("{findings}", findings))
    parts.append(_AGE[language].format(age(elapsed, language)) if elapsed > FRESH else "")
    return "".join(parts) + "."


def _doubt(readings: Sequence[Reading], language: Language) -> str:
    if not all(reading.is_of_the_person() for reading in readings):
        return _NO_READING[language]
    if any(reading.is_retracted() for reading in readings):
        return _RETRACTED[language]
    if not all(reading.is_plausible() for reading in readings):
        return _DOUBT[language]
    return _DOUBTED[language] if any(r.is_doubted() for r in readings) else ""


def finding(judged: Judged, language: Language) -> str:
    """Write a value and the limit it was read against: ``syremättnad 88 % (gräns 91 %)``, or
    ``blodsocker över mätarens mätområde (HI, gräns 15,0 mmol/L)``.
    """
    component = COMPONENTS[judged.reading.component]
    limit = f"{_LIMIT[language]} {quantity(judged.level, component, language)}"
    side = judged.reading.beyond
    if side is not None:
        where = beyond(side, language)
        return f"{name(component, language)} {where} ({DISPLAYED[side]}, {limit})"
    assert judged.reading.value is not None, "what is not beyond has a number"
    value = quantity(judged.reading.value, component, language)
    return f"{name(component, language)} {value} ({limit})"


def _after(state: State, decision: Decision) -> State:
    """Return the state in which the decision has been carried out."""
    if decision.decided in (Decided.ASK_REPEAT, Decided.SUPPRESS):
        return state
    assert decision.alert_id is not None, "fire, extend and clear concern an alert"
    lineage = decision.rule.rule
    if decision.decided is Decided.CLEAR:
        episode = replace(state.episodes[lineage], is_firing=False)
    else:
        episode = _extended(state.episodes.get(lineage), decision)
    return replace(state, episodes=MappingProxyType({**state.episodes, lineage: episode}))


def _extended(before: Episode | None, decision: Decision) -> Episode:
    assert decision.alert_id is not None, "fire and extend concern an alert"
    cited = frozenset(reading.key for reading in decision.evidence)
    newest = max(reading.measured_at for reading in decision.evidence)
    pinned: Rule | None = decision.rule
    is_late = decision.is_late
    if decision.decided is Decided.EXTEND:
        assert before is not None, "only what is open is extended"
        cited |= before.cited
        newest = max(newest, before.last_evidence_at)
        pinned = before.pinned
        is_late = decision.is_late if decision.raises else before.is_late
    return Episode(
        alert_id=decision.alert_id,
        severity=decision.severity,
        is_open=True,
        is_firing=True,
        cited=cited,
        last_evidence_at=newest,
        pinned=pinned,
        is_late=is_late,
    )
