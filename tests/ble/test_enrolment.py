"""F1: what becomes of a device that is enrolled, besides the bond."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from gateway.ble.room import LOOKED_UP_MAX_S
from gateway.desk import AskPair, AskUnpair, Failed, UnpairedNow
from tests.ble.bluez import Bluez
from tests.ble.home import Home, measured
from tests.ble.operator import Operator, in_pairing_mode, pair, paired

Add = Callable[..., Awaitable[VirtualDevice]]
PASSKEY = 48_213


async def test_without_an_agent_nothing_is_paired(bluez: Bluez, add: Add) -> None:
    """F1: without any agent BlueZ refuses even a pairing without a passkey: why we have one."""
    device = await add("cuff")
    async with in_pairing_mode(device):
        found = await BleakScanner.find_device_by_address(device.address, timeout=10)
        assert found is not None
        async with BleakClient(found, timeout=10) as client:
            with pytest.raises(BleakError):
                await client.pair()
    assert not await bluez.is_bonded(device.address)


async def test_operator_gives_up(home: Home, bluez: Bluez, add: Add) -> None:
    """The operator gives up when digits are asked for: no bond, and listening goes on."""
    device, other = await add("cuff"), await add("thermometer")
    device.faults = Faults(passkey=PASSKEY)
    home.enrol(other)
    await home.start()
    async with in_pairing_mode(device):
        event = await Operator(types=lambda: None).ask(
            home.data, AskPair(device.address, device.profile)
        )
    assert isinstance(event, Failed)
    assert not await bluez.is_bonded(device.address)
    assert (await measured(other)).delivered
    await home.until_readings(other, 1)


async def test_not_in_pairing_mode(home: Home, bluez: Bluez, add: Add) -> None:
    """The device is near but not in pairing mode: it refuses, and the operator is told so."""
    device = await add("cuff")
    device.faults = Faults(needs_pairing_mode=True)
    await home.start()
    waking = asyncio.create_task(device.wake())
    event = await Operator().ask(home.data, AskPair(device.address, device.profile))
    waking.cancel()
    await asyncio.wait({waking})
    assert isinstance(event, Failed)
    assert event.code == "refused", event
    assert not await bluez.is_bonded(device.address)


async def test_enrolled_twice(home: Home, bluez: Bluez, add: Add) -> None:
    """A device that is enrolled already is not bonded anew, and goes on delivering."""
    device = await add("cuff")
    await home.start()
    await paired(home.data, device)
    event = await pair(home.data, device)
    assert isinstance(event, Failed)
    assert event.code == "paired_already"
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_taken_out_again(home: Home, bluez: Bluez, add: Add) -> None:
    """A device that is taken out is not even linked up with any more."""
    device = await add("cuff")
    device.window_s = 3
    await home.start()
    await paired(home.data, device)
    assert isinstance(await Operator().ask(home.data, AskUnpair(device.address)), UnpairedNow)
    # The gateway looks up once a second who belongs here.
    await asyncio.sleep(LOOKED_UP_MAX_S)
    links = device.links
    assert not (await measured(device)).delivered
    assert device.links == links


async def test_two_are_enrolled(home: Home, bluez: Bluez, add: Add) -> None:
    """Two devices are enrolled one after the other; then both measure at once, and both deliver."""
    cuff, scale = await add("cuff"), await add("scale")
    await home.start()
    for device in (cuff, scale):
        await paired(home.data, device)
    reports = await asyncio.gather(measured(cuff), measured(scale))
    assert all(report.delivered for report in reports)
    await home.until_readings(cuff, 1)
    await home.until_readings(scale, 1)


async def test_measured_before_it_was_enrolled(home: Home, bluez: Bluez, add: Add) -> None:
    """What a cuff measured before it was enrolled is delivered on the first link afterwards."""
    device = await add("cuff")
    device.store({"systolic": 131, "diastolic": 82, "pulse": 70})
    await home.start()
    await paired(home.data, device)
    await device.wake()
    await home.until_readings(device, 1)
    assert not device.undelivered


async def test_hangs_up_while_it_is_enrolled(home: Home, bluez: Bluez, add: Add) -> None:
    """The device hangs up in the middle of the pairing: the operator is told, and tries again."""
    device = await add("cuff")
    device.faults = Faults(hangs_up_after_s=0.0)
    await home.start()
    assert isinstance(await pair(home.data, device), Failed)
    device.faults = replace(device.faults, hangs_up_after_s=None)
    await paired(home.data, device)
    assert await bluez.is_bonded(device.address)
