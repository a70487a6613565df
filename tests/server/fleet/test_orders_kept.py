"""What a gateway is asked for is told until it answers, however long it was away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devices import wire
from devices.wire import Item, Request
from hemma.broker import Broker
from server.fleet import run
from server.settings import Settings
from server.store import gateway_orders
from server.store.database import Database
from server.store.errors import UnknownName
from server.store.gateway_orders import GatewayOrder
from server.store.items import ReceivedItem, keep
from tests.server.fleet.test_fleet import home, say, settings
from tests.server.homes import BOOT, GATEWAY, Home, rows
from tests.server.ingest.fix_ingest import Sender, eventually, running

__all__ = ["home", "settings"]

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


def asked(sender: Sender) -> set[str]:
    """Which orders it heard; the same may come twice, and is one to a gateway."""
    return {
        wire.decode(payload, Request).id
        for topic, payload in list(sender.heard)
        if topic.endswith("/requests")
    }


async def give(database: Database, *, until: timedelta = HOUR) -> GatewayOrder:
    now = datetime.now(UTC)
    async with database.transaction() as tx:
        (order,) = await gateway_orders.order_resend(
            tx, [GATEWAY], since=now - HOUR, at=now, expires=now + until
        )
    return order


async def answer(database: Database, home: Home, order: str, count: float = 4) -> None:
    now = datetime.now(UTC)
    item = Item(
        seq=900, uid="9" * 32, type="event", event="resend", ctx={"request": order, "rows": count},
        t=now, tq="gateway", gw_t=now, gw_q="ntp", mono_ms=1,
    )  # fmt: skip
    async with database.transaction() as tx:
        await keep(tx, [ReceivedItem(item, home.gateway, GATEWAY, BOOT)], stored_at=now)


async def test_an_order_waits_for_a_gateway_that_is_away_and_ends_with_its_answer(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    async with Database.connect(database_url, name="test") as database, running(run, settings):
        order = str((await give(database)).id)
        async with Sender(broker) as sender:
            say(sender)
            await eventually(lambda: asked(sender) == {order})
        # It took the order and died before it had kept it: it hears it again after a restart.
        async with Sender(broker) as sender:
            say(sender, boot="6f1c0a52-0000-4000-8000-000000000008")
            await eventually(lambda: asked(sender) == {order})
            await answer(database, home, order)
            sender.heard.clear()
            say(sender, state="offline", reason="shutdown")
            say(sender, boot="6f1c0a52-0000-4000-8000-000000000009")
            seen = "SELECT last_status ->> 'boot' FROM gateway"
            boot = ("6f1c0a52-0000-4000-8000-000000000009",)
            await eventually(lambda: rows(database_url, seen) == [boot])
            done = "SELECT answered_at IS NOT NULL, times > 1, answer ->> 'rows' FROM gateway_order"
            await eventually(lambda: rows(database_url, done) == [(True, True, "4")])
            assert asked(sender) == set(), "what is answered is not asked again"


async def test_an_order_to_a_gateway_that_is_there_is_told_at_once(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    async with (
        Database.connect(database_url, name="test") as database,
        running(run, settings),
        Sender(broker) as sender,
    ):
        say(sender)
        online = "SELECT state FROM gateway"
        await eventually(lambda: rows(database_url, online) == [("online",)])
        order = str((await give(database)).id)
        await eventually(lambda: asked(sender) == {order})


async def test_the_same_order_is_given_once_and_an_expired_one_is_not_told(
    home: Home, database_url: str
) -> None:
    async with Database.connect(database_url, name="test") as database:
        first = await give(database, until=2 * HOUR)
        now = datetime.now(UTC)
        async with database.transaction() as tx:
            (same,) = await gateway_orders.order_resend(
                tx, None, since=first.since, at=now, expires=now + HOUR
            )
            assert same.id == first.id
            assert await gateway_orders.open_orders(tx, at=now, gateway=GATEWAY) == [first]
            late = now + 3 * HOUR
            assert await gateway_orders.open_orders(tx, at=late, gateway=GATEWAY) == []
            with pytest.raises(UnknownName, match="gw-9"):
                await gateway_orders.order_resend(
                    tx, ["gw-9"], since=now - HOUR, at=now, expires=late
                )


async def test_an_answer_with_a_number_that_no_home_has_hides_no_order(
    database_url: str, home: Home
) -> None:
    async with Database.connect(database_url, name="test") as database:
        order = str((await give(database)).id)
        await answer(database, home, order, 1e300)
        async with database.transaction() as tx:
            (told,) = await gateway_orders.listed(tx)
    assert (str(told.id), told.rows) == (order, 9 * 10**18)
