"""Server-side sessions: the browser holds a random token, the database its SHA-256.

A session ends by logout, after 30 minutes without a request, and after 12 hours whatever happens.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth.errors import NotLoggedIn
from server.auth.roles import RIGHTS, Right
from server.store import people
from server.store.access_log import Reason
from server.store.database import Transaction
from server.store.patients import Reach

IDLE_MAX = timedelta(minutes=30)
AGE_MAX = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, in which assignment, in which session."""

    staff_id: int
    login: str
    display_name: str
    assignment: people.Assignment
    csrf: str
    token_hash: bytes

    @property
    def reach(self) -> Reach:
        """Return what this assignment may see."""
        return Reach(unit_id=self.assignment.unit_id, provider_id=self.assignment.provider_id)

    def may(self, right: Right) -> bool:
        """Return whether the chosen assignment holds the right."""
        return right in RIGHTS.get(self.assignment.role, frozenset())


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just opened. ``token`` goes to the browser once and is kept nowhere here."""

    token: str
    csrf: str
    assignment: people.Assignment | None


def hash_token(token: str) -> bytes:
    """Return what the database knows a token by."""
    return hashlib.sha256(token.encode()).digest()


async def start(
    tx: Transaction, *, staff_id: int, assignment: people.Assignment | None, at: datetime
) -> NewSession:
    """Open a session; without an assignment it opens nothing but the choice of one."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    await people.open_session(
        tx,
        token_hash=hash_token(token),
        csrf=csrf,
        staff_id=staff_id,
        assignment_id=assignment.id if assignment else None,
        at=at,
    )
    return NewSession(token, csrf, assignment)


async def find(tx: Transaction, token: str | None, *, at: datetime) -> people.OpenSession:
    """Return the session behind a token.

    Raises NotLoggedIn with the reason when there is none that lives.
    """
    session = await people.find_session(tx, hash_token(token)) if token else None
    if session is None:
        raise NotLoggedIn(Reason.NOT_LOGGED_IN)
    if at - session.used_at > IDLE_MAX or at - session.created_at > AGE_MAX:
        raise NotLoggedIn(Reason.SESSION_EXPIRED)
    return session


async def resume(
    tx: Transaction, token: str | None, *, at: datetime, touch: bool = True
) -> Identity:
    """Return who is behind a token and move the idle limit.

    ``touch=False`` is for what the page does by itself (the live stream): it must not keep a
    session alive. Raises NotLoggedIn.
    """
    session = await find(tx, token, at=at)
    assignments = await people.assignments_of(tx, session.staff_id)
    chosen = next((one for one in assignments if one.id == session.assignment_id), None)
    if chosen is None:
        raise NotLoggedIn(Reason.NO_ASSIGNMENT)
    if touch:
        await people.touch_session(tx, session.token_hash, at=at)
    return Identity(
        staff_id=session.staff_id,
        login=session.login,
        display_name=session.display_name,
        assignment=chosen,
        csrf=session.csrf,
        token_hash=session.token_hash,
    )
