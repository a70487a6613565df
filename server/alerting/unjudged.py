"""Whoever cannot be judged is set aside: a person is asked to look, and the rules try again later.

Rules of this file: nothing of it may stop anybody else; the values stay in the inbox; the alert is
written in the same transaction as the delay, so no value waits unseen (docs/decisions/0008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.decision import Decided, Decision
from alerts.engine import Episode
from alerts.errors import AlertsError
from alerts.plan import unassigned_rules
from alerts.rules import Threshold
from alerts.unjudged import NOT_JUDGED, NOT_READ, not_judged, not_read
from server.alerting.stages import concerns_of
from server.store import alerts, decisions, engine_inbox, limits
from server.store.alerts import Concern, NewAlert
from server.store.database import Transaction, savepoint
from server.store.engine_inbox import Waiting, Whose
from server.store.errors import DataRefused

# What one person's stored data may be at fault for. Anything else is the world's or our bug, and is
# everybody's.
DATA_ERRORS = (AlertsError, DataRefused)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A subject whose values could not be judged, and in how long they are tried again.

    ``detail`` names what is damaged, and never a value.
    """

    subject: str
    error: str
    detail: str
    waiting: int
    tries: int
    pause: timedelta


async def set_aside(
    tx: Transaction, claimed: Sequence[Waiting], fault: Exception, *, now: datetime
) -> Unjudged:
    """Let one subject's values wait for another try, and ask a person to look at them meanwhile."""
    whose = claimed[0].whose
    tries = 1 + max(waiting.tries for waiting in claimed)
    pause = engine_inbox.pause_after(tries)
    waiting = await engine_inbox.set_aside(tx, whose, tries=tries, until=now + pause)
    concern = (await concerns_of(tx, waiting)).get(whose)
    if concern is not None:
        try:
            async with savepoint(tx):
                await _ask_to_look(tx, concern, waiting, now)
        except DATA_ERRORS:
            await _ask_blindly(tx, concern, waiting, now)
    # What the database says of a refusal may quote a value.
    detail = str(fault) if isinstance(fault, AlertsError) else ""
    return Unjudged(whose.subject, type(fault).__name__, detail, len(waiting), tries, pause)


async def _ask_to_look(
    tx: Transaction, concern: Concern, waiting: Sequence[Waiting], now: datetime
) -> None:
    """Open an alert, or extend the open one, with what waits; red when a raw value is."""
    whose = waiting[0].whose
    stored = await engine_inbox.readings(tx, waiting)
    readings = sorted((s.reading() for s in stored), key=lambda r: (r.received_seq, r.component))
    episode = await _episode(tx, whose, NOT_JUDGED.rule)
    rules = await _red_rules(tx, whose, now)
    decision = not_judged(whose.subject, readings, rules, episode, now)
    if decision is not None:
        await _act(tx, concern, decision)


async def _ask_blindly(
    tx: Transaction, concern: Concern, waiting: Sequence[Waiting], now: datetime
) -> None:
    """Open a red alert for what cannot be read: the values, or the alert they would extend."""
    whose = waiting[0].whose
    episode = await _episode(tx, whose, NOT_READ.rule)
    if episode is None or not episode.is_open:
        await _act(tx, concern, not_read(whose.subject, waiting[-1].uid.hex, now))


async def _episode(tx: Transaction, whose: Whose, rule: str) -> Episode | None:
    patients = [] if whose.patient_id is None else [whose.patient_id]
    gateways = [] if whose.gateway_id is None else [whose.gateway_id]
    found = await alerts.episodes_of(tx, patients, gateways, rule=rule)
    return found.get((whose.patient_id, whose.gateway_id), {}).get(rule)


async def _red_rules(tx: Transaction, whose: Whose, now: datetime) -> tuple[Threshold, ...]:
    """Return the national red levels and, where they can be read, the person's own."""
    national = unassigned_rules()
    if whose.patient_id is None:
        return national
    try:
        async with savepoint(tx):
            plan = await limits.plan_of(tx, whose.patient_id, at=now)
    except DATA_ERRORS:
        return national
    return (*national, *plan.rules)


async def _act(tx: Transaction, concern: Concern, decision: Decision) -> None:
    lineage = decision.rule.rule
    if decision.decided is Decided.FIRE:
        if not await alerts.fire(tx, NewAlert(concern, lineage, decision, {})):
            return
    else:
        assert decision.alert_id is not None, "what is extended has an id"
        await alerts.change(tx, decision.alert_id, [decision])
    await decisions.record(tx, [(concern, lineage, decision)])
    await alerts.tell(tx, [concern.unit_id])
