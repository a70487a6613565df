"""What a gateway that crashed leaves behind in BlueZ is found and used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from devices.virtual.device import VirtualDevice
from devices.virtual.thermometer import THERMOMETER
from tests.ble.bluez import ADAPTER, Bluez, until
from tests.ble.home import Home, measured

Add = Callable[..., Awaitable[VirtualDevice]]
PATIENT = replace(THERMOMETER, hang_up_after_s=4.0)


async def test_a_link_left_over_is_taken_over(bluez: Bluez, home: Home, add: Add) -> None:
    """A link is there before the gateway is; its device does not advertise, and is heard out."""
    device = await add(PATIENT)
    home.enrol(device)
    measuring = asyncio.create_task(measured(device))
    await bluez.call(ADAPTER, "org.bluez.Adapter1", "StartDiscovery")
    await until(lambda: bluez.device(device.address), "the device was heard")
    await bluez.call(ADAPTER, "org.bluez.Adapter1", "StopDiscovery")
    path = f"{ADAPTER}/dev_{device.address.replace(':', '_')}"
    await bluez.call(path, "org.bluez.Device1", "Connect")
    await home.start(listening=False)
    await until(lambda: home.logged("link_adopted", dev=device.dev), "the link is taken over")
    assert (await measuring).delivered
    await home.until_readings(device, 1)
