"""What the rules have not judged yet.

Each row is judged exactly once: the engine deletes it in the transaction that writes its decisions
(docs/decisions/0001). What cannot be judged stays, and is tried again (docs/decisions/0008). A
person is one engine's at a time, by a lock that ends with the transaction; so no two engines ever
decide about the same person from half of what is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from alerts.rules import Direction
from alerts.series import Reading
from alerts.standing import beyond_range
from server.store.arrays import Array, array, microseconds, uuids
from server.store.database import Transaction

CHANNEL = "hemma_inbox"

# Advisory locks are pairs of numbers; the first says what is locked, the second whose.
LOCK_PATIENT = 0x48_45_01
LOCK_GATEWAY = 0x48_45_02
LOCK_EQUIPMENT = 0x48_45_03

# How many people one transaction takes; the rest is left for other engines.
PEOPLE_MAX = 200
# What could not be judged is tried again ever more seldom, but for ever: the value must not vanish.
# One engine has the person, so nobody is jostled and no jitter is needed.
RETRY_FIRST = timedelta(seconds=30)
RETRY_MAX = timedelta(hours=1)
# How far waiting measurements are counted: a backlog must not cost each round its whole length.
COUNT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Whose:
    """One subject: a patient, or what belongs to nobody behind one gateway."""

    patient_id: int | None
    gateway_id: int | None

    @property
    def subject(self) -> str:
        """The subject's name in decisions, alert ids and logs: keys, so pseudonymous."""
        if self.patient_id is not None:
            return f"patient:{self.patient_id}"
        return f"gateway:{self.gateway_id}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One measurement to judge. ``patient_id`` None: it belongs to nobody yet.

    ``tries`` is how often it could not be judged.
    """

    received_seq: int
    uid: UUID
    patient_id: int | None
    gateway_id: int | None
    measured_at: datetime
    tries: int = 0

    @property
    def whose(self) -> Whose:
        """Whom it is judged with."""
        return Whose(self.patient_id, self.gateway_id if self.patient_id is None else None)


@dataclass(frozen=True, slots=True)
class StoredReading:
    """A reading and the measurement it belongs to; ``device`` by name, where it was asked for.

    ``absent`` is why there is no number.
    """

    uid: UUID
    component_id: int
    value: float | None
    absent: str | None
    measured_at: datetime
    received_seq: int
    flags: list[str]
    patient_id: int | None
    device: str | None = None

    @property
    def is_read(self) -> bool:
        """Tell whether rules read it: a number, or a result beyond the range (decision 0016)."""
        return self.value is not None or self._side is not None

    @property
    def _side(self) -> Direction | None:
        return beyond_range(self.absent, frozenset(self.flags))

    def reading(self) -> Reading:
        """Return what the rules read; only of what ``is_read``."""
        return Reading(
            uid=self.uid.hex,
            component=self.component_id,
            value=self.value,
            measured_at=self.measured_at,
            received_seq=self.received_seq,
            flags=frozenset(self.flags),
            beyond=self._side,
        )


async def claim(tx: Transaction, *, now: datetime, limit: int) -> list[Waiting]:
    """Take at most ``limit`` waiting measurements, all of people nobody else is judging.

    In the server's order for each person. People with fresh values come before those with
    backlog only (design.md, safety 2). People set aside are left out until their time has come or
    something new of theirs arrives.
    """
    locks = {"patient": LOCK_PATIENT, "gateway": LOCK_GATEWAY}
    cursor = await tx.execute(_LOCK, locks | {"people": PEOPLE_MAX, "now": now})
    people = await cursor.fetchall()
    patients = [patient for patient, _ in people if patient is not None]
    gateways = [gateway for patient, gateway in people if patient is None]
    # Another statement, so that it sees what the lock's last holder has committed.
    async with tx.cursor(row_factory=class_row(Waiting)) as rows:
        await rows.execute(_CLAIM, {"patients": patients, "gateways": gateways, "limit": limit})
        return await rows.fetchall()


async def readings(tx: Transaction, claimed: Sequence[Waiting]) -> list[StoredReading]:
    """Return what rules read of these measurements: numbers, and what lies beyond the range."""
    async with tx.cursor(row_factory=class_row(StoredReading)) as cursor:
        await cursor.execute(_READINGS, _named(claimed))
        return [stored for stored in await cursor.fetchall() if stored.is_read]


async def earlier(
    tx: Transaction, claimed: Sequence[Waiting], *, window_s: int
) -> list[StoredReading]:
    """Return what was received before these measurements, and measured in the window before them.

    Only of the same patient and component: the repeats that yellow rules look at.
    """
    async with tx.cursor(row_factory=class_row(StoredReading)) as cursor:
        of_patients = [waiting for waiting in claimed if waiting.patient_id is not None]
        patients = array("int4", [waiting.patient_id for waiting in of_patients])
        values = {**_named(of_patients), "patients": patients, "window_s": window_s}
        await cursor.execute(_EARLIER, values)
        return [stored for stored in await cursor.fetchall() if stored.is_read]


def _named(claimed: Sequence[Waiting]) -> dict[str, Array]:
    return {
        "uids": uuids(waiting.uid.bytes for waiting in claimed),
        "times": array("timestamptz", [microseconds(one.measured_at) for one in claimed]),
    }


async def forget(tx: Transaction, received_seqs: Sequence[int]) -> None:
    """Note that these have been judged."""
    await tx.execute(
        "DELETE FROM engine_inbox WHERE received_seq = ANY(%s)", (list(received_seqs),)
    )


async def set_aside(tx: Transaction, whose: Whose, *, tries: int, until: datetime) -> list[Waiting]:
    """Let all that waits of one subject wait until then; return it, in the server's order.

    All of it, not only what was claimed: a value must not overtake an earlier one.
    """
    values = {"patient": whose.patient_id, "gateway": whose.gateway_id}
    async with tx.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(_SET_ASIDE, values | {"tries": tries, "until": until})
        return sorted(await cursor.fetchall(), key=lambda waiting: waiting.received_seq)


def pause_after(tries: int) -> timedelta:
    """Return how long to wait after so many failed tries: doubled each time, an hour at most."""
    doublings = min(tries - 1, 16)
    return min(RETRY_FIRST * (1 << doublings), RETRY_MAX)


async def count(tx: Transaction, *, now: datetime) -> int:
    """Return how many measurements wait to be judged now, in this transaction's sight.

    Counts to COUNT_MAX. What was set aside for later is not among them.
    """
    row = await (await tx.execute(_COUNT, {"now": now, "max": COUNT_MAX})).fetchone()
    assert row is not None, "count always answers"
    return int(row[0])


async def put_back(tx: Transaction, uid: UUID, *, at: datetime) -> bool:
    """Let a stored measurement be judged again, by whom it belongs to now; False if unknown."""
    cursor = await tx.execute(_PUT_BACK, {"uid": uid, "at": at})
    if cursor.rowcount:
        await tx.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return bool(cursor.rowcount)


_LOCK = """
WITH waiting AS MATERIALIZED (
    SELECT patient_id, CASE WHEN patient_id IS NULL THEN coalesce(gateway_id, 0) END AS gateway_id
    FROM engine_inbox
    GROUP BY 1, 2
    HAVING bool_or(retry_at IS NULL OR retry_at <= %(now)s)
    ORDER BY bool_and(stored_at - measured_at > INTERVAL '10 minutes'), min(received_seq)
    LIMIT %(people)s
)
SELECT patient_id, gateway_id FROM waiting
WHERE CASE WHEN patient_id IS NULL THEN pg_try_advisory_xact_lock(%(gateway)s, gateway_id)
           ELSE pg_try_advisory_xact_lock(%(patient)s, patient_id) END
"""

_CLAIM = """
SELECT received_seq, uid, patient_id, gateway_id, measured_at, tries FROM engine_inbox
WHERE patient_id = ANY(%(patients)s::int[])
   OR (patient_id IS NULL AND coalesce(gateway_id, 0) = ANY(%(gateways)s::int[]))
ORDER BY received_seq
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""

_SET_ASIDE = """
UPDATE engine_inbox SET tries = %(tries)s, retry_at = %(until)s
WHERE patient_id = %(patient)s
   OR (patient_id IS NULL AND %(patient)s::int IS NULL
       AND coalesce(gateway_id, 0) = coalesce(%(gateway)s, 0))
RETURNING received_seq, uid, patient_id, gateway_id, measured_at, tries
"""

_COUNT = """
SELECT count(*) FROM (
    SELECT 1 FROM engine_inbox WHERE retry_at IS NULL OR retry_at <= %(now)s LIMIT %(max)s
) AS waiting
"""

_READINGS = """
SELECT o.uid, o.component_id, o.value, o.absent, o.measured_at, m.received_seq, m.flags,
       m.patient_id, d.name AS device
FROM unnest(%(uids)s::uuid[], %(times)s::timestamptz[]) AS i (uid, time)
JOIN measurement m ON m.uid = i.uid AND m.measured_at = i.time
CROSS JOIN LATERAL (
    SELECT o.* FROM observation o
    WHERE o.patient_id = m.patient_id AND o.measured_at = i.time AND o.uid = i.uid
    UNION ALL
    SELECT o.* FROM observation o
    WHERE m.patient_id IS NULL AND o.patient_id IS NULL AND o.measured_at = i.time
      AND o.uid = i.uid
) o
LEFT JOIN device d ON d.id = m.device_id
"""

_EARLIER = """
WITH judged AS (
    SELECT o.patient_id, o.component_id, o.measured_at, o.received_seq
    FROM unnest(%(uids)s::uuid[], %(times)s::timestamptz[], %(patients)s::int[])
        AS i (uid, time, patient_id)
    JOIN observation o ON o.patient_id = i.patient_id AND o.measured_at = i.time AND o.uid = i.uid
), repeated AS (
    SELECT DISTINCT h.uid, h.component_id, h.value, h.absent, h.measured_at, h.received_seq,
           h.patient_id
    FROM judged j
    JOIN observation h ON h.patient_id = j.patient_id AND h.component_id = j.component_id
     AND h.measured_at > j.measured_at - make_interval(secs => %(window_s)s)
     AND h.measured_at <= j.measured_at
     AND h.received_seq < j.received_seq
    WHERE h.uid <> ALL(%(uids)s::uuid[])
)
SELECT r.uid, r.component_id, r.value, r.absent, r.measured_at, r.received_seq, m.flags,
       r.patient_id
FROM repeated r
JOIN measurement m ON m.uid = r.uid AND m.measured_at = r.measured_at
"""

_PUT_BACK = """
INSERT INTO engine_inbox (received_seq, uid, patient_id, gateway_id, measured_at, stored_at)
SELECT m.received_seq, m.uid, m.patient_id, m.gateway_id, m.measured_at, %(at)s
FROM located(ARRAY[%(uid)s::uuid]) l
JOIN measurement m ON m.uid = l.uid AND m.measured_at = l.measured_at
WHERE m.type = 'value'
ON CONFLICT (received_seq) DO UPDATE
SET patient_id = excluded.patient_id, measured_at = excluded.measured_at, retry_at = NULL
"""
