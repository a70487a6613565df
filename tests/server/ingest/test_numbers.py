"""Every number that got the last word is in the ledger, whichever way its batch was committed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devices import wire
from devices.wire import Item
from hemma.broker import Broker
from server.ingest import run
from server.store.database import Database
from server.store.ledger import fold
from tests.server.homes import BOOT, pressure, rows, settle
from tests.server.ingest.fix_ingest import Sender, eventually, running, server_settings

pytestmark = pytest.mark.integration


async def ledger_of(url: str) -> list[tuple[str, int]]:
    async with Database.connect(url, name="test") as database, database.transaction() as tx:
        await fold(tx, at=datetime.now(UTC))
        cursor = await tx.execute("SELECT had::text, duplicates FROM ledger")
        return await cursor.fetchall()


async def test_stored_refused_halved_and_repeated_numbers_are_all_there(
    database_url: str, broker: Broker, server_password_file: Path
) -> None:
    settle(database_url)
    settings = server_settings(database_url, broker, server_password_file)
    # The verdict passes it; this database refuses it, so that the batch is committed in halves.
    rows(database_url, "ALTER TABLE measurement ADD CHECK (seq <> 7)", fetch=False)
    tombstone = Item(seq=8, uid=wire.row_uid(BOOT, 8), type="tombstone", why="too_large")
    async with Sender(broker) as sender, running(run, settings):
        await eventually(lambda: bool(sender.send(pressure(1)) and sender.acked()))
        sender.send(*map(pressure, range(2, 8)), tombstone, b'{"seq":9}', pressure(12))
        await eventually(lambda: {8, 12} <= sender.acked() and {7, 9} <= sender.nacked().keys())
        ((had, before),) = await ledger_of(database_url)
        assert had == "{[1,10),[12,13)}"
        sender.send(pressure(2), pressure(12))
        await eventually(lambda: 12 in stored_last(sender))
    assert await ledger_of(database_url) == [(had, before + 2)]
    assert rows(database_url, "SELECT seq, why FROM tombstone") == [(8, "too_large")]


def stored_last(sender: Sender) -> set[int]:
    """Return what the newest answer says is stored, once it is the one to the repeats."""
    (first, last), *more = sender.acks()[-1].stored
    return {last, *(high for _, high in more)} if (first, last) == (2, 2) else set()


async def test_an_unknown_gateways_numbers_are_nobodys(
    database_url: str, broker: Broker, server_password_file: Path
) -> None:
    settle(database_url)
    settings = server_settings(database_url, broker, server_password_file)
    async with Sender(broker, "gw-2") as sender, running(run, settings):
        await eventually(lambda: bool(sender.send(pressure(1)) and sender.nacked()))
    assert await ledger_of(database_url) == []
