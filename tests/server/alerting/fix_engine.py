"""What the alerting tests share: values kept as ingest keeps them, and a round of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

from devices.wire import Item, WireSample
from server.alerting.judge import Judged, judge_inbox
from server.store.database import Database
from server.store.items import ReceivedItem, keep
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure


@asynccontextmanager
async def engine(url: str) -> AsyncIterator[Database]:
    """A database as the engine opens it."""
    async with Database.connect(url, name="test-engine") as database:
        yield database


async def arrive(
    database: Database, home: Home, *items: Item, stored_at: datetime | None = None
) -> None:
    """Keep items as ingest does: in one transaction, before any judgement."""
    async with database.transaction() as tx:
        await keep(
            tx, [received(home, item) for item in items], stored_at=stored_at or items[0].t or NOON
        )


async def judge(database: Database, now: datetime = NOON) -> Judged:
    """One round of the engine."""
    async with database.transaction() as tx:
        return await judge_inbox(tx, now=now)


def minutes(count: float) -> datetime:
    """Noon, and so many minutes."""
    return NOON + timedelta(minutes=count)


def saturation(seq: int, value: float, at: datetime = NOON, **changes: Any) -> Item:
    """A pulse oximetry item of the same device, so of the same patient."""
    samples = (WireSample("150456", value, "%"), WireSample("149530", 70.0, "/min"))
    return pressure(seq, at=at, kind="pulse_oximetry", samples=samples, char="2A5E", **changes)


def second_nurse(url: str) -> int:
    """Add a colleague; return her id."""
    with psycopg.connect(url) as db:
        row = db.execute(
            "INSERT INTO staff (login, display_name, password_hash)"
            " VALUES ('mats', 'Mats Påhittad', '-') RETURNING id"
        ).fetchone()
    assert row is not None
    return int(row[0])


def received(home: Home, item: Item) -> ReceivedItem:
    """An item as ingest hands it to the store."""
    return ReceivedItem(item, home.gateway, GATEWAY, BOOT)
