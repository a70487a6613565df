"""Erasing what was stored of a person, or one item, by a recorded order only.

Rules of this file: content goes, places stay. A measurement keeps its uid, its times and its number
in its boot, so that the certificates' chain can be checked, and is flagged ``erased``; its numbers,
bytes, context, words and fingerprint are gone (docs/decisions/0022). What came of the person's
devices and found no patient goes too, unless it may be somebody else's. The order itself is a row
that nobody can change, and without one in the same transaction the database refuses to touch what
is append-only. The access log stays: it says who has read, and holds no content.
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
    values = await _values(tx, order)
    await _refuse_unready(tx, order, values)
    counts = {}
    for table, where in _CONTENT.items():
        cursor = await tx.execute(f"SELECT count(*) FROM {table} t WHERE {where}", values)
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
    values = {**await _values(tx, order), "erasure": row[0]}
    await tx.execute("SELECT set_config('hemma.erasure', %(erasure)s::text, true)", values)
    for statement in _ERASE:
        await tx.execute(statement, values)
    await corrections.renew_latest(tx, await _patients(tx, order, values), at)
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


async def _refuse_unready(tx: Transaction, order: Order, values: dict[str, Any]) -> None:
    cursor = await tx.execute(
        f"SELECT count(*) FROM alert t WHERE {_CONTENT['alert']} AND t.handling <> 'closed'", values
    )
    row = await cursor.fetchone()
    if row is not None and row[0]:
        raise NotErasable(f"{row[0]} alerts about this are open; somebody closes them first")
    if order.uid is not None:
        cursor = await tx.execute(
            f"SELECT FROM measurement t WHERE {_CONTENT['measurement']}", values
        )
        if await cursor.fetchone() is None:
            raise UnknownName("there is no measurement with that uid")


async def _patients(tx: Transaction, order: Order, values: dict[str, Any]) -> set[int | None]:
    if order.patient_id is not None:
        return {order.patient_id}
    cursor = await tx.execute(
        f"SELECT DISTINCT t.patient_id FROM measurement t WHERE {_CONTENT['measurement']}", values
    )
    return {patient for (patient,) in await cursor.fetchall()}


async def _values(tx: Transaction, order: Order) -> dict[str, Any]:
    """Return what the statements are bound to; ``uids``: beside the person's, these items."""
    uids = [] if order.uid is None else [order.uid]
    if order.patient_id is not None:
        cursor = await tx.execute(_NOBODYS_UIDS, {"patient": order.patient_id})
        uids = [uid for (uid,) in await cursor.fetchall()]
    return {"patient": order.patient_id, "uids": uids, "flag": ERASED, "system": ERASED_SYSTEM}


def _nobodys(user_index: str) -> str:
    """Return the condition for a row of nobody that no other than this person can have measured.

    Its device, with that user index, was this person's once, and no binding of another person lies
    nearer in time. ``user_index`` is an expression; null: it did not tell, and anyone may be meant.
    """
    is_users = f"({user_index} IS NULL OR b.user_index IS NULL OR b.user_index = {user_index})"
    return f"""(t.patient_id IS NULL
    AND t.device_id = ANY(ARRAY(SELECT device_id FROM binding WHERE patient_id = %(patient)s))
    AND EXISTS (SELECT FROM binding b WHERE b.device_id = t.device_id
                AND b.patient_id = %(patient)s AND {is_users})
    AND NOT EXISTS (
        SELECT FROM binding b
        WHERE b.device_id = t.device_id AND b.patient_id <> %(patient)s AND {is_users}
          AND NOT EXISTS (
              SELECT FROM binding own
              WHERE own.device_id = t.device_id AND own.patient_id = %(patient)s
                AND own.valid && CASE
                    WHEN b.valid @> t.measured_at THEN 'empty'
                    WHEN lower(b.valid) > t.measured_at
                        THEN tstzrange(t.measured_at, lower(b.valid))
                    ELSE tstzrange(upper(b.valid), t.measured_at, '[]') END)))"""


_NOBODYS_UIDS = f"""
SELECT t.uid FROM measurement t WHERE {
    _nobodys(
        "CASE WHEN jsonb_typeof(t.context -> 'user_index') = 'number' "
        "THEN (t.context ->> 'user_index')::numeric END"
    )
}
"""

_ITEM = """(t.patient_id = %(patient)s OR (t.uid = ANY(%(uids)s::uuid[]) AND t.measured_at IN (
    SELECT measured_at FROM located(%(uids)s::uuid[]))))"""
_CITING = """(t.patient_id = %(patient)s OR t.id IN (
    SELECT e.alert_id FROM alert_evidence e WHERE e.uid = ANY(%(uids)s::uuid[])))"""
_OF_ALERTS = f"t.alert_id IN (SELECT t.id FROM alert t WHERE {_CITING})"

# Which rows of each table hold content of what is ordered.
_CONTENT = {
    "measurement": _ITEM,
    "observation": _ITEM,
    "recording": f"(t.patient_id = %(patient)s OR {_nobodys('NULL::numeric')})",
    "alert": _CITING,
    "alert_evidence": f"({_OF_ALERTS} OR t.uid = ANY(%(uids)s::uuid[]))",
    "alert_event": _OF_ALERTS,
    "decision": "(t.patient_id = %(patient)s OR %(uids)s::uuid[] && t.uids)",
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
    # Without its fingerprint a uid counts as the same again: what comes again stays erased.
    """
    UPDATE item_uid i SET identity = NULL FROM erased_item x CROSS JOIN uid_epoch e
    WHERE x.erasure_id = %(erasure)s AND i.epoch = e.epoch AND i.uid = x.uid
    """,
    # And where the epoch was packed (uid_runs.py).
    """
    WITH runs AS (
        SELECT DISTINCT r.epoch, r.first_uid
        FROM erased_item x CROSS JOIN uid_epoch e
        CROSS JOIN LATERAL (
            SELECT r.epoch, r.first_uid, r.uids FROM uid_run r
            WHERE r.epoch = e.epoch AND r.first_uid <= x.uid ORDER BY r.first_uid DESC LIMIT 1
        ) r
        WHERE x.erasure_id = %(erasure)s AND e.packing_since IS NOT NULL AND x.uid = ANY(r.uids)
    )
    UPDATE uid_run r SET identities = (
        SELECT array_agg(CASE WHEN x.uid IS NULL THEN u.identity END ORDER BY u.position)
        FROM unnest(r.uids, r.identities) WITH ORDINALITY AS u (uid, identity, position)
        LEFT JOIN erased_item x ON x.uid = u.uid)
    FROM runs n WHERE r.epoch = n.epoch AND r.first_uid = n.first_uid
    """,
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
