"""Staff, their assignments, their sessions, and tries to log in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row, scalar_row

from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Staff:
    """One account. ``password_hash`` is an argon2id PHC string."""

    id: int
    login: str
    display_name: str
    password_hash: str
    active: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one person does at one unit (medarbetaruppdrag)

    One is chosen at login and the log carries it.
    """

    id: int
    role: str
    unit_id: int
    unit_name: str
    provider_id: int
    provider_name: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended, with the person and the chosen assignment (None.

    Not chosen yet).
    """

    token_hash: bytes
    csrf: str
    created_at: datetime
    used_at: datetime
    staff_id: int
    login: str
    display_name: str
    assignment_id: int | None


async def add_provider(tx: Transaction, name: str) -> int:
    """Add a care provider, or find it by name; return its id."""
    return await _id(
        tx,
        "INSERT INTO care_provider (name) VALUES (%s)"
        " ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
        (name,),
    )


async def add_unit(tx: Transaction, *, provider_id: int, name: str, watch_text: str = "") -> int:
    """Add a unit, or find it by name

    ``watch_text`` says in plain words when it watches and who answers else.
    """
    return await _id(
        tx,
        "INSERT INTO unit (provider_id, name, watch_text) VALUES (%s, %s, %s)"
        " ON CONFLICT (provider_id, name) DO UPDATE SET watch_text = excluded.watch_text"
        " RETURNING id",
        (provider_id, name, watch_text),
    )


async def add_staff(tx: Transaction, *, login: str, display_name: str, password_hash: str) -> int:
    """Add an account with a finished hash (``server.auth.passwords.hash_password``)

    Return its id.
    """
    return await _id(
        tx,
        "INSERT INTO staff (login, display_name, password_hash) VALUES (%s, %s, %s) RETURNING id",
        (login, display_name, password_hash),
    )


async def add_assignment(tx: Transaction, *, staff_id: int, unit_id: int, role: str) -> int:
    """Give a person a role (nurse, physician, home_care, administrator) at a unit

    Return the assignment's id.
    """
    return await _id(
        tx,
        "INSERT INTO assignment (staff_id, unit_id, role) VALUES (%s, %s, %s) RETURNING id",
        (staff_id, unit_id, role),
    )


async def _id(tx: Transaction, statement: str, values: tuple[object, ...]) -> int:
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement.encode(), values)
        return int(await cursor.fetchone() or 0)


async def staff_by_login(tx: Transaction, login: str) -> Staff | None:
    """Return the active account with that login name, or None."""
    async with tx.cursor(row_factory=class_row(Staff)) as cursor:
        await cursor.execute(
            "SELECT id, login, display_name, password_hash, active FROM staff"
            " WHERE login = %s AND active",
            (login,),
        )
        return await cursor.fetchone()


async def count_staff(tx: Transaction) -> int:
    """Return how many accounts there are.

    The cheapest question that a migrated database answers.
    """
    return await _id(tx, "SELECT count(*) FROM staff", ())


async def assignments_of(tx: Transaction, staff_id: int) -> list[Assignment]:
    """Return a person's assignments, by unit and role."""
    async with tx.cursor(row_factory=class_row(Assignment)) as cursor:
        await cursor.execute(
            "SELECT a.id, a.role, a.unit_id, u.name AS unit_name, u.provider_id,"
            " c.name AS provider_name FROM assignment a JOIN unit u ON u.id = a.unit_id"
            " JOIN care_provider c ON c.id = u.provider_id"
            " WHERE a.staff_id = %s ORDER BY u.name, a.role",
            (staff_id,),
        )
        return await cursor.fetchall()


# Sessions


async def open_session(
    tx: Transaction,
    *,
    token_hash: bytes,
    csrf: str,
    staff_id: int,
    assignment_id: int | None,
    at: datetime,
) -> None:
    """Write a new session; only the token's SHA-256 is kept."""
    await tx.execute(
        "INSERT INTO session (token_hash, staff_id, assignment_id, csrf, created_at, used_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (token_hash, staff_id, assignment_id, csrf, at, at),
    )


async def find_session(tx: Transaction, token_hash: bytes) -> OpenSession | None:
    """Return the session that has not been ended, whatever its age; the caller judges the age."""
    async with tx.cursor(row_factory=class_row(OpenSession)) as cursor:
        await cursor.execute(
            "SELECT s.token_hash, s.csrf, s.created_at, s.used_at, s.staff_id, t.login,"
            " t.display_name,"
            " s.assignment_id FROM session s JOIN staff t ON t.id = s.staff_id"
            " WHERE s.token_hash = %s AND s.ended_at IS NULL AND t.active",
            (token_hash,),
        )
        return await cursor.fetchone()


async def touch_session(tx: Transaction, token_hash: bytes, *, at: datetime) -> None:
    """Move the idle limit.

    Written at most once a minute, so that reading a page seldom costs a write.
    """
    await tx.execute(
        "UPDATE session SET used_at = %s WHERE token_hash = %s AND used_at < %s",
        (at, token_hash, at - timedelta(minutes=1)),
    )


async def choose_assignment(tx: Transaction, token_hash: bytes, assignment_id: int) -> None:
    """Set the assignment of a session that has none yet."""
    await tx.execute(
        "UPDATE session SET assignment_id = %s WHERE token_hash = %s AND assignment_id IS NULL",
        (assignment_id, token_hash),
    )


async def end_session(tx: Transaction, token_hash: bytes, *, at: datetime) -> None:
    """End a session; ending it twice changes nothing."""
    await tx.execute(
        "UPDATE session SET ended_at = %s WHERE token_hash = %s AND ended_at IS NULL",
        (at, token_hash),
    )


# Tries to log in


async def lock_login(tx: Transaction, login: str, address: str) -> None:
    """Let one try at a time count and reserve itself: parallel tries cannot pass the limit."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"login:{login}:{address}",)
    )


async def failures(tx: Transaction, *, login: str, address: str, since: datetime) -> list[datetime]:
    """Return when this login failed from this address, newest first.

    Only after ``since`` and after its last success there.
    """
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT at FROM login_attempt WHERE login = %(login)s AND address = %(address)s"
            " AND NOT succeeded AND at > %(since)s AND at > coalesce("
            "(SELECT max(at) FROM login_attempt WHERE login = %(login)s AND address = %(address)s"
            " AND succeeded AND at > %(since)s), '-infinity')"
            " ORDER BY at DESC",
            {"login": login, "address": address, "since": since},
        )
        return await cursor.fetchall()


async def reserve_attempt(tx: Transaction, *, login: str, address: str, at: datetime) -> int:
    """Write a try as failed before the password is looked at; return its id."""
    return await _id(
        tx,
        "INSERT INTO login_attempt (login, address, succeeded, at) VALUES (%s, %s, false, %s)"
        " RETURNING id",
        (login, address, at),
    )


async def mark_succeeded(tx: Transaction, attempt_id: int) -> None:
    """Turn a reserved try into a successful one."""
    await tx.execute("UPDATE login_attempt SET succeeded = true WHERE id = %s", (attempt_id,))
