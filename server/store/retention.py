"""How long what is kept, by kind and unit, and the one place where age removes anything.

Rules of this file:

- Nothing goes without a rule that a person has set, with a reason.
- A document of a patient's record is kept for ten years at least (patientdatalagen 3:17); a shorter
  time is set only for what somebody says is none, such as a battery or a value each second.
- A measurement that an alert cites stays: the alert must be explained years later.
- A row that goes leaves its hash (``erased_row``), so that the certificates' chain can be checked.
- In batches, each a transaction of its own, so that ingest never waits for long. Chunks in which
  nothing is left are dropped by the upkeep (``chunks.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg.rows import class_row

from devices.kinds import KINDS
from server.store.database import Database, Transaction
from server.store.errors import StoreError, UnknownName

ACCESS_LOG = "access_log"
RECORD_YEARS_DAYS = 3653
ACCESS_LOG_DAYS = 1828
BATCH_ROWS = 5_000
# One run's bound for one rule: two million rows; the next run goes on.
BATCHES_MAX = 400
# Values come late. A run looks so far back behind where the last one ended, and every month at all.
LATE = timedelta(days=60)
WHOLE_EVERY = timedelta(days=30)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class TooShort(StoreError):
    """The law says longer; the text says how long, and what must be said to go below."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``what`` (a kind's name, or ``access_log``) is kept ``keep_days``; 0: for ever.

    ``unit`` None: for every unit that has no rule of its own.
    """

    what: str
    unit: str | None
    keep_days: int
    set_at: datetime
    set_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Due:
    kind_id: int | None
    unit_id: int | None
    keep_days: int


async def listed(tx: Transaction) -> list[Rule]:
    """Return the rules; what has none is kept for ever."""
    async with tx.cursor(row_factory=class_row(Rule)) as cursor:
        await cursor.execute(
            f"SELECT coalesce(k.name, '{ACCESS_LOG}') AS what, u.name AS unit, r.keep_days,"
            " r.set_at, r.set_by, r.reason FROM retention_rule r"
            " LEFT JOIN kind k ON k.id = r.kind_id LEFT JOIN unit u ON u.id = r.unit_id"
            " ORDER BY 1, 2 NULLS FIRST"
        )
        return await cursor.fetchall()


async def set_rule(tx: Transaction, rule: Rule, *, is_no_record: bool) -> None:
    """Set or replace the rule for a kind and unit.

    ``is_no_record``: somebody answers for it that this kind is no document of a patient's record.
    Raises TooShort, and UnknownName for a kind or unit that is not there.
    """
    _refuse_short(rule, is_no_record=is_no_record)
    kind_id = None
    if rule.what != ACCESS_LOG:
        if rule.what not in KINDS:
            raise UnknownName(f"there is no kind {rule.what}; see hemma devices kinds")
        kind_id = KINDS[rule.what].number
    unit_id = None if rule.unit is None else await _unit_id(tx, rule.unit)
    await tx.execute(
        "INSERT INTO retention_rule (kind_id, unit_id, keep_days, set_at, set_by, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (coalesce(kind_id, -1), coalesce(unit_id, 0)) DO UPDATE"
        " SET keep_days = excluded.keep_days, set_at = excluded.set_at,"
        " set_by = excluded.set_by, reason = excluded.reason",
        (kind_id, unit_id, rule.keep_days, rule.set_at, rule.set_by, rule.reason),
    )


async def retain(database: Database, *, now: datetime) -> dict[str, int]:
    """Remove what the rules say is past as of ``now``; return how many rows of each kind went.

    For the upkeep's scheduler: harmless to repeat and to cut off; what is left goes next time.
    """
    async with database.transaction() as tx, tx.cursor(row_factory=class_row(_Due)) as cursor:
        await cursor.execute(
            "SELECT kind_id, unit_id, keep_days FROM retention_rule WHERE keep_days > 0 ORDER BY id"
        )
        rules = await cursor.fetchall()
    names = {kind.number: kind.name for kind in KINDS.values()}
    counts: dict[str, int] = {}
    for rule in rules:
        name = ACCESS_LOG if rule.kind_id is None else names[rule.kind_id]
        counts[name] = counts.get(name, 0) + await _prune(database, rule, now)
    return counts


def _refuse_short(rule: Rule, *, is_no_record: bool) -> None:
    if rule.keep_days == 0:
        return
    if rule.what == ACCESS_LOG and rule.keep_days < ACCESS_LOG_DAYS:
        raise TooShort(f"the access log is kept for five years at least: {ACCESS_LOG_DAYS} days")
    if rule.what != ACCESS_LOG and rule.keep_days < RECORD_YEARS_DAYS and not is_no_record:
        raise TooShort(
            f"a document of a patient's record is kept for ten years at least ({RECORD_YEARS_DAYS}"
            " days); say --no-record for what is none"
        )


async def _unit_id(tx: Transaction, name: str) -> int:
    cursor = await tx.execute("SELECT id FROM unit WHERE name = %s", (name,))
    found = await cursor.fetchall()
    if len(found) != 1:
        many = "there is no unit" if not found else "several care providers have a unit"
        raise UnknownName(f"{many} {name!r}")
    number: int = found[0][0]
    return number


async def _prune(database: Database, rule: _Due, now: datetime) -> int:
    """Remove what one rule says, from where the last whole run ended; note what went."""
    older_than = now - timedelta(days=rule.keep_days)
    async with database.transaction() as tx:
        since = await _begin_at(tx, rule, now)
    rows, is_whole = 0, True
    statements = _STATEMENTS if rule.kind_id is not None else (_OLD_LOG,)
    for statement in statements:
        count, is_done = await _in_batches(database, statement, rule, since, older_than)
        rows += count
        is_whole = is_whole and is_done
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO pruned (at, kind_id, unit_id, since, older_than, rows, is_whole)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (now, rule.kind_id, rule.unit_id, since, older_than, rows, is_whole),
        )
    return rows


async def _begin_at(tx: Transaction, rule: _Due, now: datetime) -> datetime:
    cursor = await tx.execute(
        "SELECT max(older_than), bool_or(since = %(beginning)s AND at > %(month)s)"
        " FROM pruned WHERE is_whole AND kind_id IS NOT DISTINCT FROM %(kind)s"
        " AND unit_id IS NOT DISTINCT FROM %(unit)s",
        {
            "beginning": _BEGINNING,
            "month": now - WHOLE_EVERY,
            "kind": rule.kind_id,
            "unit": rule.unit_id,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    last, has_whole = row
    return last - LATE if has_whole and last is not None else _BEGINNING


async def _in_batches(
    database: Database, statement: str, rule: _Due, since: datetime, older_than: datetime
) -> tuple[int, bool]:
    """Run ``statement`` until it finds no more; return the rows, and whether it came to the end."""
    total = 0
    for _ in range(BATCHES_MAX):
        async with database.transaction() as tx:
            cursor = await tx.execute(
                statement,
                {
                    "kind": rule.kind_id,
                    "unit": rule.unit_id,
                    "since": since,
                    "older_than": older_than,
                    "components": _components(rule.kind_id),
                    "limit": BATCH_ROWS,
                },
            )
            row = await cursor.fetchone()
            assert row is not None, "an aggregate always answers"
            count, last = row
        total += count
        if last is None:
            return total, True
        since = last
    return total, False


def _components(kind_id: int | None) -> Sequence[int]:
    kinds = [kind for kind in KINDS.values() if kind.number == kind_id]
    return [component.number for kind in kinds for component in kind.components]


# A unit's own rule is for its patients; a rule for all is for those whose unit has none, and for
# what belongs to nobody.
_WHOSE = """CASE WHEN %(unit)s::int IS NOT NULL
    THEN t.patient_id IN (SELECT id FROM patient WHERE unit_id = %(unit)s)
    ELSE t.patient_id IS NULL OR t.patient_id NOT IN (
        SELECT p.id FROM patient p JOIN retention_rule r ON r.unit_id = p.unit_id
        WHERE r.kind_id = %(kind)s) END"""

# ``last`` is where the next batch goes on; null: this was the last one. What is cited is passed by.
_OLD_VALUES = f"""
WITH old AS (
    SELECT t.uid, t.measured_at, t.patient_id FROM measurement t
    WHERE t.measured_at >= %(since)s AND t.measured_at < %(older_than)s AND t.kind_id = %(kind)s
      AND {_WHOSE}
      AND NOT EXISTS (SELECT FROM alert_evidence e WHERE e.uid = t.uid)
    ORDER BY t.measured_at LIMIT %(limit)s
), values_gone AS (
    DELETE FROM observation o USING old
    WHERE o.patient_id = old.patient_id AND o.measured_at = old.measured_at AND o.uid = old.uid
), nobodys_values_gone AS (
    DELETE FROM observation o USING old
    WHERE o.patient_id IS NULL AND old.patient_id IS NULL
      AND o.measured_at = old.measured_at AND o.uid = old.uid
), latest_gone AS (
    DELETE FROM latest l USING old WHERE l.patient_id = old.patient_id AND l.uid = old.uid
), waiting_gone AS (
    DELETE FROM engine_inbox i USING old WHERE i.uid = old.uid
), gone AS (
    DELETE FROM measurement m USING old
    WHERE m.measured_at = old.measured_at AND m.uid = old.uid
    RETURNING m.gateway_id, m.boot, m.seq, m.stored_at, m.uid
), hashes AS (
    INSERT INTO erased_row (gateway_id, boot, seq, stored_at, row_hash)
    SELECT gateway_id, boot, seq, stored_at, certificate_row_hash(boot, seq, uid) FROM gone
    WHERE gateway_id IS NOT NULL AND boot IS NOT NULL AND seq IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN (SELECT count(*) FROM old) = %(limit)s
            THEN (SELECT max(measured_at) FROM old) END
"""

_OLD_SERIES = f"""
WITH old AS (
    SELECT t.device_id, t.component_id, t.measured_at FROM recording t
    WHERE t.measured_at >= %(since)s AND t.measured_at < %(older_than)s
      AND t.component_id = ANY(%(components)s::smallint[]) AND {_WHOSE}
    ORDER BY t.measured_at LIMIT %(limit)s
), gone AS (
    DELETE FROM recording r USING old
    WHERE r.device_id = old.device_id AND r.component_id = old.component_id
      AND r.measured_at = old.measured_at
    RETURNING r.measured_at
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN (SELECT count(*) FROM old) = %(limit)s
            THEN (SELECT max(measured_at) FROM old) END
"""
_STATEMENTS = (_OLD_VALUES, _OLD_SERIES)

_OLD_LOG = """
WITH old AS (
    SELECT id FROM access_log WHERE at >= %(since)s AND at < %(older_than)s ORDER BY id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM access_log l USING old WHERE l.id = old.id RETURNING l.at
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN (SELECT count(*) FROM old) = %(limit)s THEN %(since)s::timestamptz END
"""
