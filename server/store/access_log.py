"""The access log (PDL, HSLF-FS 2016:40 ch.

4): append-only, in the transaction of the read that it logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.rows import class_row

from server.store.database import Transaction


class Action(StrEnum):
    """What somebody did or tried."""

    LOGIN = "login"
    LOGOUT = "logout"
    CHOOSE = "choose"
    LIST = "list"
    READ = "read"
    # Name and number of a person with protected identity were shown: reviewed on their own.
    READ_PROTECTED = "read_protected"
    WRITE = "write"


class Reason(StrEnum):
    """Why a try was refused."""

    NOT_LOGGED_IN = "not_logged_in"
    SESSION_EXPIRED = "session_expired"
    NO_ASSIGNMENT = "no_assignment"
    WRONG_CREDENTIALS = "wrong_credentials"
    RATE_LIMITED = "rate_limited"
    WRONG_ROLE = "wrong_role"
    NOT_VISIBLE = "not_visible"
    BAD_CSRF = "bad_csrf"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: who did what, as what, to whom, and whether it was allowed.

    ``target`` is a page or route and holds no personal data. ``patient_id`` is None for a list.
    ``reason`` is a code of ``server.audit`` when the try was refused.
    """

    at: datetime
    staff_id: int | None
    login: str
    assignment_id: int | None
    unit_id: int | None
    role: str
    address: str
    action: str
    target: str
    patient_id: int | None
    outcome: str
    reason: str


_COLUMNS = (
    "at, staff_id, login, assignment_id, unit_id, role, address, action, target, patient_id,"
    " outcome, reason"
)


async def append(tx: Transaction, entry: Entry) -> None:
    """Write one line. There is no statement that changes or removes one: a trigger refuses it."""
    await tx.execute(
        f"INSERT INTO access_log ({_COLUMNS}) VALUES"
        " (%(at)s, %(staff_id)s, %(login)s, %(assignment_id)s, %(unit_id)s, %(role)s,"
        " %(address)s, %(action)s, %(target)s, %(patient_id)s, %(outcome)s, %(reason)s)",
        {
            "at": entry.at,
            "staff_id": entry.staff_id,
            "login": entry.login,
            "assignment_id": entry.assignment_id,
            "unit_id": entry.unit_id,
            "role": entry.role,
            "address": entry.address,
            "action": entry.action,
            "target": entry.target,
            "patient_id": entry.patient_id,
            "outcome": entry.outcome,
            "reason": entry.reason,
        },
    )


async def newest(tx: Transaction, *, limit: int = 100) -> list[Entry]:
    """Return the newest lines, newest first."""
    async with tx.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM access_log ORDER BY id DESC LIMIT %s", (limit,)
        )
        return await cursor.fetchall()
