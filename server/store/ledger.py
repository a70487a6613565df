"""The ledger: which numbers of a gateway's boot the server has had the last word on.

The outbox counts from 1 in each boot and never uses a number again (contract.md 1), so a number
that is not here and is lower than one that is, has not come. What counts as the last word: stored,
a duplicate, put into quarantine, a tombstone. A refusal for *later* does not.

A gap is *pending* while its gateway may still send it again by itself, *missing* after that. The
gateway's longest pause between two tries is :data:`PATIENCE`. When each gap appeared is not kept,
only two marks a boot: ``passed_seq`` (gaps up to it are older than the patience) and
``passing_seq``, which was passed at ``passing_at`` and takes its place when that is long enough
ago. So a gap is called missing one patience after the numbers above it came at the earliest, two at
the latest, or one after the boot was last heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices import wire
from server.store.database import Transaction
from server.store.items import Kept, Outcome, ReceivedItem

# A refusal for later is tried again within an hour, and without an answer within 10 minutes
# (contract.md 1, Verdict and Resend).
PATIENCE = timedelta(hours=1)
LATE_AFTER = timedelta(seconds=wire.BACKLOG_AGE_MIN_S)
# A range of PostgreSQL needs a number above its last.
SEQ_MAX = 2**63 - 2
# Some 2,700 holes in one boot. An honest gateway has a handful; beyond it holes are filled, none is
# added, and the row says so: else one gateway could make every batch of its own ever slower.
HAD_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Refused:
    """A number that was refused for ever, and is in quarantine with its reason."""

    gateway_id: int
    boot: str
    seq: int


@dataclass(slots=True)
class _Said:
    """What one batch said of one boot."""

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

    ``kept`` None, or None in it: the database refused the item, and it is in quarantine.

    Call it last in the transaction that keeps them: the rows written here are locked to its end,
    in the order of gateway and boot, so that workers wait for each other and never in a circle.
    """
    outcomes = [one and one.outcome for one in kept or (None,) * len(items)]
    said: dict[tuple[int, str], _Said] = {}
    tombstones = []
    for received, outcome in zip(items, outcomes, strict=True):
        if received.gateway_id is None or received.boot is None:
            continue  # a person entered it
        boot = _of_boot(said, received.gateway_id, received.boot)
        boot.seqs.append(received.item.seq)
        if outcome is Outcome.DUPLICATE:
            boot.duplicates += 1
        elif outcome is Outcome.STORED:
            boot.late += _is_late(received, at)
            if received.item.type == "tombstone":
                tombstones.append(received)
    for number in refused:
        _of_boot(said, number.gateway_id, number.boot).seqs.append(number.seq)
    await _write(tx, said, at)
    await _note_tombstones(tx, tombstones, at)


def _of_boot(said: dict[tuple[int, str], _Said], gateway_id: int, boot: str) -> _Said:
    # In small letters: two rows of one key, written differently, would fail the statement.
    key = (gateway_id, boot.lower())
    found = said.get(key)
    if found is None:
        found = said[key] = _Said()
    return found


async def _write(tx: Transaction, said: dict[tuple[int, str], _Said], at: datetime) -> None:
    had = [(key, one, numbers) for key, one in said.items() if (numbers := _multirange(one.seqs))]
    if not had:
        return
    await tx.execute(
        _NOTE,
        {
            "gateway": [gateway for (gateway, _), _, _ in had],
            "boot": [boot for (_, boot), _, _ in had],
            "had": [numbers for _, _, numbers in had],
            "duplicates": [one.duplicates for _, one, _ in had],
            "late": [one.late for _, one, _ in had],
            "at": at,
            "patience": PATIENCE,
            "max_bytes": HAD_MAX_BYTES,
        },
    )


def _multirange(seqs: Sequence[int]) -> str:
    ranges = wire.seq_ranges(seq for seq in seqs if 1 <= seq <= SEQ_MAX)
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}" if ranges else ""


def _is_late(received: ReceivedItem, at: datetime) -> bool:
    """Tell whether it came more than 10 minutes after the gateway had it, by a clock to trust."""
    item = received.item
    had_at = item.gw_t or item.t
    return had_at is not None and item.gw_q != "none" and at - had_at > LATE_AFTER


async def _note_tombstones(
    tx: Transaction, tombstones: Sequence[ReceivedItem], at: datetime
) -> None:
    if not tombstones:
        return
    columns = [(one.gateway_id, one.boot, one.item.seq, one.item.why or "") for one in tombstones]
    await tx.execute(_TOMBSTONE, (at, *(list(column) for column in zip(*columns, strict=True))))


# Sorted by the key as PostgreSQL sorts it: every worker locks in the same order.
_NOTE = """
INSERT INTO ledger AS l (
    gateway_id, boot, had, duplicates, late, first_at, last_at, passing_seq, passing_at)
SELECT n.gateway_id, n.boot, n.had, n.duplicates, n.late, %(at)s, %(at)s, upper(n.had) - 1, %(at)s
FROM unnest(%(gateway)s::int[], %(boot)s::uuid[], %(had)s::int8multirange[],
            %(duplicates)s::bigint[], %(late)s::bigint[])
     AS n (gateway_id, boot, had, duplicates, late)
ORDER BY n.gateway_id, n.boot
ON CONFLICT (gateway_id, boot) DO UPDATE SET
    had = CASE
        WHEN pg_column_size(l.had + excluded.had)
             <= greatest(%(max_bytes)s, pg_column_size(l.had + '{}')) THEN l.had + excluded.had
        ELSE l.had END,
    is_full = l.is_full OR pg_column_size(l.had + excluded.had)
             > greatest(%(max_bytes)s, pg_column_size(l.had + '{}')),
    duplicates = l.duplicates + excluded.duplicates,
    late = l.late + excluded.late,
    first_at = least(l.first_at, excluded.first_at),
    last_at = greatest(l.last_at, excluded.last_at),
    passed_seq = CASE WHEN excluded.last_at >= l.passing_at + %(patience)s
                      THEN l.passing_seq ELSE l.passed_seq END,
    passing_seq = CASE WHEN excluded.last_at >= l.passing_at + %(patience)s
                       THEN upper(l.had) - 1 ELSE l.passing_seq END,
    passing_at = CASE WHEN excluded.last_at >= l.passing_at + %(patience)s
                      THEN l.last_at ELSE l.passing_at END
"""

_TOMBSTONE = """
INSERT INTO tombstone (gateway_id, boot, seq, why, at)
SELECT t.*, %s
FROM unnest(%s::int[], %s::uuid[], %s::bigint[], %s::text[]) AS t (gateway_id, boot, seq, why)
ORDER BY t.gateway_id, t.boot, t.seq
ON CONFLICT DO NOTHING
"""
