"""``python -m tests.bench.reads``: fill a county, ask what pages and rules ask, print the times.

On a private server of each tier with safe settings except that nothing is written durably: reading
is what is measured. Times are the median; both ways are asked in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from datetime import UTC, datetime

from server.store.database import Database
from server.store.migrate import migrate
from tests.bench.reads.fill import SEED, VALUES_A_ROUND, County, fill
from tests.bench.reads.questions import Question, ask, questions
from tests.fix_postgres import (
    FAST,
    DatabaseServer,
    discard_cluster,
    plain_installation,
    start_cluster,
    timescale_installation,
)

TIERS = {"postgres": plain_installation, "timescale": timescale_installation}
# Of the memory of a small server; the default of 128 MB is nobody's who has ten thousand people.
SETTINGS = {**FAST, "shared_buffers": "1GB", "max_wal_size": "8GB"}
UNTIL = datetime(2026, 11, 22, 23, tzinfo=UTC)  # a day's end in Stockholm


def main() -> None:
    """Measure the tiers that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reads", description=__doc__)
    parser.add_argument("--tier", choices=[*TIERS, "both"], default="postgres")
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2, help="of measuring, a day and person")
    given = parser.parse_args()
    county = County(given.patients, given.days, given.rounds, UNTIL)
    for tier in TIERS if given.tier == "both" else [given.tier]:
        _measure(tier, county)


def _measure(tier: str, county: County) -> None:
    cluster = start_cluster(TIERS[tier](), SETTINGS)
    try:
        server = DatabaseServer(tier, cluster.url, cluster)
        url = server.url(server.fresh())
        migrated = migrate(url)
        edition = f"TimescaleDB {migrated.timescale}" if migrated.timescale else "plain"
        print(f"\n{tier} ({edition}), seed {SEED}", flush=True)
        asyncio.run(_answer(url, county))
    finally:
        discard_cluster(cluster)


async def _answer(url: str, county: County) -> None:
    async with Database.connect(url, name="bench", size=1) as database:
        began_s = time.monotonic()
        await fill(database, county)
        print(
            f"{county.patients} people, {county.days} days, {county.rounds} rounds of"
            f" {VALUES_A_ROUND} values a day; filled in {time.monotonic() - began_s:.0f} s\n"
            f"{'question':<32}{'values':>10}{'ours ms':>10}{'plain ms':>10}{'ratio':>7}  within",
            flush=True,
        )
        for question in questions(county):
            print(await _asked(database, question), flush=True)


async def _asked(database: Database, question: Question) -> str:
    values = 0
    ours_ms: list[float] = []
    plain_ms: list[float] = []
    for _ in range(question.rounds):
        for way, times in ((question.plain, plain_ms), (question.ours, ours_ms)):
            began_s = time.monotonic()
            values = await ask(database, way)
            times.append((time.monotonic() - began_s) * 1000)
    ours, plain = statistics.median(ours_ms), statistics.median(plain_ms)
    limit = "-" if question.within_ms == float("inf") else f"{question.within_ms:.0f} ms"
    verdict = "" if question.within_ms == float("inf") or ours <= question.within_ms else "  MISSED"
    return (
        f"{question.name:<32}{values:>10}{ours:>10.1f}{plain:>10.1f}{plain / ours:>7.1f}"
        f"  {limit}{verdict}"
    )


if __name__ == "__main__":
    main()
