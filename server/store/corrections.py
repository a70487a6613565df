"""What is learnt about a value after it was stored: whose, from when, or that it is taken back.

Nothing is overwritten in silence: the time as sent stays in ``measured_at_sent``, a retracted value
stays and is flagged, and a value that finds its patient late is judged then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from alerts.standing import NO_READING
from devices.wire import Item
from server.store import evidence
from server.store.arrays import array, microseconds, uuids
from server.store.database import Transaction

# Values and late facts about them may arrive at two workers at once and would not see each other.
# Values share this lock; a late fact holds it alone, for the length of one batch.
_TURN = 0x68_65_6D_6D_61_01
RETRACTED = "retracted"


def binding_of(device: str, user_index: str, measured: str, gateway: str) -> str:
    """Return the subquery for the one binding that holds both times; arguments are SQL columns."""
    return f"""(
        SELECT b.patient_id FROM binding b
        WHERE b.device_id = {device} AND (b.user_index IS NULL OR b.user_index = {user_index})
          AND b.valid @> {measured} AND b.valid @> {gateway}
        LIMIT 1)"""


def why_unassigned(device: str, measured: str, gateway: str) -> str:
    """Return the expression that says why there is no patient; arguments are SQL columns."""
    return f"""CASE
        WHEN {device} IS NULL THEN 'no_device'
        WHEN NOT EXISTS (SELECT FROM binding x WHERE x.device_id = {device}) THEN 'unbound_device'
        WHEN EXISTS (SELECT FROM binding x WHERE x.device_id = {device}
                     AND x.valid @> {measured} AND x.valid @> {gateway}) THEN 'other_user'
        ELSE 'outside_binding' END"""


async def take_turn(tx: Transaction, *, alone: bool) -> None:
    """Wait until no late fact is being written, ``alone``: until nothing is; held to the commit."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    await tx.execute(f"SELECT {function}(%s)", (_TURN,))


async def note_clock(tx: Transaction, gateway_id: int | None, item: Item, *, at: datetime) -> None:
    """Remember what a gateway learnt of a boot's clock; the first fact about a boot counts."""
    await tx.execute(
        "INSERT INTO boot_clock (gateway_id, boot, mono_ms, utc, quality, at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (gateway_id, item.boot, item.mono_ms, item.utc, item.q, at),
    )


async def note_retraction(
    tx: Transaction, gateway_id: int | None, item: Item, *, at: datetime
) -> None:
    """Remember that a gateway takes back a value, which may still be on its way."""
    await tx.execute(
        "INSERT INTO retraction (of_uid, gateway_id, why, at) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (item.of, gateway_id, item.why or "", at),
    )


async def mark_retracted(tx: Transaction, uids: Iterable[str], *, at: datetime) -> None:
    """Flag those of ``uids`` that their own gateway took back, and take them out of ``latest``."""
    wanted = uuids(bytes.fromhex(uid) for uid in uids)
    cursor = await tx.execute(_TAKEN_BACK, {"uids": wanted})
    taken_back = [uid for (uid,) in await cursor.fetchall()]
    if taken_back:
        cursor = await tx.execute(_MARK, {"uids": taken_back, "flag": RETRACTED})
        await renew_latest(tx, {patient for (patient,) in await cursor.fetchall()}, at)


async def correct_clocks(tx: Transaction, boots: Sequence[str], *, at: datetime) -> None:
    """Move the estimated times of ``boots`` by what their clock items say, and bind them again.

    What was measured by a device's own clock stays where it is; but where the gateway did not know
    the time when it passed the value on, the value may find its binding now.
    """
    cursor = await tx.execute(_CORRECT, {"boots": boots})
    rows = await cursor.fetchall()
    if rows:
        moved = [_Moved(*row[:4]) for row in rows]
        await tx.execute(_MOVE_PACKED, _values(moved, at))
        await _follow(tx, moved, at)
        anothers = [(uid, before) for uid, _, _, before, patient in rows if before != patient]
        await evidence.left(tx, anothers, at=at)
        await renew_latest(tx, {patient for row in rows for patient in row[3:]}, at)
    await _place(tx, at, boots=boots)


async def place_unassigned(tx: Transaction, device_id: int, *, at: datetime) -> int:
    """Give a device's unassigned values to whom they belong now, to be judged; return how many."""
    return await _place(tx, at, device_id=device_id)


async def take_away(
    tx: Transaction, device_id: int, patients: Collection[int], *, at: datetime
) -> int:
    """Take a device's values from ``patients`` where no binding gives them to them any more.

    A binding was ended at a time that has passed: what came since is nobody's, is judged as that,
    and waits for a binding, as if it came now. An alert that cites it stays with whom it was raised
    for, and says so. Returns how many there were.
    """
    whose = {"device": device_id, "patients": sorted(patients)}
    taken = await (await tx.execute(_TAKE_AWAY, whose)).fetchall()
    if taken:
        await _follow(tx, [_Moved(uid, time, time, patient) for uid, time, patient in taken], at)
        left = [(uid, patient) for uid, _, patient in taken]
        await evidence.left(tx, left, at=at)
        await renew_latest(tx, set(patients), at)
        await _place(tx, at, device_id=device_id)
    return len(taken)


async def _place(
    tx: Transaction, at: datetime, *, device_id: int | None = None, boots: Sequence[str] = ()
) -> int:
    whose = {"device": device_id, "boots": list(boots)}
    placed = await (await tx.execute(_PLACE, whose)).fetchall()
    await tx.execute(_WHY, whose)
    if not placed:
        return 0
    await _follow(tx, [_Moved(uid, time, time, None) for uid, time, _ in placed], at)
    await renew_latest(tx, {patient for *_, patient in placed}, at)
    return len(placed)


class _Moved(NamedTuple):
    """A measurement that has another time or patient now."""

    uid: UUID
    time_before: datetime
    time: datetime
    patient_before: int | None


async def _follow(tx: Transaction, moved: Sequence[_Moved], at: datetime) -> None:
    """Let observations and the rules' inbox follow their measurements."""
    values = _values(moved, at)
    await tx.execute(_MOVE_OBSERVATIONS, values)
    await tx.execute(_JUDGE, values)
    await tx.execute("SELECT pg_notify('hemma_inbox', '')")


def _values(moved: Sequence[_Moved], at: datetime) -> dict[str, object]:
    return {
        "uids": uuids(one.uid.bytes for one in moved),
        "before": array("timestamptz", [microseconds(one.time_before) for one in moved]),
        "times": array("timestamptz", [microseconds(one.time) for one in moved]),
        "patients": [one.patient_before for one in moved],
        "at": at,
    }


async def renew_latest(tx: Transaction, patients: set[int | None], at: datetime) -> None:
    """Find the newest values of these people anew, after some of theirs moved or went."""
    known = sorted(patient for patient in patients if patient is not None)
    if known:
        await tx.execute("DELETE FROM latest WHERE patient_id = ANY(%s)", (known,))
        values = {"patients": known, "at": at, "no_reading": sorted(NO_READING)}
        await tx.execute(_LATEST, values)


_TAKEN_BACK = "SELECT DISTINCT of_uid FROM retraction WHERE of_uid = ANY(%(uids)s::uuid[])"

_MARK = """
UPDATE measurement m SET flags = m.flags || %(flag)s::text
FROM retraction r JOIN located(%(uids)s::uuid[]) l ON l.uid = r.of_uid
WHERE m.uid = l.uid AND m.measured_at = l.measured_at AND m.gateway_id = r.gateway_id
  AND NOT %(flag)s = ANY(m.flags)
RETURNING m.patient_id
"""

# Deleted and inserted, not updated: a hypertable cannot move a row to another week's chunk. The
# gateway's time stays as sent; with the shift, it too must lie inside the binding.
_CORRECT = f"""
WITH wrong AS (
    DELETE FROM measurement m USING boot_clock c
    WHERE m.boot = ANY(%(boots)s::uuid[]) AND c.boot = m.boot AND c.gateway_id = m.gateway_id
      AND m.measured_how = 'estimated' AND m.mono_ms IS NOT NULL
      -- What no boot can last, and what no calendar holds, is not corrected but stays estimated.
      AND abs(c.mono_ms - m.mono_ms) < 100::bigint * 366 * 86400000
      AND m.measured_at < TIMESTAMPTZ '3000-01-01Z' AND c.utc < TIMESTAMPTZ '3000-01-01Z'
    RETURNING m.*, c.utc - (c.mono_ms - m.mono_ms) * INTERVAL '1 millisecond' AS true_time
), moved AS (
    SELECT w.*, w.measured_at + (w.true_time - coalesce(w.gateway_time, w.measured_at)) AS new_at,
           CASE WHEN jsonb_typeof(w.context -> 'user_index') = 'number'
                THEN (w.context ->> 'user_index')::numeric END AS user_index
    FROM wrong w
), placed AS (
    SELECT m.*, b.patient_id AS bound_to,
           CASE WHEN b.patient_id IS NULL
                THEN {why_unassigned("m.device_id", "m.new_at", "m.true_time")} END AS why
    FROM moved m
    LEFT JOIN LATERAL {binding_of("m.device_id", "m.user_index", "m.new_at", "m.true_time")} b
        ON true
), corrected AS (
    INSERT INTO measurement (
        uid, measured_at, measured_how, measured_at_sent, type, event, about, kind_id, patient_id,
        unassigned, gateway_id, device_id, boot, seq, device_time, gateway_time, gateway_clock,
        mono_ms, stored_at, received_seq, flags, context, characteristic, raw, entered_by)
    SELECT uid, new_at, 'corrected', measured_at, type, event, about, kind_id, bound_to, why,
           gateway_id, device_id, boot, seq, device_time, gateway_time, gateway_clock, mono_ms,
           stored_at, received_seq, flags, context, characteristic, raw, entered_by
    FROM placed
), found_there AS (
    UPDATE item_uid i SET measured_at = p.new_at
    FROM placed p CROSS JOIN uid_epoch e
    WHERE i.epoch = e.epoch AND i.uid = p.uid
)
SELECT uid, measured_at, new_at, patient_id, bound_to FROM placed
"""

# The same for uids of pruned epochs (uid_runs.py), after the others: what is being packed is found
# here. All that moved in one run at once, for an update changes a row once.
_MOVE_PACKED = """
WITH moved AS (
    SELECT * FROM unnest(%(uids)s::uuid[], %(times)s::timestamptz[]) AS m (uid, time)
), runs AS (
    SELECT DISTINCT r.epoch, r.first_uid
    FROM moved m CROSS JOIN uid_epoch e
    CROSS JOIN LATERAL (
        SELECT r.epoch, r.first_uid, r.uids FROM uid_run r
        WHERE r.epoch = e.epoch AND r.first_uid <= m.uid ORDER BY r.first_uid DESC LIMIT 1
    ) r
    WHERE e.packing_since IS NOT NULL AND m.uid = ANY(r.uids)
)
UPDATE uid_run r SET times = (
    SELECT array_agg(coalesce(m.time, u.time) ORDER BY u.position)
    FROM unnest(r.uids, r.times) WITH ORDINALITY AS u (uid, time, position)
    LEFT JOIN moved m ON m.uid = u.uid)
FROM runs n WHERE r.epoch = n.epoch AND r.first_uid = n.first_uid
"""

# A gateway that did not know the time stamped ``gateway_time`` with a guess; its boot's clock item
# says when it was. What was corrected already carries the same shift in ``measured_at``.
_TRUE_GATEWAY_TIME = """coalesce(
    (SELECT c.utc - (c.mono_ms - u.mono_ms) * INTERVAL '1 millisecond' FROM boot_clock c
     WHERE u.gateway_clock = 'none' AND c.boot = u.boot AND c.gateway_id = u.gateway_id
       AND abs(c.mono_ms - u.mono_ms) < 100::bigint * 366 * 86400000
       AND c.utc < TIMESTAMPTZ '3000-01-01Z'),
    u.gateway_time + (u.measured_at - coalesce(u.measured_at_sent, u.measured_at)))"""

_UNPLACED = """u.patient_id IS NULL
      AND (u.device_id = %(device)s
           OR (u.boot = ANY(%(boots)s::uuid[]) AND u.gateway_clock = 'none'))"""

_BINDING = binding_of(
    "u.device_id",
    "CASE WHEN jsonb_typeof(u.context -> 'user_index') = 'number' "
    "THEN (u.context ->> 'user_index')::numeric END",
    "u.measured_at",
    _TRUE_GATEWAY_TIME,
)

_PLACE = f"""
UPDATE measurement m SET patient_id = b.patient_id, unassigned = NULL
FROM (
    SELECT u.uid, u.measured_at, b.patient_id
    FROM measurement u
    CROSS JOIN LATERAL {_BINDING} b
    WHERE {_UNPLACED}
) b
WHERE m.uid = b.uid AND m.measured_at = b.measured_at
RETURNING m.uid, m.measured_at, m.patient_id
"""

# What a person entered for a patient never had a binding.
_TAKE_AWAY = f"""
UPDATE measurement m SET patient_id = NULL, unassigned = w.why
FROM (
    SELECT u.uid, u.measured_at, u.patient_id,
           {why_unassigned("u.device_id", "u.measured_at", _TRUE_GATEWAY_TIME)} AS why
    FROM measurement u
    LEFT JOIN LATERAL {_BINDING} b ON true
    WHERE u.patient_id = ANY(%(patients)s) AND u.device_id = %(device)s
      AND u.entered_by IS NULL AND b.patient_id IS DISTINCT FROM u.patient_id
) w
WHERE m.uid = w.uid AND m.measured_at = w.measured_at AND m.patient_id = w.patient_id
RETURNING m.uid, m.measured_at, w.patient_id
"""

# Why the rest still has none may be another reason than it was: the same as if it came now.
_WHY = f"""
UPDATE measurement m SET unassigned = w.why
FROM (
    SELECT u.uid, u.measured_at,
           {why_unassigned("u.device_id", "u.measured_at", _TRUE_GATEWAY_TIME)} AS why
    FROM measurement u
    WHERE {_UNPLACED}
) w
WHERE m.uid = w.uid AND m.measured_at = w.measured_at AND m.unassigned <> w.why
"""

_MOVE_OBSERVATIONS = """
WITH moved AS (
    SELECT * FROM unnest(%(uids)s::uuid[], %(before)s::timestamptz[], %(times)s::timestamptz[],
                         %(patients)s::int[]) AS i (uid, time_before, time, patient)
), from_patients AS (
    DELETE FROM observation o USING moved i
    WHERE o.patient_id = i.patient AND o.measured_at = i.time_before AND o.uid = i.uid
    RETURNING o.*, i.time
), from_nobody AS (
    DELETE FROM observation o USING moved i
    WHERE o.patient_id IS NULL AND o.measured_at = i.time_before AND o.uid = i.uid
      AND i.patient IS NULL
    RETURNING o.*, i.time
), gone AS (
    SELECT * FROM from_patients UNION ALL SELECT * FROM from_nobody
)
INSERT INTO observation (
    patient_id, measured_at, component_id, value, absent, device_id, received_seq, uid)
SELECT m.patient_id, m.measured_at, g.component_id, g.value, g.absent, g.device_id,
       g.received_seq, g.uid
FROM gone g JOIN measurement m ON m.uid = g.uid AND m.measured_at = g.time
"""

_JUDGE = """
INSERT INTO engine_inbox (received_seq, uid, patient_id, gateway_id, measured_at, stored_at)
SELECT m.received_seq, m.uid, m.patient_id, m.gateway_id, m.measured_at, %(at)s
FROM unnest(%(uids)s::uuid[], %(times)s::timestamptz[]) AS i (uid, time)
JOIN measurement m ON m.uid = i.uid AND m.measured_at = i.time
WHERE m.type = 'value'
ON CONFLICT (received_seq) DO UPDATE
SET patient_id = excluded.patient_id, measured_at = excluded.measured_at, retry_at = NULL
"""

_LATEST = """
INSERT INTO latest (patient_id, component_id, measured_at, value, absent, uid)
SELECT DISTINCT ON (o.patient_id, o.component_id)
       o.patient_id, o.component_id, o.measured_at, o.value, o.absent, o.uid
FROM observation o
JOIN measurement m ON m.patient_id = o.patient_id AND m.measured_at = o.measured_at
 AND m.uid = o.uid
WHERE o.patient_id = ANY(%(patients)s) AND NOT 'retracted' = ANY(m.flags)
  AND NOT m.flags && %(no_reading)s::text[]
  AND o.measured_at <= m.stored_at + INTERVAL '10 minutes'
ORDER BY o.patient_id, o.component_id, o.measured_at DESC, o.uid DESC
"""
