"""Each question twice: as the store answers it, and as one would ask it first.

The plain way is the statement that gives the same answer, and the driver's rows put into numpy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from server.store import daily, history, latest
from server.store.database import Database, Transaction
from server.store.days import day_of
from server.store.patients import Reach
from tests.bench.reads.fill import LONG_DAYS, LONG_KNOWN, County

Asked = Callable[[Transaction], Awaitable[int]]
ROWS_AT_ONCE = 50_000
# Not counted: what was taken back, and what is no reading.
_COUNTED = """
  AND NOT EXISTS (SELECT FROM measurement m WHERE m.uid = o.uid AND m.measured_at = o.measured_at
                  AND m.flags && '{retracted,control_solution}')
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in how long it has to be answered, and both ways; each returns how many."""

    name: str
    within_ms: float
    ours: Asked
    plain: Asked
    rounds: int


def questions(county: County) -> Sequence[Question]:
    """Return everything that is measured."""
    return (_latest(county), _one_person(county), _everyone(county), _days(county))


def _latest(county: County) -> Question:
    reach = Reach(1, 1)

    async def ours(tx: Transaction) -> int:
        return len(await latest.of_unit(tx, reach))

    async def plain(tx: Transaction) -> int:
        return await _rows(
            tx,
            "SELECT DISTINCT ON (patient_id, component_id)"
            " patient_id, component_id, measured_at, value FROM observation o"
            " WHERE measured_at >= %(since)s $counted ORDER BY 1, 2, 3 DESC",
            {"since": county.until - timedelta(days=7)},
        )

    return Question("latest of all kinds, the unit", 150, ours, plain, 3)


def _one_person(county: County) -> Question:
    since, reach = county.until - timedelta(days=LONG_DAYS), Reach(1, 1)
    turn = iter(range(1, 10**9))

    async def ours(tx: Transaction) -> int:
        patient = next(turn) % LONG_KNOWN + 1
        return len(await history.of_patient(tx, reach, patient, since=since, until=county.until))

    async def plain(tx: Transaction) -> int:
        return await _rows(
            tx,
            "SELECT patient_id, component_id, measured_at, value FROM observation o"
            " WHERE patient_id = %(patient)s AND measured_at >= %(since)s $counted ORDER BY 2, 3",
            {"patient": next(turn) % LONG_KNOWN + 1, "since": since},
        )

    return Question(f"one person's {LONG_DAYS} days", 15, ours, plain, 21)


def _everyone(county: County) -> Question:
    async def ours(tx: Transaction) -> int:
        parts = history.of_everyone(tx, since=county.since, until=county.until)
        return sum([len(part) async for part in parts])

    async def plain(tx: Transaction) -> int:
        return await _rows(
            tx,
            "SELECT patient_id, component_id, measured_at, value FROM observation o"
            " WHERE measured_at >= %(since)s AND measured_at < %(until)s $counted",
            {"since": county.since, "until": county.until},
        )

    return Question(f"{county.days} days of everyone, raw", float("inf"), ours, plain, 1)


def _days(county: County) -> Question:
    first, last = day_of(county.since), day_of(county.until - timedelta(seconds=1))

    async def ours(tx: Transaction) -> int:
        return len(await daily.of_everyone(tx, first=first, last=last))

    async def plain(tx: Transaction) -> int:
        return await _rows(
            tx,
            "SELECT patient_id, component_id, day, n, sum, sum_squares, min, max, first, last"
            " FROM obs_daily WHERE day BETWEEN %(first)s AND %(last)s",
            {"first": first, "last": last},
        )

    return Question(f"{county.days} days of everyone, daily", 12_000, ours, plain, 1)


async def _rows(tx: Transaction, statement: str, wanted: dict[str, Any]) -> int:
    """Fetch rows as the driver gives them, and put each column into numpy."""
    found = 0
    async with tx.cursor(name="bench", binary=True) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(statement.replace("$counted", _COUNTED).encode(), wanted)
        while rows := await cursor.fetchmany(ROWS_AT_ONCE):
            columns = [np.array(column) for column in zip(*rows, strict=True)]
            found += len(columns[0])
    return found


async def ask(database: Database, asked: Asked) -> int:
    """Ask once in a transaction of its own, without the limit on a statement's time."""
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")
        return await asked(tx)
