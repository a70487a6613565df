"""The appliance itself: a real bluetoothd on a real kernel hears and reads a virtual cuff."""

from __future__ import annotations

import asyncio

from bleak import BleakClient, BleakScanner

from devices.virtual.place import Place
from tests.ble.appliance.guest import Guest
from tests.ble.bluez import Bluez, until

PRESSURE = {"systolic": 128, "diastolic": 79, "pulse": 66}


async def test_the_guest_runs_the_bluez_it_says(guest: Guest, bluez: Bluez) -> None:
    """The guest has the kernel and the BlueZ that its image names."""
    assert guest.image.bluez.startswith(guest.image.variant.split("-")[0])
    assert guest.image.linux in await guest.command("run uname -r")
    assert f"Bluetooth daemon {guest.image.variant}" in guest.log()


async def test_bleak_finds_links_and_discovers_a_cuff(
    guest: Guest, bluez: Bluez, place: Place
) -> None:
    """bleak finds a cuff, links up, discovers its services and reads its battery."""
    cuff = await place.add("cuff")
    measuring = asyncio.create_task(cuff.measure(PRESSURE))
    found = await BleakScanner.find_device_by_address(cuff.address, timeout=10)
    assert found is not None
    async with BleakClient(found, timeout=10) as client:
        assert client.services.get_characteristic("00002a35-0000-1000-8000-00805f9b34fb")
        assert await bluez.is_linked(cuff.address)
        assert await client.read_gatt_char("00002a19-0000-1000-8000-00805f9b34fb") == bytes(
            [cuff.battery_percent]
        )
    measuring.cancel()
    await place.remove(cuff)
    await until(measuring.done, "the cuff stopped")
