"""Logging in with a local account.

The order matters. A try is counted and written as failed *before* the password is looked at, under
a lock per login and address, so that parallel tries cannot slip past the limit; unknown and known
logins take the same road.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth import sessions
from server.auth.errors import NotLoggedIn, RateLimited, WrongCredentials
from server.auth.passwords import Passwords
from server.store import people
from server.store.access_log import Reason
from server.store.database import Transaction

FAILURES_MAX = 5
WINDOW = timedelta(minutes=15)
LOGIN_MAX_CHARS = 100
PASSWORD_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Try:
    """One try to log in. ``password`` never leaves this object except to the hash."""

    login: str
    password: str
    address: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A try that succeeded

    ``session.assignment`` is None when there are several to choose from.
    """

    staff: people.Staff
    session: sessions.NewSession


async def log_in(
    transaction: Callable[[], AbstractAsyncContextManager[Transaction]],
    attempt: Try,
    *,
    passwords: Passwords,
    clock: Callable[[], datetime],
) -> tuple[people.Staff, int]:
    """Check one try; return the account and the reserved try's number for :func:`open_session`.

    Raises RateLimited with the time left, or WrongCredentials for an unknown login as for a wrong
    password.
    """
    login = attempt.login.strip().lower()[:LOGIN_MAX_CHARS]
    async with transaction() as tx:
        attempt_id = await _reserve(tx, login, attempt.address, at=clock())
        staff = await people.staff_by_login(tx, login)
    known = staff.password_hash if staff else None
    if not await passwords.matches(known, attempt.password[:PASSWORD_MAX_CHARS]) or staff is None:
        raise WrongCredentials
    return staff, attempt_id


async def open_session(
    tx: Transaction, staff: people.Staff, attempt_id: int, *, at: datetime
) -> LoggedIn:
    """Open the session of a try that :func:`log_in` accepted. One assignment is chosen by itself.

    Raises NotLoggedIn when the person has no assignment at all.
    """
    await people.mark_succeeded(tx, attempt_id)
    assignments = await people.assignments_of(tx, staff.id)
    if not assignments:
        raise NotLoggedIn(Reason.NO_ASSIGNMENT)
    chosen = assignments[0] if len(assignments) == 1 else None
    return LoggedIn(staff, await sessions.start(tx, staff_id=staff.id, assignment=chosen, at=at))


async def _reserve(tx: Transaction, login: str, address: str, *, at: datetime) -> int:
    await people.lock_login(tx, login, address)
    failed = await people.failures(tx, login=login, address=address, since=at - WINDOW)
    if len(failed) >= FAILURES_MAX:
        free_at = failed[FAILURES_MAX - 1] + WINDOW
        raise RateLimited(max(1, math.ceil((free_at - at).total_seconds())))
    return await people.reserve_attempt(tx, login=login, address=address, at=at)
