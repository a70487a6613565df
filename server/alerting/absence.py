"""Equipment that is silent or running low, judged on the server's time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from alerts.absence import BatteryRead, GatewayHeard, battery_low, gateway_silent, lineage
from alerts.decision import Decided, Decision
from alerts.lifecycle import heard_again
from alerts.rules import Severity
from server.store import alerts, decisions, equipment
from server.store.alerts import Concern, NewAlert
from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class _Found:
    """A technical decision, whom it concerns, and its open alert, if it has one."""

    concern: Concern
    decision: Decision
    alert_id: UUID | None


async def judge_equipment(
    tx: Transaction, *, now: datetime, listening_since: datetime
) -> tuple[Decision, ...]:
    """Open, raise and end technical alerts as of ``now``; return what was decided.

    ``listening_since`` is when this server began to listen: it blames nobody for what it could not
    hear. When another engine is at it, nothing is done.
    """
    if not await equipment.take_turn(tx):
        return ()
    found = [
        *await _gateways(tx, now, listening_since),
        *await _batteries(tx, now),
    ]
    for one in found:
        await _act(tx, one)
    await decisions.record(
        tx, [(one.concern, lineage(one.decision), one.decision) for one in found]
    )
    await alerts.tell(tx, {one.concern.unit_id for one in found})
    return tuple(one.decision for one in found)


async def _gateways(tx: Transaction, now: datetime, listening_since: datetime) -> list[_Found]:
    found = []
    for row in await equipment.gateways(tx, now=now):
        heard = GatewayHeard(
            row.name, row.offline_since, row.last_heard_at, _severity(row.severity)
        )
        decision = gateway_silent(heard, now, listening_since=listening_since)
        if decision is not None:
            found.append(_Found(Concern(None, row.id, row.unit_id), decision, row.alert_id))
    return found


async def _batteries(tx: Transaction, now: datetime) -> list[_Found]:
    found = []
    for row in await equipment.batteries(tx, now=now):
        read = BatteryRead(
            row.device, row.model or row.device, row.percent, row.read_at, _severity(row.severity)
        )
        decision = battery_low(read, now)
        if decision is not None:
            concern = Concern(row.patient_id, row.gateway_id, row.unit_id)
            found.append(_Found(concern, decision, row.alert_id))
    return found


def _severity(name: str | None) -> Severity | None:
    return None if name is None else Severity(name)


async def _act(tx: Transaction, found: _Found) -> None:
    decision = found.decision
    if found.alert_id is None:
        new = NewAlert(found.concern, lineage(decision), decision, {})
        await alerts.fire(tx, new)
        return
    alert = await alerts.locked(tx, found.alert_id)
    assert alert is not None, "an alert is never deleted"
    if decision.decided is Decided.CLEAR:
        events = heard_again(alert.state, decision.decided_at)
        if events:
            await alerts.append(tx, found.alert_id, events)
    else:
        await alerts.change(tx, found.alert_id, [decision])
