"""Erasing what was stored of a person, or one item, by a recorded order only.

Rules of this file: content goes, places stay. A measurement keeps its uid, its times and its number
in its boot, so that the certificates' chain can be checked, and is flagged ``erased``; its numbers,
bytes, context and words are gone. The order itself is a row that nobody can change, and without one
in the same transaction the database refuses to touch what is append-only. The access log stays: it
says who has read, and holds no content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from server.store import corrections
from server.store.database import Transaction
from server.store.errors import StoreError, UnknownName

ERASED = "erased"
# What a person is called afterwards; the number is theirs and says nothing.
ERASED_SYSTEM = "urn:hemma:erased"


class NotErasable(StoreError):
    """Something must be done first; the text says what."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who decided what is to go: a patient (``patient_id``) or one item (``uid``), and why.

    ``reference`` is the decision's own, such as the authority's case number.
    """

    reference: str
    decided_by: str
    reason: str
    patient_id: int | None = None
    uid: UUID | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """A recorded order and what lost its content by it."""

    id: int
    at: datetime
    reference: str
    decided_by: str
    reason: str
    patient_id: int | None
    uid: UUID | None
    counts: dict[str, int]


async def prospect(tx: Transaction, order: Order) -> dict[str, int]:
    """Return how much of each table the order would take; raises NotErasable, UnknownName."""
    await _refuse_unready(tx, order)
    counts = {}
    for table, where in _CONTENT.items():
        cursor = await tx.execute(f"SELECT count(*) FROM {table} t WHERE {where}", _values(order))
        row = await cursor.fetchone()
        assert row is not None, "a count"
        counts[table] = int(row[0])
    return counts


def confirmation(order: Order, counts: dict[str, int]) -> str:
    """Return the word that confirms exactly this order about exactly this content."""
    said = [order.reference, order.patient_id, order.uid, sorted(counts.items())]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:10]


async def erase(tx: Transaction, order: Order, *, at: datetime) -> Erased:
    """Carry the order out and record it, all in the caller's transaction.

    Raises NotErasable while an alert about it is open, UnknownName for a uid that is not stored.
    """
    await corrections.take_turn(tx, alone=True)
    counts = await prospect(tx, order)
    cursor = await tx.execute(
        "INSERT INTO erasure (at, reference, decided_by, reason, patient_id, uid, counts)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (
            at,
            order.reference,
            order.decided_by,
            order.reason,
            order.patient_id,
            order.uid,
            Jsonb(counts),
        ),
    )
    row = await cursor.fetchone()
    assert row is not None, "an insert that returns its id"
    values = {**_values(order), "erasure": row[0]}
    await tx.execute("SELECT set_config('hemma.erasure', %(erasure)s::text, true)", values)
    for statement in _ERASE:
        await tx.execute(statement, values)
    await corrections.renew_latest(tx, await _patients(tx, order), at)
    if order.patient_id is not None:
        await tx.execute(_ERASE_PERSON, values)
    return Erased(
        row[0],
        at,
        order.reference,
        order.decided_by,
        order.reason,
        order.patient_id,
        order.uid,
        counts,
    )


async def listed(tx: Transaction) -> list[Erased]:
    """Return every order that was carried out, oldest first: after a restore, those to repeat."""
    async with tx.cursor(row_factory=class_row(Erased)) as cursor:
        await cursor.execute(
            "SELECT id, at, reference, decided_by, reason, patient_id, uid, counts FROM erasure"
            " ORDER BY id"
        )
        return await cursor.fetchall()


async def _refuse_unready(tx: Transaction, order: Order) -> None:
    cursor = await tx.execute(
        f"SELECT count(*) FROM alert t WHERE {_CONTENT['alert']} AND t.handling <> 'closed'",
        _values(order),
    )
    row = await cursor.fetchone()
    if row is not None and row[0]:
        raise NotErasable(f"{row[0]} alerts about this are open; somebody closes them first")
    if order.uid is not None:
        cursor = await tx.execute(
            f"SELECT FROM measurement t WHERE {_CONTENT['measurement']}", _values(order)
        )
        if await cursor.fetchone() is None:
            raise UnknownName("there is no measurement with that uid")


async def _patients(tx: Transaction, order: Order) -> set[int | None]:
    if order.patient_id is not None:
        return {order.patient_id}
    cursor = await tx.execute(
        f"SELECT DISTINCT t.patient_id FROM measurement t WHERE {_CONTENT['measurement']}",
        _values(order),
    )
    return {patient for (patient,) in await cursor.fetchall()}


def _values(order: Order) -> dict[str, Any]:
    return {
        "patient": order.patient_id,
        "uid": order.uid,
        "flag": ERASED,
        "system": ERASED_SYSTEM,
    }


_ITEM = """(t.patient_id = %(patient)s OR (t.uid = %(uid)s AND t.measured_at IN (
    SELECT measured_at FROM located(ARRAY[%(uid)s]::uuid[]))))"""
_CITING = """(t.patient_id = %(patient)s OR t.id IN (
    SELECT e.alert_id FROM alert_evidence e WHERE e.uid = %(uid)s))"""
_OF_ALERTS = f"t.alert_id IN (SELECT t.id FROM alert t WHERE {_CITING})"

# Which rows of each table hold content of what is ordered.
_CONTENT = {
    "measurement": _ITEM,
    "observation": _ITEM,
    "recording": "t.patient_id = %(patient)s",
    "alert": _CITING,
    "alert_evidence": f"({_OF_ALERTS} OR t.uid = %(uid)s)",
    "alert_event": _OF_ALERTS,
    "decision": "(t.patient_id = %(patient)s OR %(uid)s::uuid = ANY(t.uids))",
    "patient_limit": "t.patient_id = %(patient)s",
    "retraction": f"t.why <> '' AND t.of_uid IN (SELECT t.uid FROM measurement t WHERE {_ITEM})",
    # What was put aside came from a device that was the person's then; whose it was is not known.
    "quarantine": """t.payload <> '' AND EXISTS (
        SELECT FROM binding b JOIN device d ON d.id = b.device_id
        WHERE b.patient_id = %(patient)s AND b.valid @> t.at
          AND position(convert_to(d.name, 'UTF8') IN t.payload) > 0)""",
}

_ERASE = (
    f"""
    INSERT INTO erased_item (uid, erasure_id)
    SELECT t.uid, %(erasure)s FROM measurement t WHERE {_CONTENT["measurement"]}
    ON CONFLICT DO NOTHING
    """,
    f"DELETE FROM engine_inbox t WHERE {_CONTENT['measurement']}",
    f"DELETE FROM recording t WHERE {_CONTENT['recording']}",
    f"DELETE FROM observation t WHERE {_CONTENT['observation']}",
    f"UPDATE decision t SET text_sv = '', text_en = '' WHERE {_CONTENT['decision']}",
    f"""
    UPDATE alert_event t SET detail = (t.detail - 'note' - 'why' - 'inputs')
        || CASE WHEN t.detail ? 'text' THEN '{{"text": {{"sv": "", "en": ""}}}}'::jsonb
                ELSE '{{}}'::jsonb END
    WHERE {_CONTENT["alert_event"]}
    """,
    f"""
    UPDATE alert t SET text_sv = '', text_en = '', why = '', inputs = '{{}}'
    WHERE {_CONTENT["alert"]}
    """,
    f"DELETE FROM alert_evidence t WHERE {_CONTENT['alert_evidence']}",
    f"""
    UPDATE patient_limit t SET red_low = NULL, yellow_low = NULL, yellow_high = NULL,
        red_high = NULL, reason = '' WHERE {_CONTENT["patient_limit"]}
    """,
    f"UPDATE retraction t SET why = '' WHERE {_CONTENT['retraction']}",
    f"UPDATE quarantine t SET payload = '', detail = '' WHERE {_CONTENT['quarantine']}",
    # Last: by it the others were found.
    f"""
    UPDATE measurement t SET flags = ARRAY[%(flag)s], context = '{{}}', raw = NULL,
        characteristic = NULL, kind_id = NULL, about = NULL,
        event = CASE WHEN t.type = 'event' THEN %(flag)s END
    WHERE {_CONTENT["measurement"]}
    """,
)

_ERASE_PERSON = """
UPDATE patient SET identifier_system = %(system)s, identifier_value = public_id::text,
    given_name = '', family_name = '', birth_year = NULL, matters_text = '', matters_date = NULL
WHERE id = %(patient)s
"""
