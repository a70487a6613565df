"""Subscriptions that are there before the link, and what comes by them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dbus_fast import Variant

from devices.conversation import Disconnected, Notified
from gateway.ble.bluez_gatt import BluezGatt
from gateway.ble.bus import BusError
from gateway.ble.gatt import att_error
from gateway.ble.subscriptions import FLAPS, Subscriptions
from tests.gateway.ble.fix_bluez import (
    BATTERY_PATH,
    CUFF,
    CUFF_PATH,
    DEVICE,
    PRESSURE_PATH,
    characteristic,
    cuff,
    known_cuff,
    linked,
    quick_bus,
    running,
    value,
)
from tests.gateway.ble.fix_bus import StandIn, message_bus, stand_in
from tests.gateway.ble.fix_home import Kept, MemoryJournal, until


@dataclass
class Held:
    bluez: StandIn
    subscriptions: Subscriptions
    journal: MemoryJournal
    heard: list[Notified | Disconnected] = field(default_factory=list)

    def kept(self) -> list[bytes]:
        return [row.raw for row in self.journal.rows]

    def started(self) -> list[str]:
        return self.bluez.called("StartNotify")


@asynccontextmanager
async def holding(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, knows: bool = True
) -> AsyncIterator[Held]:
    """Subscriptions for a paired cuff, on a BlueZ that knows its services or does not."""
    bus, journal = quick_bus(), MemoryJournal()
    subscriptions = Subscriptions(bus, paired=lambda: [CUFF], journal=journal)
    async with message_bus(folder, monkeypatch) as daemon, stand_in(daemon) as bluez:
        bluez.objects.update(known_cuff())
        if not knows:
            del bluez.objects[PRESSURE_PATH], bluez.objects[BATTERY_PATH]
        async with running(bus.run(), subscriptions.run()):
            held = Held(bluez, subscriptions, journal)
            await until(lambda: bool(bluez.called("GetManagedObjects")))
            if knows:
                await until(lambda: bool(held.started()))
            yield held


async def test_it_subscribes_before_there_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        assert held.started() == [PRESSURE_PATH], "nothing but what the profile wants"
        await value(held.bluez, PRESSURE_PATH, b"early")
        await until(lambda: len(held.journal.rows) == 1)
        assert held.journal.rows == [Kept(CUFF.dev, CUFF.model, "2A35", b"early")]
        assert held.subscriptions.counts.early == 1
        await value(held.bluez, BATTERY_PATH, b"\x50")
        await value(held.bluez, PRESSURE_PATH, b"early")
        await until(lambda: len(held.journal.rows) == 2)
        assert held.kept() == [b"early", b"early"], "the same bytes again are a value again"


async def test_it_subscribes_as_soon_as_bluez_knows_the_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch, knows=False) as held:
        assert not await held.subscriptions.prepare(CUFF)
        assert held.subscriptions.counts.blind_links == 1
        await held.bluez.add(PRESSURE_PATH, characteristic("2A35", "indicate"))
        await until(lambda: held.started() == [PRESSURE_PATH])
        assert await held.subscriptions.prepare(CUFF)
        held.bluez.objects[CUFF_PATH] = cuff(bonded=False)
        await held.bluez.remove(PRESSURE_PATH)
        assert await held.subscriptions.prepare(CUFF), "without a bond nothing comes unasked"
        assert held.subscriptions.counts.blind_links == 1


async def test_it_subscribes_again_when_bluez_is_back_and_after_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        with held.subscriptions.routed(CUFF, held.heard.append):
            await held.bluez.vanish()
            await until(lambda: held.heard == [Disconnected()])
        before = len(held.started())
        await held.bluez.appear()
        await until(lambda: len(held.started()) > before)
        before = len(held.started())
        await linked(held.bluez, is_up=False)
        await until(lambda: len(held.started()) > before)


async def test_in_a_link_values_are_kept_first_and_then_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        gatt = BluezGatt(held.subscriptions, CUFF)
        with held.subscriptions.routed(CUFF, held.heard.append):
            assert held.subscriptions.awaits_clock(CUFF.dev)
            assert await gatt.characteristics() == {"2A35", "2A19"}
            assert await gatt.is_bonded()
            await gatt.pair()
            held.bluez.answers["StartNotify"] = "org.bluez.Error.InProgress"
            await gatt.subscribe("2A35")
            assert not held.subscriptions.awaits_clock(CUFF.dev)
            held.journal.on_append = lambda _row: held.heard.append(Disconnected())
            await value(held.bluez, PRESSURE_PATH, b"one")
            await until(lambda: bool(held.journal.rows))
        assert held.heard == [Disconnected(), Notified("2A35", b"one", kept=True)]
        assert held.subscriptions.counts.early == 0


async def test_a_device_refuses_by_its_att_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        gatt = BluezGatt(held.subscriptions, CUFF)
        held.bluez.answers["WriteValue"] = "org.bluez.Error.NotAuthorized"
        with pytest.raises(BusError) as refused:
            await gatt.write("2A35", b"\x01")
        assert att_error(refused.value) == 0x08
        with pytest.raises(BusError, match="no characteristic"):
            await gatt.read("2A08")
        held.bluez.objects[CUFF_PATH] = cuff(bonded=False)
        with pytest.raises(BusError, match="operator"):
            await gatt.pair()
        assert held.bluez.called("Pair") == [], "never from here"


async def test_a_read_is_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        with held.subscriptions.reading(PRESSURE_PATH) as was_read:
            for raw in (b"sent", b"read", b"sent"):
                await value(held.bluez, PRESSURE_PATH, raw)
            await until(lambda: len(held.subscriptions._reading[PRESSURE_PATH]) == 3)
            assert held.kept() == []
            was_read(b"read")
        assert held.kept() == [b"sent", b"sent"], "what was sent meanwhile is kept"
        with held.subscriptions.reading(PRESSURE_PATH):
            await value(held.bluez, PRESSURE_PATH, b"sent")
            await until(lambda: bool(held.subscriptions._reading[PRESSURE_PATH]))
        assert len(held.kept()) == 3, "a read that failed leaves out nothing"


async def test_what_cannot_be_kept_ends_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        held.journal.refuse = lambda _row: True
        await value(held.bluez, PRESSURE_PATH, b"lost")
        await until(lambda: held.bluez.called("Disconnect") == [CUFF_PATH])
        assert held.subscriptions.counts.unkept == 1
        with held.subscriptions.routed(CUFF, held.heard.append):
            await value(held.bluez, PRESSURE_PATH, b"lost too")
            await until(lambda: bool(held.heard))
        assert held.heard == [Notified("2A35", b"lost too", kept=False)]


async def test_links_that_are_gone_at_once_are_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with holding(tmp_path, monkeypatch) as held:
        with held.subscriptions.routed(CUFF, held.heard.append):
            flaps = held.subscriptions.flaps(CUFF)
            assert not held.subscriptions.has_come_up(CUFF)
            for _ in range(FLAPS):
                # A link that got as far as services is a good one, however short.
                await linked(held.bluez, is_up=True)
                await held.bluez.change(CUFF_PATH, DEVICE, {"ServicesResolved": Variant("b", True)})
                await linked(held.bluez, is_up=False)
            for _ in range(FLAPS):
                assert not flaps.is_set()
                await linked(held.bluez, is_up=True)
                await linked(held.bluez, is_up=False)
            async with asyncio.timeout(5):
                await flaps.wait()
            assert held.subscriptions.has_come_up(CUFF)
