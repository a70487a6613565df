"""Whose device it is, from when to when; and the registers of gateways and devices.

A value's patient is found by these rows (``server.store.corrections.binding_of``). The database
itself refuses two bindings of one device, or one user of it, that overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from server.store import corrections
from server.store.database import Transaction
from server.store.errors import BindingOverlap, UnknownName


@dataclass(frozen=True, slots=True)
class Bound:
    """A new binding, and how many unassigned values found their patient by it."""

    id: int
    placed: int


@dataclass(frozen=True, slots=True)
class Binding:
    """One row of the register; ``until`` None is open, ``user_index`` None is any user."""

    id: int
    device: str
    user_index: int | None
    patient_id: int
    gateway: str | None
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """What the end of a device's bindings did: how many ended, and the ``values`` now nobody's."""

    bindings: int
    values: int


async def register_gateway(tx: Transaction, name: str, *, unit_id: int, placement: str = "") -> int:
    """Make a gateway known, or move it to another unit or placement; return its id.

    ``placement`` is opaque: no name and no address.
    """
    cursor = await tx.execute(
        "INSERT INTO gateway (name, unit_id, placement) VALUES (%s, %s, %s) "
        "ON CONFLICT (name) DO UPDATE "
        "SET unit_id = excluded.unit_id, placement = excluded.placement RETURNING id",
        (name, unit_id, placement),
    )
    return await _only(cursor)


async def register_device(tx: Transaction, name: str, *, model: str = "") -> int:
    """Make a device known; return its id. An empty ``model`` leaves what is known."""
    cursor = await tx.execute(
        "INSERT INTO device (name, model) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE "
        "SET model = CASE WHEN excluded.model = '' THEN device.model ELSE excluded.model END "
        "RETURNING id",
        (name, model),
    )
    return await _only(cursor)


async def bind(
    tx: Transaction,
    *,
    device_id: int,
    patient_id: int,
    since: datetime,
    until: datetime | None = None,
    user_index: int | None = None,
    gateway_id: int | None = None,
    at: datetime | None = None,
) -> Bound:
    """Bind a device, or one user of it, to a patient from ``since`` on and before ``until``.

    Unassigned values inside the period are given to the patient and judged (``at`` is the server's
    time of that; default the transaction's). Raises :class:`BindingOverlap`.
    """
    await corrections.take_turn(tx, alone=True)
    try:
        cursor = await tx.execute(
            _BIND,
            {
                "device": device_id, "user": user_index, "patient": patient_id,
                "gateway": gateway_id, "since": since, "until": until,
            },
        )  # fmt: skip
    except psycopg.errors.ExclusionViolation as error:
        raise BindingOverlap("the device is already bound in a part of that period") from error
    binding_id = await _only(cursor)
    placed = await corrections.place_unassigned(tx, device_id, at=at or await _now(tx))
    return Bound(binding_id, placed)


async def unbind(
    tx: Transaction, device_id: int, *, at: datetime, now: datetime | None = None
) -> Ended:
    """End the open bindings of a device at ``at``.

    Where that is past, what was measured or passed on since is taken from its patient and becomes
    unassigned, until a binding gives it to whom it belongs (``now`` is the server's time of that;
    default the transaction's).
    """
    await corrections.take_turn(tx, alone=True)
    cursor = await tx.execute(
        "UPDATE binding SET valid = tstzrange(lower(valid), %(at)s) "
        "WHERE device_id = %(device)s AND valid @> %(at)s AND lower(valid) < %(at)s "
        "RETURNING patient_id",
        {"device": device_id, "at": at},
    )
    patients = [patient for (patient,) in await cursor.fetchall()]
    taken = await corrections.take_away(tx, device_id, patients, at=now or await _now(tx))
    return Ended(len(patients), taken)


async def listed(tx: Transaction) -> list[Binding]:
    """Return all bindings, by device and time."""
    async with tx.cursor(row_factory=class_row(Binding)) as cursor:
        await cursor.execute(_LIST)
        return await cursor.fetchall()


async def id_of(tx: Transaction, table: str, name: str) -> int:
    """Return the id of a ``gateway``, ``device`` or ``unit``; raises :class:`UnknownName`."""
    cursor = await tx.execute(_BY_NAME[table], (name,))
    found = await cursor.fetchall()
    if len(found) != 1:
        reason = "no" if not found else "more than one"
        raise UnknownName(f"there is {reason} {table} called {name!r}")
    number: int = found[0][0]
    return number


async def patient_by_identifier(tx: Transaction, identifier: str) -> int:
    """Return the id of the patient ``system|value``; raises :class:`UnknownName`."""
    system, _, value = identifier.partition("|")
    cursor = await tx.execute(
        "SELECT id FROM patient WHERE identifier_system = %s AND identifier_value = %s",
        (system, value),
    )
    row = await cursor.fetchone()
    if row is None:
        raise UnknownName("there is no patient with that identifier; write it as system|value")
    number: int = row[0]
    return number


async def _only(cursor: psycopg.AsyncCursor[tuple[int]]) -> int:
    row = await cursor.fetchone()
    assert row is not None, "an insert that returns its id"
    return row[0]


async def _now(tx: Transaction) -> datetime:
    row = await (await tx.execute("SELECT now()")).fetchone()
    assert row is not None, "the server knows the time"
    now: datetime = row[0]
    return now


_BY_NAME = {
    "gateway": "SELECT id FROM gateway WHERE name = %s",
    "device": "SELECT id FROM device WHERE name = %s",
    "unit": "SELECT id FROM unit WHERE name = %s",
}

_BIND = """
INSERT INTO binding (device_id, user_index, patient_id, gateway_id, valid)
VALUES (%(device)s, %(user)s, %(patient)s, %(gateway)s, tstzrange(%(since)s, %(until)s))
RETURNING id
"""

_LIST = """
SELECT b.id, d.name AS device, b.user_index, b.patient_id, g.name AS gateway,
       lower(b.valid) AS since, upper(b.valid) AS until
FROM binding b JOIN device d ON d.id = b.device_id LEFT JOIN gateway g ON g.id = b.gateway_id
ORDER BY d.name, lower(b.valid), b.id
"""
