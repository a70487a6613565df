"""What people do to alerts, through the gate: taken, released, noted, closed, and who was first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog

from alerts.errors import HistoryError
from alerts.lifecycle import Refused
from server.auth.errors import Conflicting, NotVisible, Unreadable
from server.auth.gate import Visit
from server.store import alert_commands, receipts, worklist
from server.store.access_log import Action
from server.store.alert_commands import Answer, Conflict, UnknownAlert
from server.store.series import ValueRow
from server.store.worklist import AlertRow

LOG = structlog.get_logger()


class Act(StrEnum):
    """What can be done to an alert."""

    TAKE = "take"
    RELEASE = "release"
    NOTE = "note"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Done:
    """What a person wants done, and the version of the alert that the person saw."""

    act: Act
    expected_version: int
    note: str = ""
    outcome: str = ""


async def find_alert(visit: Visit, alert_id: UUID) -> AlertRow:
    """Return an alert within reach. Raises NotVisible for another unit's as for none."""
    found = await worklist.find_alert(visit.tx, visit.reach, alert_id)
    if found is None:
        raise NotVisible
    return found


async def see(visit: Visit, listed: Iterable[ValueRow]) -> None:
    """Tell the homes which values a person in care has now looked at (contract.md 1, lamps).

    ``listed`` are exactly the rows that the answer shows, of one page only.
    """
    await receipts.mark_seen(
        visit.tx,
        [row.uid for row in listed if row.is_seen_by_being_listed],
        staff_id=visit.identity.staff_id,
        unit_id=visit.identity.assignment.unit_id,
        at=visit.at,
    )


async def perform(visit: Visit, alert_id: UUID, wanted: Done) -> AlertRow:
    """Do it and write it down; return the alert as it is now.

    Raises NotVisible, Conflicting with the other's name, or Unreadable for a damaged history.
    """
    before = await find_alert(visit, alert_id)
    try:
        answer = await _command(visit, alert_id, wanted)
    except HistoryError as error:
        # The error's text may quote a note: the kind is enough here, the rows tell the rest.
        LOG.warning("alert_history_unreadable", alert=str(alert_id), error=type(error).__name__)
        raise Unreadable(patient_id=before.patient_id) from error
    if isinstance(answer, UnknownAlert):
        raise NotVisible
    # Read after the command, which waited for whoever held the row: this is how it stands now.
    after = await find_alert(visit, alert_id)
    if isinstance(answer, Conflict):
        raise Conflicting(
            # Who holds it is no reason when the page was behind: it may be the reader herself.
            holder=None if answer.reason is Refused.CHANGED else answer.holder_name,
            since=after.closed_at or after.taken_at,
            is_closed=after.handling == "closed",
            patient_id=before.patient_id,
        )
    await visit.log(Action.WRITE, patient_id=before.patient_id)
    return after


async def _command(visit: Visit, alert_id: UUID, wanted: Done) -> Answer:
    tx, at, staff_id = visit.tx, visit.at, visit.identity.staff_id
    version = wanted.expected_version
    match wanted.act:
        case Act.TAKE:
            return await alert_commands.take(
                tx, alert_id, staff_id=staff_id, expected_version=version, at=at
            )
        case Act.RELEASE:
            return await alert_commands.release(
                tx, alert_id, staff_id=staff_id, expected_version=version, at=at
            )
        case Act.NOTE:
            return await alert_commands.note(
                tx, alert_id, staff_id=staff_id, note=wanted.note, at=at
            )
        case Act.CLOSE:
            return await alert_commands.close(
                tx,
                alert_id,
                staff_id=staff_id,
                outcome=wanted.outcome,
                note=wanted.note,
                expected_version=version,
                at=at,
            )
