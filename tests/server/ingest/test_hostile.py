"""What no honest gateway sends: each is answered by the contract, and the next value is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from devices import wire
from hemma.broker import Broker
from server.ingest import run
from server.settings import Settings
from tests.server.homes import BOOT, NOON, pressure, rows, settle
from tests.server.ingest.fix_ingest import Sender, eventually, running, server_settings

pytestmark = pytest.mark.integration

TOPIC = "hemma/v1/gw-1/measurements"
DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.fixture
def settings(database_url: str, broker: Broker, server_password_file: Path) -> Settings:
    settle(database_url)
    return server_settings(database_url, broker, server_password_file)


@pytest.fixture
async def sender(settings: Settings, broker: Broker) -> AsyncIterator[Sender]:
    """A gateway that is heard: one value has been stored."""
    async with Sender(broker) as sender, running(run, settings):
        await eventually(lambda: bool(sender.send(pressure(1)) and sender.acked()))
        yield sender


def envelope(items: bytes) -> bytes:
    msg = "0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10"
    head = {"v": 1, "msg": msg, "boot": BOOT, "sent": "2026-11-22T12:00:00.000Z"}
    return json.dumps(head)[:-1].encode() + b', "items": [' + items + b"]}"


def of_size(count: int) -> bytes:
    payload = envelope(wire.encode(pressure(2)))
    return payload + b" " * (count - len(payload))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(of_size(65_537), "too_large", id="one byte too many"),
        pytest.param(of_size(262_144), "too_large", id="all that the broker lets through"),
        pytest.param(b"\xff\xfe\x00", "unparseable", id="no UTF-8"),
        pytest.param(b"", "unparseable", id="nothing"),
        pytest.param(b"[]", "bad_message", id="a list"),
        pytest.param(b"null", "bad_message", id="null"),
        pytest.param(b'"hemma"', "bad_message", id="a text"),
        pytest.param(b'{"v":1,"added":' + DEEP + b"}", "unparseable", id="deep nesting"),
        pytest.param(envelope(DEEP), "unparseable", id="deep nesting inside"),
        pytest.param(envelope(b'{"seq":NaN}'), "unparseable", id="NaN"),
        pytest.param(envelope(b'{"seq":5,"t":Infinity}'), "unparseable", id="Infinity"),
        pytest.param(envelope(b",".join([b"{}"] * 10_000)), "too_many_items", id="10,000 items"),
    ],
)
async def test_a_whole_message(
    sender: Sender, database_url: str, payload: bytes, reason: str
) -> None:
    sender.publish(TOPIC, payload, "the-bad-one")
    sender.send(pressure(3))
    await eventually(lambda: 3 in sender.acked())
    refused = [ack.nack for ack in sender.acks() if ack.nack]
    assert refused == [(wire.Nack(None, reason, "never"),)]
    found = rows(database_url, "SELECT reason, seq, payload FROM quarantine")
    assert found == [(reason, None, payload)]


async def test_a_long_name_of_a_message_costs_nobody_the_connection(sender: Sender) -> None:
    sender.publish(TOPIC, b"rubbish", "\0" * 60_000)
    await eventually(lambda: sender.nacked() == {None: "unparseable"})
    sender.send(pressure(3))
    await eventually(lambda: 3 in sender.acked())


async def test_the_same_number_with_two_uids_is_two_values(
    sender: Sender, database_url: str
) -> None:
    twice = [pressure(2), pressure(2, salt="other", systolic=140, at=NOON - timedelta(hours=1))]
    sender.send(*twice)
    await eventually(lambda: 2 in sender.acked())
    found = rows(database_url, "SELECT replace(uid::text, '-', '') FROM measurement WHERE seq = 2")
    assert sorted(uid for (uid,) in found) == sorted(item.uid for item in twice)


async def test_the_same_uid_from_two_homes_is_stored_once_and_told_to_both(
    sender: Sender, broker: Broker, database_url: str
) -> None:
    rows(
        database_url,
        "INSERT INTO gateway (name, unit_id) SELECT 'gw-2', id FROM unit",
        fetch=False,
    )
    async with Sender(broker, "gw-2") as other:
        other.send(pressure(1, systolic=199))
        await eventually(lambda: other.acked() == {1})
        other.send(pressure(2))
        await eventually(lambda: other.acked() == {1, 2})
    query = (
        "SELECT g.name, o.value FROM measurement m JOIN gateway g ON g.id = m.gateway_id"
        " JOIN observation o ON o.uid = m.uid AND o.component_id = 101 ORDER BY m.received_seq"
    )
    assert rows(database_url, query) == [("gw-1", 128.0), ("gw-2", 128.0)], "the first counts"


async def test_another_value_under_a_known_uid_is_refused_and_holds_up_nobody(
    sender: Sender, broker: Broker, database_url: str
) -> None:
    add = "INSERT INTO gateway (name, unit_id) SELECT 'gw-2', id FROM unit"
    rows(database_url, add, fetch=False)
    liar = pressure(2, uid=pressure(1).uid, systolic=190, raw="1ebe00520060")
    twin = pressure(5, uid=pressure(4).uid, raw="1ebe00520061")
    sender.send(liar, pressure(3), pressure(4), twin)
    await eventually(lambda: {3, 4} <= sender.acked())
    refusals = [ack.nack for ack in sender.acks() if ack.nack]
    assert refusals == [tuple(wire.Nack(seq, "uid_taken", "never") for seq in (2, 5))]
    assert not {2, 5} & sender.acked(), "what is not kept is not acknowledged"
    async with Sender(broker, "gw-2") as other:
        other.send(pressure(9, uid=pressure(1).uid, raw="00"), pressure(1))
        await eventually(lambda: other.acked() == {1})
        assert other.nacked() == {9: "uid_taken"}
    found = rows(database_url, "SELECT gateway, seq, reason FROM quarantine ORDER BY seq")
    assert found == [
        (name, seq, "uid_taken") for name, seq in (("gw-1", 2), ("gw-1", 5), ("gw-2", 9))
    ]
    assert rows(database_url, "SELECT seq FROM measurement ORDER BY seq") == [(1,), (3,), (4,)]


async def test_a_taken_uid_beside_what_the_database_refuses(
    sender: Sender, database_url: str
) -> None:
    rows(database_url, "ALTER TABLE measurement ADD CHECK (seq <> 7)", fetch=False)
    liar = pressure(2, uid=pressure(1).uid, raw="00")
    sender.send(pressure(3), liar, pressure(7), pressure(8))
    await eventually(lambda: {3, 8} <= sender.acked())
    assert sender.nacked() == {2: "uid_taken", 7: "refused_by_database"}
    assert sender.acked() == {1, 3, 8}
