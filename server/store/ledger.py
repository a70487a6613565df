"""The ledger: which numbers of a gateway's boot the server has had the last word on.

The outbox counts from 1 in each boot and never uses a number again (contract.md 1), so a number
that is not here and is lower than one that is, has not come. What counts as the last word: stored,
a duplicate, put into quarantine, a tombstone. A refusal for *later* does not.

Ingest pays for none of it where all is well: a stored value carries boot and number in its own row.
:func:`note` writes only what those rows do not say, in their transaction; :func:`fold` gathers both
into ``ledger``, before each look at it and twice a day at least. A row changed at every message of
a home cost a quarter of what storing it costs (measured).

A gap is *pending* while its gateway may still send it again by itself: until a higher number has
been here for :data:`PATIENCE`, the gateway's longest pause between two tries. Then it is *missing*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices import wire
from devices.wire import Item
from server.store.database import Transaction
from server.store.items import Kept, Outcome, ReceivedItem

# A refusal for later is tried again within an hour, and without an answer within 10 minutes
# (contract.md 1, Verdict and Resend).
PATIENCE = timedelta(hours=1)
LATE_AFTER = timedelta(seconds=wire.BACKLOG_AGE_MIN_S)
# What is committed after a folding may carry a time before it, for as long as a transaction lasts;
# and what is older than the patience must have been seen. So each folding looks back so far.
LOOK_BACK = PATIENCE + timedelta(minutes=15)
# Each folding reads what it looks back once more, so it is not done at every chance.
FOLDED_WITHIN = timedelta(hours=12)
# A year that nobody has folded is read in one go.
STATEMENT_TIMEOUT_S = 1800
# A range of PostgreSQL needs a number above its last.
SEQ_MAX = 2**63 - 2
# As stored, at least 800 holes in one boot. An honest gateway has a handful; beyond it holes are
# filled, none is added, and the row says so.
HAD_MAX_BYTES = 16_384
_LOCK = 0x68_65_6D_6D_61_03


@dataclass(frozen=True, slots=True)
class Refused:
    """A number that was refused for ever, and is in quarantine with its reason."""

    gateway_id: int
    boot: str
    seq: int


@dataclass(slots=True)
class _Said:
    """What one batch said of one boot that its measurements do not say."""

    seqs: list[int] = field(default_factory=list)
    duplicates: int = 0
    late: int = 0


async def note(
    tx: Transaction,
    items: Sequence[ReceivedItem],
    kept: Sequence[Kept | None] | None,
    *,
    refused: Iterable[Refused] = (),
    at: datetime,
) -> None:
    """Note a batch: ``items`` with what became of each, and what was ``refused`` for ever.

    ``kept`` None, or None in it: the database refused the item, and it is in quarantine. Call it in
    the transaction that keeps them. It locks nothing that another worker wants.
    """
    outcomes = [one and one.outcome for one in kept or (None,) * len(items)]
    late_before = at - LATE_AFTER
    said: dict[tuple[int, str], _Said] = {}
    tombstones = []
    for received, outcome in zip(items, outcomes, strict=True):
        item = received.item
        is_late = outcome is Outcome.STORED and _is_late(item, late_before)
        if outcome is Outcome.STORED and not is_late and item.type in ("value", "event"):
            continue  # its row says it
        if received.gateway_id is None or received.boot is None:
            continue  # a person entered it
        boot = _of_boot(said, received.gateway_id, received.boot)
        boot.seqs.append(item.seq)
        boot.duplicates += outcome is Outcome.DUPLICATE
        boot.late += is_late
        if outcome is Outcome.STORED and item.type == "tombstone":
            tombstones.append(received)
    for number in refused:
        _of_boot(said, number.gateway_id, number.boot).seqs.append(number.seq)
    await _write(tx, said, at)
    await _note_tombstones(tx, tombstones, at)


async def fold(tx: Transaction, *, at: datetime) -> None:
    """Bring the ledger up to ``at``, the server's time now; harmless to repeat, and by several."""
    await tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    timeout = f"{STATEMENT_TIMEOUT_S}s"
    await tx.execute("SELECT set_config('statement_timeout', %s, true)", (timeout,))
    parameters = {
        "at": at, "patience": PATIENCE, "look_back": LOOK_BACK, "max_bytes": HAD_MAX_BYTES,
        "seq_max": SEQ_MAX,
    }  # fmt: skip
    await tx.execute(_FOLD, parameters)


async def is_old(tx: Transaction, *, at: datetime) -> bool:
    """Tell whether the ledger was last brought up to date :data:`FOLDED_WITHIN` before ``at``."""
    cursor = await tx.execute("SELECT until <= %s FROM ledger_fold", (at - FOLDED_WITHIN,))
    return await cursor.fetchone() == (True,)


def _of_boot(said: dict[tuple[int, str], _Said], gateway_id: int, boot: str) -> _Said:
    key = (gateway_id, boot)
    found = said.get(key)
    if found is None:
        found = said[key] = _Said()
    return found


async def _write(tx: Transaction, said: dict[tuple[int, str], _Said], at: datetime) -> None:
    told = [(key, one, numbers) for key, one in said.items() if (numbers := _multirange(one.seqs))]
    if not told:
        return
    await tx.execute(
        _NOTE,
        (
            at,
            [gateway for (gateway, _), _, _ in told],
            [boot for (_, boot), _, _ in told],
            [numbers for _, _, numbers in told],
            [one.duplicates for _, one, _ in told],
            [one.late for _, one, _ in told],
        ),
    )


def _multirange(seqs: Sequence[int]) -> str:
    ranges = wire.seq_ranges(seq for seq in seqs if 1 <= seq <= SEQ_MAX)
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}" if ranges else ""


def _is_late(item: Item, late_before: datetime) -> bool:
    """Tell whether the gateway had it before then, by a clock to trust."""
    had_at = item.gw_t or item.t
    return had_at is not None and had_at < late_before and item.gw_q != "none"


async def _note_tombstones(
    tx: Transaction, tombstones: Sequence[ReceivedItem], at: datetime
) -> None:
    if not tombstones:
        return
    columns = [(one.gateway_id, one.boot, one.item.seq, one.item.why or "") for one in tombstones]
    await tx.execute(_TOMBSTONE, (at, *(list(column) for column in zip(*columns, strict=True))))


_NOTE = """
INSERT INTO ledger_entry (at, gateway_id, boot, numbers, duplicates, late)
SELECT %s, n.* FROM unnest(
    %s::int[], %s::uuid[], %s::int8multirange[], %s::bigint[], %s::bigint[]) AS n
"""

# Numbers side by side become one range before they are united: a boot has thousands of rows and a
# handful of ranges. Union is idempotent, so what the folding before has seen may come again.
_FOLD = """
WITH fold AS (
    UPDATE ledger_fold f SET until = greatest(f.until, %(at)s)
    FROM (SELECT until FROM ledger_fold) before
    RETURNING before.until - %(look_back)s AS since
), stored AS (
    SELECT m.gateway_id, m.boot, m.seq, m.stored_at,
           m.seq - dense_rank() OVER (PARTITION BY m.gateway_id, m.boot ORDER BY m.seq) AS island
    FROM measurement m
    WHERE m.stored_at >= (SELECT since FROM fold)
      AND m.gateway_id IS NOT NULL AND m.boot IS NOT NULL AND m.seq BETWEEN 1 AND %(seq_max)s
), islands AS (
    SELECT gateway_id, boot, int8range(min(seq), max(seq), '[]') AS numbers,
           min(stored_at) AS first_at, max(stored_at) AS last_at,
           max(seq) FILTER (WHERE stored_at <= %(at)s - %(patience)s) AS passed_seq
    FROM stored GROUP BY gateway_id, boot, island
), entries AS (
    DELETE FROM ledger_entry RETURNING *
), news AS (
    SELECT gateway_id, boot, range_agg(numbers) AS numbers, 0 AS duplicates, 0 AS late,
           min(first_at) AS first_at, max(last_at) AS last_at, max(passed_seq) AS passed_seq
    FROM islands GROUP BY gateway_id, boot
    UNION ALL
    SELECT gateway_id, boot, range_agg(numbers), sum(duplicates), sum(late), min(at), max(at), NULL
    FROM entries GROUP BY gateway_id, boot
)
INSERT INTO ledger AS l (
    gateway_id, boot, had, duplicates, late, first_at, last_at, passed_seq)
SELECT gateway_id, boot, range_agg(numbers), sum(duplicates), sum(late), min(first_at),
       max(last_at), coalesce(max(passed_seq), 0)
FROM news GROUP BY gateway_id, boot
ON CONFLICT (gateway_id, boot) DO UPDATE SET
    had = CASE
        WHEN pg_column_size(l.had) <= %(max_bytes)s
             OR pg_column_size(l.had + excluded.had) <= pg_column_size(l.had + '{}')
        THEN l.had + excluded.had ELSE l.had END,
    is_full = l.is_full OR pg_column_size(l.had) > %(max_bytes)s,
    duplicates = l.duplicates + excluded.duplicates,
    late = l.late + excluded.late,
    first_at = least(l.first_at, excluded.first_at),
    last_at = greatest(l.last_at, excluded.last_at),
    passed_seq = greatest(l.passed_seq, excluded.passed_seq)
"""

_TOMBSTONE = """
INSERT INTO tombstone (gateway_id, boot, seq, why, at)
SELECT t.*, %s
FROM unnest(%s::int[], %s::uuid[], %s::bigint[], %s::text[]) AS t (gateway_id, boot, seq, why)
ORDER BY t.gateway_id, t.boot, t.seq
ON CONFLICT DO NOTHING
"""
