"""The server's connection to the broker: what is confirmed, and what must never be."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from hemma.broker import Broker
from server.broker import BrokerClient, Message
from tests.server.ingest.fix_ingest import DEADLINE_S, Sender, server_settings

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
