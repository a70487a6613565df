"""The uplink against a real broker and a server that answers as each test says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from devices import wire
from gateway.link import Broker
from hemma.broker import Broker as Mosquitto
from tests.gateway.fix_home import KERNEL_BOOT, Home, make_home, until, uplinked
from tests.gateway.fix_server import Heard, ack_all, serving, silence
from tests.gateway.test_instructions import SERVER, public, sealed

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


def as_gateway(broker: Mosquitto, name: str = "gw-1", password: str | None = None) -> Broker:
    assert broker.port is not None
    return Broker(name, "127.0.0.1", broker.port, password or broker.passwords[name])


async def test_fresh_row_travels_alone_and_ends_with_the_ack(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            home.measure(151)
            await until(lambda: home.outbox.counts().stored == 2)
    envelopes = server.of("measurements")
    assert [heard.seqs for heard in envelopes] == [[1], [2]]
    for heard in envelopes:
        assert heard.correlation == wire.decode_envelope(heard.payload).msg
        assert wire.decode_envelope(heard.payload).boot == home.outbox.boot
    assert home.told("puback") == home.told("stored") == [1, 2]
    assert not server.of("backlog")


async def test_items_are_what_the_contract_wants(broker: Mosquitto, home: Home) -> None:
    now = datetime.now().replace(microsecond=0)  # noqa: DTZ005 - a device's local time
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150, now)
            await until(lambda: home.outbox.counts().stored == 1)
    (heard,) = server.of("measurements")
    (raw,) = wire.decode_envelope(heard.payload).items
    item = wire.decode_item(raw)
    assert wire.fault_of(item) is None
    assert item.dev_t == now
    assert item.samples[0] == wire.WireSample("150021", 150.0, "mm[Hg]")


async def test_status_is_retained_and_says_shutdown_at_the_end(
    broker: Mosquitto, home: Home
) -> None:
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: len(server.status()) == 1)
        await until(lambda: len(server.status()) == 2)
        first, last = server.status()
    assert (first.state, first.reason, first.boot) == ("online", None, home.outbox.boot)
    assert (last.state, last.reason) == ("offline", "shutdown")
    with serving(broker) as late:
        await until(lambda: len(late.status()) == 1)
        assert late.of("status")[0].is_retained


async def test_status_speaks_up_on_change_and_every_hour(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: len(server.status()) == 1)
            home.clock.quality = "estimated"
            home.push(6)
            await until(lambda: len(server.status()) == 2)
            home.push(3601)
            await until(lambda: len(server.status()) == 3)
    assert [status.clock for status in server.status()[:3]] == ["ntp", "estimated", "estimated"]


async def test_no_server_listening_is_not_stored_and_goes_again(
    broker: Mosquitto, home: Home
) -> None:
    async with uplinked(home, as_gateway(broker)):
        home.measure(150)
        await until(lambda: home.outbox.counts().sent == 1)
        with serving(broker) as server:
            await until(lambda: len(server.status()) == 1)
            assert home.told("puback") == []
            home.push(11)
            await until(lambda: home.outbox.counts().stored == 1)
            assert [heard.seqs for heard in server.of("measurements")] == [[1]]


async def test_without_ack_it_goes_again_with_growing_waits(broker: Mosquitto, home: Home) -> None:
    with serving(broker, silence) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            await until(lambda: len(server.of("measurements")) == 1)
            await until(lambda: home.outbox.counts().left_home == 1)
            home.push(10.5)
            await until(lambda: len(server.of("measurements")) == 2)
            due = home.outbox.next_due_ms()
            assert due is not None
            assert 15_000 < due - home.clock.read().mono_ms <= 20_000
            server.script = ack_all
            home.push(20.5)
            await until(lambda: home.outbox.counts().stored == 1)
    assert [heard.seqs for heard in server.of("measurements")] == [[1], [1], [1]]
    messages = {heard.correlation for heard in server.of("measurements")}
    assert len(messages) == 3


async def test_old_rows_travel_together_and_a_fresh_one_passes_them(
    broker: Mosquitto, home: Home
) -> None:
    for systolic in range(120, 250):
        home.measure(systolic)
    home.push(601)
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: bool(server.heard))
            home.measure(119)
            await until(lambda: home.outbox.counts().stored == 131)
    backlog = [heard.seqs for heard in server.of("backlog")]
    assert sorted(seq for seqs in backlog for seq in seqs) == list(range(1, 131))
    assert [len(seqs) for seqs in backlog] == [50, 50, 30]
    assert [heard.seqs for heard in server.of("measurements")] == [[131]]


async def test_backlog_message_holds_one_boot(broker: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    first = make_home(path, "22222222-2222-4222-8222-222222222222")
    first.measure(150)
    first.outbox.close()
    home = make_home(path, KERNEL_BOOT)
    home.measure(151)
    home.push(601)
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: home.outbox.counts().stored == 2)
    boots = [wire.decode_envelope(heard.payload).boot for heard in server.of("backlog")]
    assert boots == [first.outbox.boot, home.outbox.boot]
    assert [heard.seqs for heard in server.of("backlog")] == [[1], [1]]
    home.outbox.close()


async def test_nack_never_is_kept_and_counted(broker: Mosquitto, home: Home) -> None:
    def refuse(heard: Heard) -> wire.Ack:
        envelope = wire.decode_envelope(heard.payload)
        nack = tuple(wire.Nack(seq, "unknown_kind", "never") for seq in heard.seqs)
        return wire.Ack(v=1, msg=envelope.msg, boot=envelope.boot, stored=(), nack=nack)

    with serving(broker, refuse) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            await until(lambda: home.outbox.counts().rejected == 1)
            home.push(3700)
            await until(lambda: server.status()[-1].quarantine == 1)
    assert len(server.of("measurements", "backlog")) == 1
    assert home.told("nacked") == [1]


async def test_nack_later_waits_and_comes_back(broker: Mosquitto, home: Home) -> None:
    def later(heard: Heard) -> wire.Ack:
        envelope = wire.decode_envelope(heard.payload)
        nack = tuple(wire.Nack(seq, "overloaded", "later") for seq in heard.seqs)
        return wire.Ack(v=1, msg=envelope.msg, boot=envelope.boot, stored=(), nack=nack)

    with serving(broker, later) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            await until(lambda: home.told("nacked") == [1])
            server.script = ack_all
            home.push(31)
            await until(lambda: home.outbox.counts().stored == 1)


async def test_unreadable_message_is_sent_item_by_item(broker: Mosquitto, home: Home) -> None:
    """One bad item in a message of several: the others are stored, only it is refused."""

    def choosy(heard: Heard) -> wire.Ack:
        if 2 not in heard.seqs:
            return ack_all(heard)
        return wire.Ack(
            v=1,
            msg=heard.correlation,
            boot="",
            stored=(),
            nack=(wire.Nack(None, "unparseable", "never"),),
        )

    for systolic in (150, 151, 152):
        home.measure(systolic)
    home.push(601)
    with serving(broker, choosy) as server:
        async with uplinked(home, as_gateway(broker)):
            await until(
                lambda: (home.outbox.counts().stored, home.outbox.counts().rejected) == (2, 1)
            )
    assert [heard.seqs for heard in server.of("backlog")] == [[1, 2, 3], [1], [2], [3]]


async def test_receipt_lights_the_seen_lamp_once(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            await until(lambda: home.outbox.counts().stored == 1)
            (uid,) = [str(fields["uid"]) for name, fields in home.events if name == "stored"]
            receipt = wire.Receipt(uid, home.clock.read().utc, "Hemsjukvården")
            server.tell("receipts", wire.Receipts(1, (receipt,)))
            server.tell("receipts", wire.Receipts(1, (receipt,)))
            server.tell_bytes("receipts", b"{not json")
            await until(lambda: home.told("seen") == [1])
            home.measure(151)
            await until(lambda: home.outbox.counts().stored == 2)
    assert home.told("seen") == [1]


async def test_server_restored_from_backup_gets_its_rows_again(
    broker: Mosquitto, home: Home
) -> None:
    before = home.clock.read().utc - timedelta(seconds=1)
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            home.measure(151)
            await until(lambda: home.outbox.counts().stored == 2)
            heard = len(server.of("measurements"))
            request = wire.Request(
                v=1,
                id="r1",
                kind=None,
                ask="resend",
                text={},
                since=before,
                expires=before + timedelta(hours=1),
            )
            server.tell("requests", request)
            server.tell("requests", request)
            await until(lambda: home.outbox.counts().stored == 3)
            await until(lambda: len(server.of("measurements")) == heard + 3)
    events = [
        item.event
        for message in server.of("measurements")
        for item in (wire.decode_item(raw) for raw in wire.decode_envelope(message.payload).items)
        if item.type == "event"
    ]
    assert events == ["resend"]


async def test_config_is_applied_and_reported(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server:
        server.tell_bytes("config", sealed(3), retain=True)
        async with uplinked(home, as_gateway(broker), key=public(SERVER)):
            await until(lambda: len(server.of("config/reported")) == 1)
            server.tell_bytes("config", sealed(2))
            await until(lambda: len(server.of("config/reported")) == 2)
            server.tell_bytes("config", b"")
            server.tell_bytes("config", b"[]")
            home.measure(150)
            await until(lambda: home.outbox.counts().stored == 1)
    reports = [
        wire.decode(heard.payload, wire.ConfigReported) for heard in server.of("config/reported")
    ]
    assert [(report.serial, report.ok) for report in reports] == [(3, True), (3, False)]


async def test_broker_away_then_back(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server:
        async with uplinked(home, as_gateway(broker)):
            home.measure(150)
            await until(lambda: home.outbox.counts().stored == 1)
            uplink = home.uplink
            assert uplink is not None
            up = uplink.link
            assert (up.is_up, up.reason) == (True, None)
            home.push(1)
            broker.kill()
            home.measure(151)
            await until(lambda: not server.is_ready)
            await until(lambda: not uplink.link.is_up)
            down = uplink.link
            assert down.since_mono_ms >= up.since_mono_ms + 1000
            assert down.reason
            assert home.outbox.counts().open == 1
            broker.start()
            await until(lambda: server.is_ready)
            home.push(61)
            await until(lambda: home.outbox.counts().stored == 2)
            assert uplink.link.is_up
    assert {seq for heard in server.of("measurements", "backlog") for seq in heard.seqs} == {1, 2}


async def test_after_a_good_hour_waiting_begins_anew(broker: Mosquitto, home: Home) -> None:
    """Only connections that die young make the next wait longer, or look like a copied card."""
    with capture_logs() as logs:
        async with uplinked(home, as_gateway(broker)):
            for _ in range(3):
                await until(lambda: home.uplink is not None and home.uplink.link.is_up)
                home.push(3600)
                broker.kill()
                await until(lambda: home.uplink is not None and not home.uplink.link.is_up)
                broker.start()
    lost = [line for line in logs if line["event"] == "link_lost"]
    assert [line["retry_in_s"] for line in lost if "No broker" not in line["reason"]] == [1.0] * 3
    assert not [line for line in logs if line["event"] == "session_taken_over"]


async def test_bad_password_keeps_the_rows(broker: Mosquitto, home: Home) -> None:
    with serving(broker) as server, capture_logs() as logs:
        async with uplinked(home, as_gateway(broker, password="wrong")):
            home.measure(150)
            await until(lambda: any(log["event"] == "link_refused" for log in logs))
            assert home.outbox.counts().waiting == 1
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: home.outbox.counts().stored == 1)
    assert len(server.of("measurements")) == 1


async def test_a_session_taken_over_is_reported(
    broker: Mosquitto, home: Home, tmp_path: Path
) -> None:
    clone = make_home(tmp_path / "clone.sqlite3")
    with serving(broker) as server, capture_logs() as logs:
        async with uplinked(home, as_gateway(broker)):
            await until(lambda: len(server.status()) == 1)
            async with uplinked(clone, as_gateway(broker)):
                await until(lambda: any(log["event"] == "session_taken_over" for log in logs), 30)
    clone.outbox.close()
