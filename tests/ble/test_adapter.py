"""bluetoothd dies, restarts or hangs, the adapter goes away and comes back; values still arrive.

The device is a plain thermometer: what is tried is the gateway's way back, not a bond.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from devices.virtual.device import VirtualDevice
from devices.virtual.thermometer import THERMOMETER
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import Guest
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured

Add = Callable[..., Awaitable[VirtualDevice]]
BACK_WITHIN_S = 60.0
AWAY_S = 6.0
LINGERING = replace(THERMOMETER, hang_up_after_s=4.0)


async def keep_measuring(device: VirtualDevice, home: Home, wanted: int) -> None:
    """Wake the device, as a patient who tries again, until the outbox has what is wanted."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while len(home.readings(device)) < wanted:
            await device.wake()


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_bluetoothd_ends_while_idle(
    guest: Guest, bluez: Bluez, home: Home, add: Add, how: str
) -> None:
    """bluetoothd ends while nobody measures and comes back; the next reading arrives."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await measured(device)
    await guest.command(f"bluetoothd {how}")
    await guest.command("bluetoothd start")
    await until(bluez.is_powered, "the adapter is on again")
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 2)


async def test_bluetoothd_crashes(guest: Guest, bluez: Bluez, home: Home, add: Add) -> None:
    """bluetoothd crashes and a service manager begins it anew; the next reading arrives."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await measured(device)
    await guest.command("run kill -SEGV $(cat /run/bluetoothd.pid)")
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 2)


async def test_bluetoothd_away_for_a_while(
    guest: Guest, bluez: Bluez, home: Home, add: Add
) -> None:
    """While bluetoothd is away the radio is absent, not deaf; when it is back, values arrive."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await guest.command("bluetoothd stop")
    await until(lambda: home.radio_state() == "absent", "the gateway says that it has no radio")
    await guest.command("bluetoothd start")
    await until(lambda: home.radio_state() == "ok", "the radio is back", patience_s=BACK_WITHIN_S)
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_bluetoothd_ends_while_linked(
    guest: Guest, bluez: Bluez, home: Home, add: Add, how: str
) -> None:
    """bluetoothd ends in the middle of a link; what the device still holds arrives later, once."""
    device = await add(LINGERING)
    home.enrol(device)
    await home.start()
    measuring = asyncio.create_task(measured(device))
    await until(lambda: bluez.is_linked(device.address), "the link is up")
    await guest.command(f"bluetoothd {how}")
    await guest.command("bluetoothd start")
    await measuring
    await keep_measuring(device, home, 1)
    assert len(home.readings(device)) == 1


async def test_bluetoothd_is_not_there_at_the_start(
    guest: Guest, bluez: Bluez, home: Home, add: Add
) -> None:
    """The gateway starts before bluetoothd, waits for it, and then listens."""
    device = await add("thermometer")
    home.enrol(device)
    await guest.command("bluetoothd stop")
    await home.start(listening=False)
    await until(lambda: home.radio_state() == "absent", "the gateway says that it has no radio")
    await guest.command("bluetoothd start")
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_adapter_goes_and_comes_back(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """The adapter is pulled out while nobody measures and put back; the next reading arrives."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await adapter.pull_out()
    await until(lambda: home.radio_state() == "absent", "the gateway says that it has no radio")
    await adapter.put_in()
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_adapter_goes_while_linked(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """The adapter is pulled out in the middle of a link; the value arrives when it is back."""
    device = await add(LINGERING)
    home.enrol(device)
    await home.start()
    measuring = asyncio.create_task(measured(device))
    await until(lambda: bluez.is_linked(device.address), "the link is up")
    await adapter.pull_out()
    await adapter.put_in()
    await measuring
    await keep_measuring(device, home, 1)
    assert len(home.readings(device)) == 1


async def test_adapter_is_away_while_a_device_waits(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """The adapter is pulled out, a device advertises into the silence; it is served afterwards."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await adapter.pull_out()
    await until(lambda: home.radio_state() == "absent", "the gateway says that it has no radio")
    device.window_s = BACK_WITHIN_S
    measuring = asyncio.create_task(measured(device))
    await asyncio.sleep(AWAY_S)
    await adapter.put_in()
    assert (await measuring).delivered
    await home.until_readings(device, 1)


async def test_adapter_is_not_there_at_the_start(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """The gateway starts without an adapter, and listens when one is put in."""
    device = await add("thermometer")
    home.enrol(device)
    await adapter.pull_out()
    await home.start(listening=False)
    await until(lambda: home.radio_state() == "absent", "the gateway says that it has no radio")
    await adapter.put_in()
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_adapter_is_switched_off(guest: Guest, bluez: Bluez, home: Home, add: Add) -> None:
    """Somebody switches the adapter off; the gateway switches it on again."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await guest.command("run bluetoothctl power off")
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_bluetoothd_hangs_for_a_while(
    guest: Guest, bluez: Bluez, home: Home, add: Add
) -> None:
    """bluetoothd answers nobody for a while; afterwards values arrive."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await guest.command("bluetoothd pause")
    lost = asyncio.create_task(measured(device))
    await asyncio.sleep(6)
    await guest.command("bluetoothd continue")
    await lost
    await keep_measuring(device, home, 1)
    assert len(home.readings(device)) == 1


async def test_the_bus_goes_away(guest: Guest, bluez: Bluez, home: Home, add: Add) -> None:
    """Every connection to the bus breaks at once; the gateway makes new ones."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    await guest.command("bus stop")
    await guest.command("bus start")
    device.window_s = BACK_WITHIN_S
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)
