"""What people do with an alert: take it, give it back, write a note, close it with an outcome.

In the store because every edge (pages, the interface, the demonstration) needs it, and the edges
may not import each other. Each command runs in its caller's transaction, holds the alert's row, and
asks ``alerts.lifecycle`` for an event or a refusal; the row is never changed in any other way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from alerts import lifecycle
from alerts.lifecycle import By, Event, Outcome, Refusal, Refused
from server.store import alerts, receipts
from server.store.alerts import Alert
from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Conflict:
    """A command that changed nothing: why, who holds or closed the alert, and how it stands now."""

    reason: Refused
    holder_name: str | None
    alert: Alert


@dataclass(frozen=True, slots=True)
class UnknownAlert:
    """There is no alert with this id."""

    alert_id: UUID


Answer = Alert | Conflict | UnknownAlert


async def take(
    tx: Transaction, alert_id: UUID, *, staff_id: int, expected_version: int, at: datetime
) -> Answer:
    """Make a person responsible for the alert; what it cites is seen by that (*sett*).

    Taking one's own alert again changes nothing and is no conflict: a double click.
    """
    by = By(staff_id, at, expected_version)
    answer = await _do(tx, alert_id, lambda state: lifecycle.take(state, by))
    if isinstance(answer, Conflict) and answer.reason is Refused.ALREADY_YOURS:
        return answer.alert
    await _see(tx, answer, staff_id, at)
    return answer


async def release(
    tx: Transaction, alert_id: UUID, *, staff_id: int, expected_version: int, at: datetime
) -> Answer:
    """Give the alert back to the list."""
    by = By(staff_id, at, expected_version)
    return await _do(tx, alert_id, lambda state: lifecycle.release(state, by))


async def note(
    tx: Transaction,
    alert_id: UUID,
    *,
    staff_id: int,
    note: str,
    at: datetime,
    expected_version: int = 0,
) -> Answer:
    """Write a note. ``expected_version`` is accepted for symmetry and not asked for."""
    by = By(staff_id, at, expected_version)
    return await _do(tx, alert_id, lambda state: lifecycle.note(state, by, note))


async def close(
    tx: Transaction,
    alert_id: UUID,
    *,
    staff_id: int,
    outcome: Outcome | str,
    note: str = "",
    expected_version: int,
    at: datetime,
) -> Answer:
    """Close the alert with what came of it; what it cites is seen by that.

    Raises ValueError for an outcome that is not one of ``alerts.lifecycle.Outcome``.
    """
    by = By(staff_id, at, expected_version)
    known = Outcome(outcome)
    answer = await _do(tx, alert_id, lambda state: lifecycle.close(state, by, known, note))
    await _see(tx, answer, staff_id, at)
    return answer


async def _do(
    tx: Transaction,
    alert_id: UUID,
    decide: Callable[[lifecycle.AlertState], Event | Refusal],
) -> Answer:
    alert = await alerts.locked(tx, alert_id)
    if alert is None:
        return UnknownAlert(alert_id)
    decided = decide(alert.state)
    if isinstance(decided, Refusal):
        holder = await alerts.name_of(tx, decided.holder_id)
        return Conflict(decided.reason, holder, alert)
    state = await alerts.append(tx, alert_id, [decided])
    await alerts.tell(tx, [alert.concern.unit_id])
    return Alert(alert.id, alert.concern, alert.rule, state)


async def _see(tx: Transaction, answer: Answer, staff_id: int, at: datetime) -> None:
    if isinstance(answer, Alert):
        uids = await alerts.cited_uids(tx, answer.id)
        unit_id = answer.concern.unit_id
        await receipts.mark_seen(tx, uids, staff_id=staff_id, unit_id=unit_id, at=at)
