"""Connections under what a real broker seldom does: silence, nonsense, a small window, a cut."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from server.broker import BrokerClient, connection, incoming, outgoing
from server.broker.incoming import Incoming
from server.broker.outgoing import Outgoing
from server.broker.packets import Message, read_publish, split, write_puback, write_publish
from tests.server.broker.fix_scripted import DISCONNECT, PINGREQ, ScriptedBroker
from tests.server.ingest.fix_ingest import eventually

TOLD = 0x32


def message(number: int, payload: bytes = b"p", correlation: bytes | None = None) -> bytes:
    return write_publish("t", payload, packet_id=number, correlation=correlation, retain=False)


def told(broker: ScriptedBroker) -> list[Message]:
    packets = broker.of_kind(TOLD)
    return [read_publish(packet, split(packet)[0][0], connection=1) for packet in packets]


def has_told(broker: ScriptedBroker, count: int) -> bool:
    return len(told(broker)) == count


def hearing(broker: ScriptedBroker) -> Incoming:
    return Incoming(broker.settings, role="t", subscriptions=["t"], receive_maximum=10)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RECONNECT_MIN_S", 0.01)


async def test_no_more_is_unanswered_than_the_broker_can_take() -> None:
    async with (
        ScriptedBroker(receive_maximum=2) as broker,
        BrokerClient(broker.settings, role="t", subscriptions=[], receive_maximum=10) as own,
    ):
        for number in range(5):
            own.publish("t", b"%d" % number)
        for answered, sent in enumerate((2, 3, 4, 5, 5)):
            await eventually(partial(has_told, broker, sent))
            broker.say(write_puback(told(broker)[answered].packet_id))
        assert [one.payload for one in told(broker)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_what_was_not_answered_is_told_again_in_order() -> None:
    async with (
        ScriptedBroker() as broker,
        BrokerClient(broker.settings, role="t", subscriptions=[], receive_maximum=10) as own,
    ):
        for number in range(4):
            own.publish("t", b"%d" % number)
        await eventually(lambda: len(told(broker)) == 4)
        broker.say(write_puback(told(broker)[1].packet_id))
        assert await delivered(own, broker)
        broker.cut()
        await eventually(lambda: broker.connections == 2 and len(told(broker)) == 3)
        assert [one.payload for one in told(broker)] == [b"0", b"2", b"3"]


async def delivered(own: BrokerClient, broker: ScriptedBroker) -> bool:
    before = len(told(broker))
    delivery = asyncio.create_task(own.deliver("t", b"answer me"))
    await eventually(lambda: len(told(broker)) > before)
    broker.say(write_puback(told(broker)[-1].packet_id))
    return await delivery


async def test_what_waits_for_a_broker_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "QUEUE_MAX", 3)
    async with ScriptedBroker() as broker:
        own = Outgoing(broker.settings, role="t")
        kept = [own.publish("t", b"%d" % number) for number in range(5)]
        assert kept[3:] == [None, None]
        assert not await own.deliver("t", b"no room", retain=False)
        async with own.connection:
            await eventually(lambda: len(told(broker)) == 3)
        assert [one.packet_id for one in told(broker)] == kept[:3]


async def test_ids_in_use_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "PACKET_ID_MAX", 4)
    async with ScriptedBroker() as broker:
        own = Outgoing(broker.settings, role="t")
        async with own.connection:
            assert [own.publish("t", b"") for _ in range(3)] == [1, 2, 3]
            delivery = asyncio.create_task(own.deliver("t", b"", retain=False))
            await eventually(partial(has_told, broker, 4))
            broker.say(write_puback(2) + write_puback(4))
            assert await delivery
            assert own.publish("t", b"") == 2


async def test_a_broker_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "TEND_S", 0.05)
    async with ScriptedBroker(answers_pings=False) as broker, hearing(broker).connection:
        await eventually(lambda: broker.connections >= 2)


async def test_a_broker_that_answers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 2)
    monkeypatch.setattr(connection, "TEND_S", 0.05)
    async with ScriptedBroker() as broker, hearing(broker).connection:
        await eventually(lambda: len(broker.of_kind(PINGREQ)) >= 4)
        assert broker.connections == 1


@pytest.mark.parametrize("nonsense", [b"\x34\x05\x00\x01a\x00\x01", b"\x30\xff\xff\xff\xff\x01"])
async def test_nonsense_ends_the_connection_and_not_the_client(nonsense: bytes) -> None:
    async with ScriptedBroker() as broker:
        own = hearing(broker)
        async with own.connection:
            await own.connection.ready()
            broker.say(nonsense)
            await eventually(lambda: broker.connections == 2)
            await own.connection.ready()
            broker.say(message(1))
            (heard,) = await own.next(10, 1_000)
            assert heard.connection == 3, "one connection, its end, another one"


async def test_who_has_enough_reads_no_more_but_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "TEND_S", 0.05)
    monkeypatch.setattr(incoming, "HELD_MAX", 10)
    async with ScriptedBroker() as broker:
        own = hearing(broker)
        async with own.connection:
            await own.connection.ready()
            for number in range(1, 11):
                broker.say(message(number))
            await eventually(lambda: not own.is_roomy())
            broker.say(message(11))
            pings = len(broker.of_kind(PINGREQ))
            await eventually(lambda: len(broker.of_kind(PINGREQ)) >= pings + 5)
            assert broker.connections == 1, "what is not read says nothing"
            assert own.held == 10
            taken = await own.next(5, 1_000)
            await eventually(lambda: own.held == 6)
            taken += await own.next(100, 1_000)
            assert [one.packet_id for one in taken] == list(range(1, 12))


@pytest.mark.parametrize("part", ["payload", "correlation"])
async def test_bytes_are_bounded_as_messages_are(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(incoming, "HELD_MAX_BYTES", 100_000)
    async with ScriptedBroker() as broker:
        own = hearing(broker)
        async with own.connection:
            await own.connection.ready()
            for number in range(1, 101):
                broker.say(message(number, **{part: b"x" * 10_000}))
            await eventually(lambda: not own.is_roomy())
            # The bound, and one read of six of them and a begun one.
            assert own.held <= 17
            taken: list[Message] = []
            while len(taken) < 100:
                taken += await own.next(3, 1_000_000)
            assert [one.packet_id for one in taken] == list(range(1, 101))


async def test_who_has_enough_does_not_come_back_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "HELD_MAX", 2)
    monkeypatch.setattr(connection, "KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "TEND_S", 0.05)
    async with ScriptedBroker() as broker:
        own = hearing(broker)
        async with own.connection:
            await own.connection.ready()
            broker.say(message(1) + message(2))
            await eventually(lambda: not own.is_roomy())
            number = own.connection.number
            broker.cut()
            await eventually(lambda: own.connection.number > number)
            await asyncio.sleep(0.2)
            assert broker.connections == 1
            assert len(await own.next(10, 1_000)) == 2
            await eventually(lambda: broker.connections == 2)


async def test_all_is_told_before_goodbye() -> None:
    async with ScriptedBroker() as broker:
        async with BrokerClient(
            broker.settings, role="t", subscriptions=[], receive_maximum=1
        ) as own:
            await own.ready()
            for _ in range(500):
                own.publish("t", b"x" * 1_000)
        await eventually(lambda: bool(broker.of_kind(DISCONNECT)))
        assert len(told(broker)) == 500
        assert broker.received[-1][0] == DISCONNECT
