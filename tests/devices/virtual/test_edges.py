"""What happens at the edges: hosts that do the unusual, devices that vanish, moments that race."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import core, hci
from bumble.device import Connection, Peer
from bumble.pairing import PairingConfig, PairingDelegate

from devices.gatt import record_access
from devices.gatt.record_access import Op, Operator, Request
from devices.virtual.designs import DESIGNS
from devices.virtual.faults import Faults
from devices.virtual.home import VirtualHome
from devices.virtual.place import Place
from devices.virtual.users import USERS_MAX
from devices.virtual.visit import REQUESTS_MAX, Visit
from tests.devices.virtual.fix_visit import PLAIN, awake, bring, linked
from tests.devices.virtual.test_place import visited


async def test_who_bonds_without_the_digits_is_thrown_out() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "glucose_meter")
        device.store({"glucose": 5.0})
        home.central.device.pairing_config_factory = lambda _connection: PairingConfig(
            mitm=False, delegate=PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT)
        )
        async with awake(device):
            async with linked(home, device, pair=False) as host:
                try:
                    await host.client.pair()
                except BleakError:
                    assert not host.client.is_connected
                await host.over()
            assert not await device.is_bonded()
            assert device.shown_passkey is None


@pytest.mark.parametrize("what", DESIGNS)
async def test_no_behaviour_takes_what_is_not_its_own(what: str) -> None:
    async with Place() as place:
        device = await place.add(what)
        visit = Visit(device, cast("Any", None))
        assert device.behaviour.read("FFFF") is None
        assert not device.behaviour.write("FFFF", b"", visit)


async def test_a_consent_without_a_subscription_is_refused() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "body_composition")
        device.store(PLAIN["body_composition"])
        async with awake(device), linked(home, device) as host:
            with pytest.raises(BleakGATTProtocolError) as refused:
                await host.client.write_gatt_char("2a9f", b"\x04", response=True)
            assert refused.value.code == 0xFD
            await host.subscribe("2A9F")
            answers = [await host.ask("2A9F", b"\x01\x01\x00") for _ in range(USERS_MAX)]
            assert [answer[2] for answer in answers] == [1] * 6 + [4, 4], "no room for more"


async def test_a_value_without_a_time_needs_no_clock() -> None:
    async with Place() as place:
        device = await place.add("thermometer", faults=Faults(clock_absent=True))
        assert device.store({"temperature": 36.6}).raw


async def test_subscribing_again_and_again_fills_nothing() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "heart_rate", Faults(stays_silent=True))
        device.store({"heart_rate": 70})
        async with awake(device), linked(home, device, pair=False) as host:
            for _ in range(REQUESTS_MAX + 1):
                await host.client.start_notify("2a37", lambda _sender, _data: None)
                await host.client.stop_notify("2a37")
            assert host.client.is_connected


async def test_what_a_strap_says_into_a_lost_link_is_gone() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "heart_rate", Faults(lose_link_after=2))
        device.store({"heart_rate": 70, "ticks": 3})
        async with awake(device):
            counts = []
            for _ in range(2):
                async with linked(home, device, pair=False) as host:
                    await host.subscribe("2A37")
                    await host.over()
                counts.append(len(host.of("2A37")))
        assert counts == [2, 0]
        assert device.undelivered == []


async def test_a_subscription_taken_back_stops_the_values_not_the_device() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "plain_cuff", Faults(never_hangs_up=True))
        device.store(PLAIN["plain_cuff"])
        async with awake(device), linked(home, device, pair=False) as host:
            await host.subscribe("2A35")
            await host.until(1, "2A35")
            await host.client.stop_notify("2a35")
            device.store(PLAIN["plain_cuff"])
            await asyncio.sleep(0.05)
            assert len(device.undelivered) == 1, "not confirmed by nobody"


async def test_a_value_while_nobody_listens_waits() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "glucose_meter")
        device.store({"glucose": 5.0})
        async with awake(device), linked(home, device) as host:
            await host.subscribe("2A52")
            count = record_access.encode(Request(Op.COUNT_RECORDS, Operator.ALL))
            await host.ask("2A52", count)
            device.store({"glucose": 6.0})
            assert record_access.read(await host.ask("2A52", count)) == record_access.Count(2)
            assert len(device.undelivered) == 2


async def test_a_link_to_who_has_just_stopped_advertising_fails(tmp_path: Path) -> None:
    async with Place() as place, visited(place, tmp_path) as (visitor, controller):
        asleep = await place.add("cuff")
        connecting = asyncio.create_task(visitor.connect_le(hci.Address(asleep.address)))
        async with asyncio.timeout(2):
            while controller.pending_le_connection is None:  # noqa: ASYNC110 - a plain field
                await asyncio.sleep(0.005)
        controller.create_le_connection(hci.Address(asleep.address))
        connection = await connecting
        ended = asyncio.Event()
        connection.on(Connection.EVENT_DISCONNECTION, lambda _reason: ended.set())
        async with asyncio.timeout(2):
            await ended.wait()


async def test_nothing_under_way_cannot_be_cancelled(tmp_path: Path) -> None:
    async with Place() as place, visited(place, tmp_path) as (visitor, _):
        with pytest.raises(hci.HCI_Error):
            await visitor.host.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())


async def test_a_device_that_vanishes_is_no_exception(tmp_path: Path) -> None:
    async with Place(window_s=5) as place, visited(place, tmp_path) as (visitor, _):
        thermometer = await place.add("thermometer")
        async with awake(thermometer):
            connection = await visitor.connect_le(hci.Address(thermometer.address))
            peer = Peer(connection)
            await peer.discover_services()
            await peer.discover_characteristics()
            [name] = peer.get_characteristics_by_uuid(core.UUID.from_16_bits(0x2A24))
            gone = place.link.find_le_controller(hci.Address(thermometer.address))
            assert gone is not None
            place.link.remove_controller(gone)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(name.read_value(), 0.1)
            await connection.disconnect()
            place.link.add_controller(gone)


async def test_a_device_taken_away_while_it_advertises() -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, "plain_cuff")
        waking = asyncio.create_task(device.wake())
        await asyncio.sleep(0.05)
        await home.place.remove(device)
        waking.cancel()
        await asyncio.wait({waking})
        assert device not in home.place.devices
