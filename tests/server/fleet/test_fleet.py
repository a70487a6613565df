"""The notify role with a real broker and database: who is there, and what care has seen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices import wire
from devices.wire import Config, ConfigBody, DeviceStatus, Radio, Receipts, Request, Status
from hemma.broker import Broker
from server.broker import BrokerClient
from server.fleet import orders, run
from server.settings import Settings
from server.store import receipts
from server.store.database import Database
from server.store.items import ReceivedItem, keep
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, rows, settle
from tests.server.ingest.fix_ingest import Sender, eventually, running, server_settings

pytestmark = pytest.mark.integration

STATUS = Status(
    v=1, t=NOON, state="online", reason=None, boot=BOOT, sw="0.1.0", outbox=0, oldest=None,
    quarantine=0, radio=Radio("ok", 3, 0), clock="ntp", disk_free=1_000_000, temp_c=41.5,
    power="ok", devices=(DeviceStatus(CUFF, 18, NOON),),
)  # fmt: skip
TOPIC = f"hemma/v1/{GATEWAY}/status"


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
def settings(database_url: str, broker: Broker, server_password_file: Path) -> Settings:
    return server_settings(database_url, broker, server_password_file)


def say(sender: Sender, **changes: object) -> None:
    status = msgspec.structs.replace(STATUS, **changes)
    sender.publish(TOPIC, wire.encode(status), retain=True)


def seen(sender: Sender) -> list[str]:
    return [
        receipt.uid
        for topic, payload in list(sender.heard)
        if topic.endswith("/receipts")
        for receipt in wire.decode(payload, Receipts).items
    ]


async def test_status_and_will(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    state = "SELECT state, state_reason, last_status ->> 'sw' FROM gateway"
    battery = "SELECT battery, battery_at FROM device WHERE name = %s"
    async with Sender(broker) as sender, running(run, settings):
        say(sender)
        await eventually(lambda: rows(database_url, state) == [("online", None, "0.1.0")])
        await eventually(lambda: rows(database_url, battery, CUFF) == [(18, NOON)])
        older = (DeviceStatus(CUFF, 90, NOON - timedelta(days=1)),)
        say(sender, devices=older)
        sender.publish(TOPIC, b"rubbish")
        will = {"state": "offline", "reason": "will", "sw": "stale", "outbox": 99}
        say(sender, **will)
        await eventually(lambda: rows(database_url, state) == [("offline", "will", "0.1.0")])
    assert rows(database_url, battery, CUFF) == [(18, NOON)], "an older word on a battery is none"


async def test_a_receipt_reaches_the_home_and_again_when_it_comes_back(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    value = pressure(1)
    async with Database.connect(database_url, name="test") as database:
        async with database.transaction() as tx:
            await keep(tx, [ReceivedItem(value, home.gateway, GATEWAY, BOOT)], stored_at=NOON)
        async with Sender(broker) as sender, running(run, settings):
            say(sender)
            async with database.transaction() as tx:
                now = (await (await tx.execute("SELECT now()")).fetchall())[0][0]
                marked = [
                    await receipts.mark_seen(
                        tx, [value.uid], staff_id=home.staff, unit_id=home.unit, at=now
                    )
                    for _ in range(2)
                ]
            assert marked == [1, 0], "the first to see it counts"
            await eventually(lambda: value.uid in seen(sender))
            sent = "SELECT sent_at IS NOT NULL FROM receipt"
            await eventually(lambda: rows(database_url, sent) == [(True,)])
            sender.heard.clear()
            say(sender, state="offline", reason="shutdown")
            say(sender, boot="6f1c0a52-0000-4000-8000-000000000009")
            await eventually(lambda: value.uid in seen(sender))


async def test_a_receipt_waits_for_a_home_that_is_away(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    value = pressure(1)
    async with Database.connect(database_url, name="test") as database, running(run, settings):
        async with database.transaction() as tx:
            await keep(tx, [ReceivedItem(value, home.gateway, GATEWAY, BOOT)], stored_at=NOON)
            now = (await (await tx.execute("SELECT now()")).fetchall())[0][0]
            await receipts.mark_seen(
                tx, [value.uid], staff_id=home.staff, unit_id=home.unit, at=now
            )
        async with Sender(broker) as sender:
            say(sender)
            await eventually(lambda: value.uid in seen(sender))
    assert rows(database_url, "SELECT count(*) FROM receipt") == [(1,)]


async def test_what_was_lost_without_a_word_is_told_at_the_next_online(
    settings: Settings, broker: Broker, home: Home, database_url: str
) -> None:
    value = pressure(1)
    async with Database.connect(database_url, name="test") as database:
        async with database.transaction() as tx:
            await keep(tx, [ReceivedItem(value, home.gateway, GATEWAY, BOOT)], stored_at=NOON)
        async with running(run, settings):
            async with Sender(broker) as sender:
                say(sender)
                online = "SELECT state FROM gateway"
                await eventually(lambda: rows(database_url, online) == [("online",)])
            # Gone without a will; and what is sent now is taken by nobody who keeps it.
            async with database.transaction() as tx:
                now = (await (await tx.execute("SELECT now()")).fetchall())[0][0]
                await receipts.mark_seen(
                    tx, [value.uid], staff_id=home.staff, unit_id=home.unit, at=now
                )
                await receipts.mark_sent(tx, [UUID(value.uid)], at=now)
            async with Sender(broker) as sender:
                say(sender)
                await eventually(lambda: value.uid in seen(sender))


async def test_requests_and_signed_configurations(settings: Settings, broker: Broker) -> None:
    key = Ed25519PrivateKey.generate()
    example = Path(__file__).parents[3] / "docs" / "contract" / "config-body.json"
    body = msgspec.json.decode(example.read_bytes(), type=ConfigBody)
    body = msgspec.structs.replace(body, for_=GATEWAY)
    async with BrokerClient(settings, role="t", subscriptions=[], receive_maximum=10) as own:
        ask = orders.resend_request(id="r1", since=NOON, expires=NOON + timedelta(hours=1))
        assert not await orders.send_request(own, GATEWAY, ask), "nobody is there to be asked"
        await orders.send_config(own, body, kid="k1", key=key)
        async with Sender(broker) as sender:
            assert await orders.send_request(own, GATEWAY, ask)
            await eventually(lambda: len(sender.heard) == 2)
            got = {topic.rsplit("/", 1)[1]: payload for topic, payload in sender.heard}
    assert wire.decode(got["requests"], Request) == ask
    config = wire.decode(got["config"], Config)

    def verify(_kid: str, signature: bytes, message: bytes) -> bool:
        key.public_key().verify(signature, message)
        return True

    assert wire.open_config(config, gateway=GATEWAY, last_serial=0, verify=verify) == body
