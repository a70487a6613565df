"""How waiting measurements become alerts: a list of stages, read from the top.

Each stage takes the work so far and returns it with its own part done. All run in one savepoint of
one transaction: either all of it has happened, or none of it, and then it is done again by whoever
comes next. ``judge.py`` claims what they work on, and sets aside whom they cannot judge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from alerts.decision import Decided, Decision
from alerts.engine import Episode, State, evaluate
from alerts.plan import Plan, unassigned_rules
from alerts.rules import REPEATS_S, Threshold
from alerts.series import Reading
from server.store import alerts, decisions, engine_inbox, limits
from server.store.alerts import Concern, NewAlert
from server.store.database import Transaction
from server.store.engine_inbox import Waiting, Whose
from server.store.errors import DataRefused


@dataclass(frozen=True, slots=True)
class Case:
    """All that is needed to judge one subject. ``plan`` None: it belongs to nobody.

    What belongs to nobody is judged device by device (``device``): two devices may be two people.
    """

    concern: Concern
    subject: str
    samples: tuple[Reading, ...]
    earlier: tuple[Reading, ...]
    episodes: dict[str, Episode]
    plan: Plan | None
    device: str | None = None

    def lineage(self, rule: str) -> str:
        """Return the lineage under which an alert of that rule is stored."""
        return rule if self.device is None else f"{rule}/{self.device}"

    @property
    def rules(self) -> tuple[Threshold, ...]:
        """The patient's own plan, or the national red levels for what belongs to nobody."""
        return unassigned_rules() if self.plan is None else self.plan.rules

    @property
    def origins(self) -> dict[int, dict[str, str]]:
        """Where each bound in force came from, by component."""
        if self.plan is None:
            return {}
        return {c: {k: v.value for k, v in e.origins.items()} for c, e in self.plan.limits.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision and the case it was made in."""

    case: Case
    decision: Decision


@dataclass(frozen=True, slots=True)
class Work:
    """What the stages pass on."""

    now: datetime
    claimed: tuple[Waiting, ...]
    cases: tuple[Case, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    units: frozenset[int] = field(default_factory=frozenset)

    @property
    def people(self) -> tuple[Whose, ...]:
        """Whose values these are, in the order of their first."""
        return tuple(dict.fromkeys(waiting.whose for waiting in self.claimed))

    def halves(self) -> tuple[Work, Work]:
        """Divide the people in two, to find whom the stages cannot judge."""
        people = self.people
        first = frozenset(people[: len(people) // 2])
        return (
            Work(self.now, tuple(w for w in self.claimed if w.whose in first)),
            Work(self.now, tuple(w for w in self.claimed if w.whose not in first)),
        )


# Decisions that change no alert; they are recorded all the same.
SILENT = frozenset({Decided.ASK_REPEAT, Decided.SUPPRESS})

Stage = Callable[[Transaction, Work], Awaitable[Work]]


async def gather_stage(tx: Transaction, work: Work) -> Work:
    """Read each person's new values, their repeats, limits, unit and open alerts."""
    whose = {waiting.uid: waiting.whose for waiting in work.claimed}
    people = work.people
    patients = [p.patient_id for p in people if p.patient_id is not None]
    gateways = [p.gateway_id for p in people if p.gateway_id is not None]
    samples: dict[Whose, list[Reading]] = {person: [] for person in people}
    devices: dict[str, str | None] = {}
    for stored in await engine_inbox.readings(tx, work.claimed):
        samples[whose[stored.uid]].append(stored.reading())
        devices[stored.uid.hex] = stored.device
    earlier: dict[Whose, list[Reading]] = {person: [] for person in people}
    for stored in await engine_inbox.earlier(tx, work.claimed, window_s=REPEATS_S):
        earlier.setdefault(Whose(stored.patient_id, None), []).append(stored.reading())
    plans = await limits.plans_of(tx, patients, at=work.now)
    episodes = await alerts.episodes_of(tx, patients, gateways)
    concerns = await concerns_of(tx, work.claimed)
    if any(p.patient_id is not None and p not in concerns for p in people):
        raise DataRefused("a value waits for a patient who does not exist")
    cases = [
        Case(
            concern=concerns[person],
            subject=person.subject,
            samples=tuple(samples[person]),
            earlier=tuple(earlier[person]),
            episodes=episodes.get((person.patient_id, person.gateway_id), {}),
            plan=None if person.patient_id is None else plans[person.patient_id],
        )
        for person in people
        if person in concerns
    ]
    return replace(work, cases=tuple(part for case in cases for part in _by_device(case, devices)))


def _by_device(case: Case, devices: Mapping[str, str | None]) -> list[Case]:
    """Divide what belongs to nobody into one case a device; a person's values stay together."""
    if case.plan is not None:
        return [case]
    return [
        replace(
            case,
            device=device,
            samples=tuple(r for r in case.samples if devices[r.uid] == device),
            episodes={
                lineage.removesuffix(f"/{device}"): episode
                for lineage, episode in case.episodes.items()
                if lineage.endswith(f"/{device}")
            },
        )
        for device in dict.fromkeys(devices[reading.uid] for reading in case.samples)
    ]


async def concerns_of(tx: Transaction, claimed: Sequence[Waiting]) -> dict[Whose, Concern]:
    """Find who answers for each person. What came through no gateway always names its patient."""
    people = {waiting.whose for waiting in claimed}
    patient_units, gateway_units = await alerts.units_of(
        tx,
        [p.patient_id for p in people if p.patient_id is not None],
        [p.gateway_id for p in people if p.gateway_id is not None],
    )
    found: dict[Whose, Concern] = {}
    for waiting in claimed:
        person = waiting.whose
        unit_id = (
            gateway_units.get(person.gateway_id or 0)
            if person.patient_id is None
            else patient_units.get(person.patient_id)
        )
        if unit_id is not None:
            found[person] = Concern(person.patient_id, waiting.gateway_id, unit_id)
    return found


async def judge_stage(tx: Transaction, work: Work) -> Work:
    """Ask the rules. Pure: nothing is read or written here."""
    verdicts = []
    for case in work.cases:
        state = State(case.subject, case.episodes, case.earlier)
        _, decided = evaluate(case.rules, case.samples, state, work.now)
        verdicts += [Verdict(case, decision) for decision in decided]
    return replace(work, verdicts=tuple(verdicts))


async def act_stage(tx: Transaction, work: Work) -> Work:
    """Open alerts; then extend, raise and recover, together for each alert."""
    changes: dict[UUID, tuple[Case, list[Decision]]] = {}
    for case, decision in ((v.case, v.decision) for v in work.verdicts):
        if decision.decided is Decided.FIRE:
            lineage = case.lineage(decision.rule.rule)
            await alerts.fire(tx, NewAlert(case.concern, lineage, decision, case.origins))
        elif decision.decided not in SILENT:
            assert decision.alert_id is not None, "what is changed has an id"
            changes.setdefault(decision.alert_id, (case, []))[1].append(decision)
    for alert_id, (case, made) in changes.items():
        await alerts.change(tx, alert_id, made, case.origins)
    return work


async def record_stage(tx: Transaction, work: Work) -> Work:
    """Write every decision with its reason, also those that alert nobody."""
    rows = [
        (v.case.concern, v.case.lineage(v.decision.rule.rule), v.decision) for v in work.verdicts
    ]
    await decisions.record(tx, rows)
    return work


async def forget_stage(tx: Transaction, work: Work) -> Work:
    """Note that the measurements have been judged."""
    await engine_inbox.forget(tx, [waiting.received_seq for waiting in work.claimed])
    return work


async def tell_stage(tx: Transaction, work: Work) -> Work:
    """Wake the lists of the units concerned, at commit."""
    loud = [v for v in work.verdicts if v.decision.decided not in SILENT]
    units = frozenset(v.case.concern.unit_id for v in loud)
    await alerts.tell(tx, units)
    return replace(work, units=units)


STAGES: tuple[Stage, ...] = (
    gather_stage,
    judge_stage,
    act_stage,
    record_stage,
    forget_stage,
    tell_stage,
)
