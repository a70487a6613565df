"""The server's connection to the broker: what is confirmed, and what must never be."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from hemma.broker import Broker
from server.broker import BrokerClient, Message, connection, incoming
from server.broker.link import READ_MAX_BYTES
from tests.server.ingest.fix_ingest import DEADLINE_S, Sender, eventually, server_settings

pytestmark = pytest.mark.integration

TOPIC = "hemma/v1/gw-1/measurements"
SILENCE_S = 1.0


async def test_a_confirmation_is_worth_nothing_after_its_connection(
    broker: Broker, server_password_file: Path
) -> None:
    settings = server_settings("unused", broker, server_password_file)
    async with (
        asyncio.timeout(DEADLINE_S),
        BrokerClient(settings, role="t", subscriptions=[TOPIC], receive_maximum=1) as own,
        Sender(broker) as sender,
    ):
        await own.ready()
        sender.publish(TOPIC, b"first")
        (old,) = await own.take(1)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        (new,) = await take_from_another_connection(own, sender, old.connection)
        same_number = dataclasses.replace(old, packet_id=new.packet_id)
        own.confirm(same_number)
        sender.publish(TOPIC, b"next")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await own.take(1)
        own.confirm(new)
        assert len(await own.take(1)) == 1, "one confirmed, so the next one may come"


async def take_from_another_connection(
    own: BrokerClient, sender: Sender, connection: int
) -> list[Message]:
    """Publish until something comes on a later connection than ``connection``."""
    while True:
        sender.publish(TOPIC, b"second")
        try:
            async with asyncio.timeout(1):
                taken = await own.take(1)
        except TimeoutError:
            continue
        if taken[0].connection > connection:
            return taken


async def test_a_flood_waits_and_nothing_of_it_is_dropped(
    broker: Broker, server_password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mosquitto 2.0.11 sends all that waits once the first confirmation comes."""
    patience_s = 4
    monkeypatch.setattr(connection, "KEEPALIVE_S", patience_s)
    monkeypatch.setattr(connection, "TEND_S", 0.2)
    monkeypatch.setattr(incoming, "HELD_MAX", 200)
    payloads = [b"%05d" % number + b"x" * 300 for number in range(10_000)]
    read_at_once = READ_MAX_BYTES // len(payloads[0])
    settings = server_settings("unused", broker, server_password_file)
    own = incoming.Incoming(settings, role="t", subscriptions=[TOPIC], receive_maximum=300)
    taken: list[Message] = []
    async with asyncio.timeout(DEADLINE_S * 3), own.connection, Sender(broker) as sender:
        await own.connection.ready()
        for number, payload in enumerate(payloads):
            sender.publish(TOPIC, payload)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: len(sender.answers) == len(payloads), within_s=DEADLINE_S * 2)
        while len(taken) < 200:
            taken += await confirmed(own, 50)
        await eventually(lambda: not own.is_roomy())
        # The broker would cut us off now, if all that we did were not to read.
        await asyncio.sleep(patience_s * 2)
        while len(taken) < len(payloads):
            taken += await confirmed(own, 50)
            assert own.held < 200 + read_at_once
            await asyncio.sleep(0)
    assert {one.connection for one in taken} == {1}, "one connection all the time"
    assert [one.payload for one in taken] == payloads


async def confirmed(own: incoming.Incoming, limit: int) -> list[Message]:
    taken = await own.next(limit, 1_000_000)
    for message in taken:
        own.confirm(message)
    return taken
