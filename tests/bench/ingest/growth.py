"""Does a row cost more to keep the more are kept? Ours, on databases of growing history.

All sizes are filled first and then measured by turns, so that a slow minute of the machine is
nobody's alone. Each run adds its own rows, and its messages are new.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from tests.bench.ingest.consumers import OURS_CONSUMER
from tests.bench.ingest.database import OURS, Tier, query
from tests.bench.ingest.history import fill
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.speed import Run, sustain

_CHECKPOINT: Final = sql.SQL("CHECKPOINT")
SIZES: Final = (1_000_000, 10_000_000)
SIZES_LARGE: Final = (*SIZES, 100_000_000)
SIZES_QUICK: Final = (100_000, 1_000_000)
SETTLE_S: Final = 2.0  # until what a killed consumer did is counted


@dataclass(frozen=True, slots=True)
class Disk:
    """What PostgreSQL counted: its log, and pages of indexes that were looked at or written."""

    wal_bytes: int
    index_pages: int
    uid_index_pages: int


@dataclass(frozen=True, slots=True)
class Grown:
    """One run on one size. ``uid_index_share`` is of all index pages touched, and of all bytes."""

    rows_before: int
    run: Run
    wal_bytes_per_row: float
    index_pages_per_row: float
    uid_pages_share: float
    uid_bytes_share: float


@dataclass(frozen=True, slots=True)
class Step:
    """Medians at one size; ratios are to the smallest, above 1: more."""

    rows_before: int
    samples_per_s: float
    consumer_us: float
    postgres_us: float
    rate_ratio: float
    cost_ratio: float
    wal_bytes_per_row: float
    index_pages_per_row: float
    uid_pages_share: float
    uid_bytes_share: float


def measure(
    tier: Tier,
    sizes: Sequence[int],
    ready: Sequence[Ready],
    seconds: float,
    say: Callable[[str], None],
) -> list[tuple[int, Grown]]:
    """Fill each size and measure it once for each of ``ready``, by turns; return (size, what)."""
    urls = {}
    try:
        for size in sizes:
            urls[size] = tier.fresh(OURS)
            fill(urls[size], size, say)
        found = []
        for number, messages in enumerate(ready):
            order = random.Random(number).sample(list(sizes), len(sizes))
            for size in order:
                one = _once(tier, urls[size], messages, seconds)
                say(f"  {one.rows_before:,} rows: {one.run.samples_per_s:,.0f} samples/s")
                found.append((size, one))
        return found
    finally:
        for url in urls.values():
            tier.drop(url)


def steps(found: Sequence[tuple[int, Grown]]) -> list[Step]:
    """Return the medians of each size, smallest first."""
    sizes = sorted({size for size, _ in found})
    groups = [[one for size, one in found if size == wanted] for wanted in sizes]
    first_rate = statistics.median(one.run.samples_per_s for one in groups[0])
    first_cost = statistics.median(_cost_us(one) for one in groups[0])
    return [_step(group, first_rate, first_cost) for group in groups]


def _step(group: Sequence[Grown], first_rate: float, first_cost: float) -> Step:
    def median(of: Callable[[Grown], float]) -> float:
        return statistics.median(of(one) for one in group)

    rate = median(lambda one: one.run.samples_per_s)
    return Step(
        min(one.rows_before for one in group),
        rate,
        median(lambda one: one.run.consumer_us),
        median(lambda one: one.run.postgres_us),
        first_rate / rate,
        median(_cost_us) / first_cost,
        median(lambda one: one.wal_bytes_per_row),
        median(lambda one: one.index_pages_per_row),
        median(lambda one: one.uid_pages_share),
        median(lambda one: one.uid_bytes_share),
    )


def _cost_us(one: Grown) -> float:
    return one.run.consumer_us + one.run.postgres_us


def _once(tier: Tier, url: str, ready: Ready, seconds: float) -> Grown:
    (rows_before,) = query(url, "SELECT count(*) FROM observation")[0]
    tier.server.execute(_CHECKPOINT)
    before = _disk(url)
    run = sustain(tier, OURS_CONSUMER, ready, seconds, kept_url=url)
    time.sleep(SETTLE_S)
    after = _disk(url)
    (rows_after,) = query(url, "SELECT count(*) FROM observation")[0]
    rows = max(rows_after - rows_before, 1)
    pages = max(after.index_pages - before.index_pages, 1)
    (share,) = query(url, _UID_BYTES)[0]
    return Grown(
        rows_before,
        run,
        (after.wal_bytes - before.wal_bytes) / rows,
        pages / rows,
        (after.uid_index_pages - before.uid_index_pages) / pages,
        float(share),
    )


def _disk(url: str) -> Disk:
    return Disk(*query(url, _DISK)[0])


_DISK: Final = """
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint,
       coalesce(sum(idx_blks_read + idx_blks_hit), 0)::bigint,
       coalesce(sum(idx_blks_read + idx_blks_hit) FILTER (WHERE relname = 'item_uid'), 0)::bigint
FROM pg_statio_user_indexes
"""
_UID_BYTES: Final = (
    "SELECT pg_indexes_size('item_uid')::float8 / pg_database_size(current_database())"
)
