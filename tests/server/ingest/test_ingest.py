"""Ingest with a real broker and a real database, through everything that may go away."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from devices import wire
from devices.wire import Item
from hemma.broker import Broker
from hemma.cluster import Cluster
from server.broker import BrokerClient, incoming
from server.ingest import run
from server.ingest.probe import shared_subscriptions_deliver
from server.ingest.role import BACKLOG, FRESH
from server.ingest.worker import HANDS
from server.settings import Settings
from server.store.migrate import migrate
from tests.server.homes import NOON, pressure, rows, settle
from tests.server.ingest.fix_ingest import (
    DEADLINE_S,
    Sender,
    eventually,
    running,
    server_settings,
    settings_environment,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(database_url: str, broker: Broker, server_password_file: Path) -> Settings:
    settle(database_url)
    return server_settings(database_url, broker, server_password_file)


def spread(seqs: range) -> list[Item]:
    return [pressure(seq, at=NOON - timedelta(minutes=seq)) for seq in seqs]


async def send_until_acked(sender: Sender, items: list[Item], *, per_message: int = 5) -> None:
    """Send as an outbox does: again and again whatever is not acknowledged."""
    async with asyncio.timeout(DEADLINE_S * 2):
        while waiting := [item for item in items if item.seq not in sender.acked()]:
            for start in range(0, len(waiting), per_message):
                sender.send(*waiting[start : start + per_message])
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)


def assert_each_stored_once(url: str, items: list[Item]) -> None:
    found = [seq for (seq,) in rows(url, "SELECT seq FROM measurement ORDER BY seq")]
    assert found == sorted(item.seq for item in items)


async def test_what_is_committed_is_acknowledged(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    async with Sender(broker) as sender, running(run, settings):
        await send_until_acked(sender, spread(range(1, 21)))
        sender.send(*spread(range(15, 31)), leaf="backlog")
        await eventually(lambda: sender.acked() == set(range(1, 31)))
    assert_each_stored_once(database_url, spread(range(1, 31)))
    heard = rows(database_url, "SELECT last_heard_at IS NOT NULL FROM gateway")
    assert heard == [(True,)]


async def test_a_flood_of_backlog_needs_no_resend(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    async with Sender(broker) as sender, running(run, settings):
        await send_until_acked(sender, [pressure(1)])
        sender.send(pressure(1), leaf="backlog")
        await eventually(lambda: len(sender.acks()) >= 2)
        items = spread(range(2, 5002))
        for start in range(0, len(items), 50):
            sender.send(*items[start : start + 50], leaf="backlog")
        await eventually(lambda: len(sender.acked()) == 5001)
    assert_each_stored_once(database_url, [pressure(1), *items])


async def test_a_flood_of_single_values_needs_no_resend(
    settings: Settings, broker: Broker, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker sends all that waits after the first confirmations, and ours cannot hold that."""
    monkeypatch.setattr(incoming, "HELD_MAX", 50)
    items = spread(range(1, 3001))
    async with Sender(broker) as sender, running(run, settings):
        await send_until_acked(sender, items[:1])
        with psycopg.connect(database_url) as holding:
            # Batches stop here, and the rest waits at the broker.
            holding.execute("LOCK TABLE engine_inbox IN ACCESS EXCLUSIVE MODE")
            for item in items[1:]:
                sender.send(item)
            await eventually(lambda: len(sender.answers) >= len(items))
        await eventually(lambda: len(sender.acked()) == len(items))
    assert_each_stored_once(database_url, items)


async def test_bad_between_good(settings: Settings, broker: Broker, database_url: str) -> None:
    # The verdict passes it; this database refuses it for a reason of its own.
    rows(database_url, "ALTER TABLE measurement ADD CHECK (seq <> 7)", fetch=False)
    poison = pressure(7)
    async with Sender(broker) as sender, running(run, settings):
        await send_until_acked(sender, [pressure(1)])
        sender.send(*spread(range(2, 7)), poison, pressure(8), b'{"seq":9}', pressure(10))
        unreadable = "hemma/v1/gw-1/measurements"
        sender.publish(unreadable, b"{", "unreadable")
        sender.send(pressure(11))
        await eventually(lambda: {8, 10, 11} <= sender.acked() and len(sender.nacked()) == 3)
        assert sender.nacked() == {7: "refused_by_database", 9: "bad_item", None: "unparseable"}
        assert sender.acked() == {1, 2, 3, 4, 5, 6, 8, 10, 11}
        assert "unreadable" in {ack.msg for ack in sender.acks()}
    reasons = rows(database_url, "SELECT reason, gateway FROM quarantine ORDER BY reason")
    assert reasons == [
        ("bad_item", "gw-1"),
        ("refused_by_database", "gw-1"),
        ("unparseable", "gw-1"),
    ]


async def test_an_unknown_gateway_is_told_later_and_stored_once_known(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    async with Sender(broker, "gw-2") as sender, running(run, settings):
        await eventually(lambda: bool(sender.send(pressure(1)) and sender.acks()))
        assert sender.nacked() == {1: "unknown_gateway"}
        assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]
        rows(
            database_url,
            "INSERT INTO gateway (name, unit_id) SELECT 'gw-2', id FROM unit RETURNING 1",
        )
        await send_until_acked(sender, [pressure(1)])


async def test_two_workers_share_one_stream(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    items = spread(range(1, 201))
    async with Sender(broker) as sender, running(run, settings), running(run, settings):
        await send_until_acked(sender, items)
    assert_each_stored_once(database_url, items)


async def test_the_broker_restarts_in_the_middle(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    items = spread(range(1, 101))
    async with Sender(broker) as sender, running(run, settings):
        sending = asyncio.create_task(send_until_acked(sender, items, per_message=1))
        await eventually(lambda: len(sender.acked()) > 10)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(broker.start)
        await sending
    assert_each_stored_once(database_url, items)


async def test_the_database_stops_in_the_middle(
    restartable_cluster: Cluster, broker: Broker, server_password_file: Path
) -> None:
    url = restartable_cluster.url("hemma")
    migrate(url)
    settle(url)
    items = spread(range(1, 101))
    settings = server_settings(url, broker, server_password_file)
    async with Sender(broker) as sender, running(run, settings):
        sending = asyncio.create_task(send_until_acked(sender, items, per_message=1))
        await eventually(lambda: len(sender.acked()) > 10)
        await asyncio.to_thread(restartable_cluster.stop)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(restartable_cluster.start)
        await sending
        assert not sender.nacked(), "a refusal for later would cost up to an hour (record 0009)"
    assert_each_stored_once(url, items)


async def test_what_is_held_is_stored_when_the_database_is_back_without_a_resend(
    restartable_cluster: Cluster, broker: Broker, server_password_file: Path
) -> None:
    url = restartable_cluster.url("hemma")
    migrate(url)
    settle(url)
    settings = server_settings(url, broker, server_password_file)
    # More than the Receive Maximum: the worker holds some, the broker keeps the rest.
    items = spread(range(2, FRESH.batch_max + 102))
    async with Sender(broker) as sender, running(run, settings):
        await send_until_acked(sender, [pressure(1)])
        await asyncio.to_thread(restartable_cluster.stop)
        for item in items:
            sender.send(item)
        await asyncio.sleep(2.0)
        assert sender.acked() == {1}
        await asyncio.to_thread(restartable_cluster.start)
        await eventually(lambda: len(sender.acked()) == 1 + len(items))
        assert not sender.nacked()
    assert_each_stored_once(url, [pressure(1), *items])


async def test_ingest_killed_in_the_middle_loses_nothing(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    items = spread(range(1, 401))
    environment = {**os.environ, **settings_environment(settings)}
    command = (sys.executable, "-m", "server.main", "ingest")
    async with Sender(broker) as sender:
        first = await asyncio.create_subprocess_exec(*command, env=environment)
        sending = asyncio.create_task(send_until_acked(sender, items, per_message=3))
        await eventually(lambda: len(sender.acked()) > 10)
        first.kill()
        await first.wait()
        second = await asyncio.create_subprocess_exec(*command, env=environment)
        await sending
        second.terminate()
        assert await asyncio.wait_for(second.wait(), DEADLINE_S) == 0
    assert_each_stored_once(database_url, items)


async def test_one_of_two_workers_killed_in_mid_batch_loses_nothing(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    items = spread(range(1, 301))
    environment = {**os.environ, **settings_environment(settings)}
    command = (sys.executable, "-m", "server.main", "ingest")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'hemma-ingest' AND wait_event_type = 'Lock'"
    )
    async with Sender(broker) as sender, running(run, settings):
        other = await asyncio.create_subprocess_exec(*command, env=environment)
        with psycopg.connect(database_url) as holding:
            # Batches stop here: their values are copied, and nothing is committed.
            holding.execute("LOCK TABLE engine_inbox IN ACCESS EXCLUSIVE MODE")
            sending = asyncio.create_task(send_until_acked(sender, items, per_message=1))
            # More than one worker has hands.
            await eventually(lambda: rows(database_url, waiting)[0][0] > HANDS)
            other.kill()
            await other.wait()
            assert not sender.acked()
        await sending
    assert_each_stored_once(database_url, items)


async def test_the_probe_finds_shared_subscriptions(settings: Settings) -> None:
    assert await shared_subscriptions_deliver(settings)


async def test_a_gateway_cannot_take_a_share_of_other_homes_messages(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    """The access list grants the subscription, and the broker drops what it hands over."""
    items = spread(range(1, 21))
    async with Sender(broker) as sender, Sender(broker, "gw-2") as thief, running(run, settings):
        await send_until_acked(sender, items[:1])
        for stream in (FRESH, BACKLOG):
            thief.listen(f"$share/{stream.group}/hemma/v1/+/{stream.leaf}")
        await eventually(lambda: thief.grants == 3)
        for item in items[1:]:
            sender.send(item)
            sender.send(item, leaf="backlog")
        await eventually(lambda: len(sender.acks()) >= 2 * len(items) - 1)
    assert_each_stored_once(database_url, items)


async def test_the_server_ignores_what_is_under_no_gateways_name(
    settings: Settings, broker: Broker, database_url: str
) -> None:
    async with (
        Sender(broker) as sender,
        running(run, settings),
        BrokerClient(settings, role="test", subscriptions=[], receive_maximum=1) as own,
    ):
        own.publish("hemma/v1/_hemma-server/measurements", wire.encode(pressure(1)))
        await send_until_acked(sender, [pressure(2)])
    assert_each_stored_once(database_url, [pressure(2)])
