"""A place without a radio of ours: another host comes to the devices through an HCI socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bumble import core, hci
from bumble.controller import Controller
from bumble.device import Device, Peer
from bumble.host import Host
from bumble.transport import open_transport

from devices.virtual.place import Place

MODEL = core.UUID.from_16_bits(0x2A24)


@asynccontextmanager
async def visited(place: Place, folder: Path) -> AsyncIterator[tuple[Device, Controller]]:
    """Another host, attached to the place through a socket as a kernel would be."""
    socket = folder / "hci"
    transport: Any = await open_transport(f"unix-server:{socket}")
    controller = await place.attach(f"unix:{socket}")
    async with asyncio.timeout(2):
        # Bumble's server drops what is sent before it has a client, and tells nobody.
        while transport.sink.transport is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    host = Host(transport.source, transport.sink)
    device = Device(name="visitor", host=host, address=hci.Address("F0:00:00:00:00:09"))
    await device.power_on()
    try:
        yield device, controller
    finally:
        await place.detach(controller)
        transport.server.close()


async def test_another_host_finds_and_reads_a_device(tmp_path: Path) -> None:
    async with Place(window_s=5) as place, visited(place, tmp_path) as (visitor, controller):
        assert not controller.le_features & hci.LeFeatureMask.LL_PRIVACY
        assert not controller.le_features & hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        thermometer = await place.add("thermometer")
        measuring = asyncio.create_task(thermometer.measure({"temperature": 36.6}))
        # A kernel changes its random address while a link stands.
        connection = await visitor.connect_le(hci.Address(thermometer.address))
        controller.random_address = hci.Address("F0:00:00:00:00:10")
        peer = Peer(connection)
        await peer.discover_services()
        await peer.discover_characteristics()
        models = peer.get_characteristics_by_uuid(MODEL)
        assert bytes(await models[0].read_value()).decode() == thermometer.model
        got: asyncio.Queue[bytes] = asyncio.Queue()
        value = peer.get_characteristics_by_uuid(core.UUID.from_16_bits(0x2A1C))[0]
        await value.subscribe(got.put_nowait)
        assert await got.get()
        assert (await measuring).delivered


async def test_a_connection_given_up_is_told_and_another_can_be_made(tmp_path: Path) -> None:
    async with Place(window_s=5) as place, visited(place, tmp_path) as (visitor, _):
        asleep, awake = await place.add("cuff"), await place.add("thermometer")
        with pytest.raises(core.TimeoutError):
            await visitor.connect_le(hci.Address(asleep.address), timeout=0.1)
        measuring = asyncio.create_task(awake.measure({"temperature": 36.6}))
        connection = await visitor.connect_le(hci.Address(awake.address), timeout=2)
        await connection.disconnect()
        measuring.cancel()
        await asyncio.wait({measuring})


async def test_a_reset_ends_the_links(tmp_path: Path) -> None:
    async with Place(window_s=5) as place, visited(place, tmp_path) as (visitor, controller):
        thermometer = await place.add("thermometer")
        measuring = asyncio.create_task(thermometer.measure({"temperature": 36.6}))
        await visitor.connect_le(hci.Address(thermometer.address))
        ended = asyncio.Event()
        for link in thermometer.radio.connections.values():
            link.on("disconnection", lambda _reason: ended.set())
        await visitor.host.send_sync_command(hci.HCI_Reset_Command())
        async with asyncio.timeout(2):
            await ended.wait()
        assert not controller.le_connections
        measuring.cancel()
        await asyncio.wait({measuring})


async def test_a_host_that_goes_takes_its_controller_off_the_air(tmp_path: Path) -> None:
    async with Place(window_s=5) as place, visited(place, tmp_path) as (visitor, controller):
        thermometer = await place.add("thermometer")
        assert controller in place.link.controllers
        visitor.host.hci_sink.transport.close()  # type: ignore[union-attr]
        async with asyncio.timeout(2):
            while controller in place.link.controllers:  # noqa: ASYNC110 - a plain set
                await asyncio.sleep(0.005)
        await place.remove(thermometer)
        await place.remove(thermometer)
        assert place.devices == ()
        assert not place.link.controllers


async def test_devices_never_share_an_address_and_come_from_the_seed() -> None:
    async def here(seed: int) -> list[tuple[str, float, int]]:
        async with Place(seed=seed) as place:
            devices = [await place.add("scale") for _ in range(3)]
            return [
                (one.address, one.clock_offset.total_seconds(), one.battery_percent)
                for one in devices
            ]

    first = await here(1)
    assert first == await here(1)
    assert first != await here(2)
    assert len({address for address, _, _ in first}) == 3
    assert all(int(address[:2], 16) >= 0xC0 for address, _, _ in first)
