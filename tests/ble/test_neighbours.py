"""More than one device on the air: those of the home, and those of the neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from gateway.ble.room import LOOKED_UP_MAX_S
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured

Add = Callable[..., Awaitable[VirtualDevice]]
NEIGHBOURS = 8


async def test_a_neighbours_device_is_left_alone(home: Home, add: Add) -> None:
    """A device that is not of this home is not linked up with."""
    ours, theirs = await add("thermometer"), await add("thermometer")
    home.enrol(ours)
    await home.start()
    theirs.window_s = 3
    reports = await asyncio.gather(measured(ours), measured(theirs))
    assert [report.delivered for report in reports] == [True, False]
    assert theirs.links == 0
    await home.until_readings(ours, 1)


async def test_in_the_midst_of_many(home: Home, add: Add) -> None:
    """Eight of the neighbours' devices advertise without end; ours is heard among them."""
    ours = await add("oximeter")
    home.enrol(ours)
    await home.start()
    others = [await add("thermometer") for _ in range(NEIGHBOURS)]
    noise = [asyncio.create_task(measured(other)) for other in others]
    assert (await measured(ours)).delivered
    await home.until_readings(ours, 1)
    for task in noise:
        task.cancel()
    await asyncio.wait(noise)
    assert not any(other.links for other in others)


async def test_three_at_once(home: Home, add: Add) -> None:
    """Three of the home's devices measure at the same moment: one link at a time, all served."""
    devices = [await add(design) for design in ("thermometer", "oximeter", "thermometer")]
    for device in devices:
        home.enrol(device)
    await home.start()
    reports = await asyncio.gather(*(measured(device) for device in devices))
    assert all(report.delivered for report in reports)
    for device in devices:
        await home.until_readings(device, 1)


async def test_one_that_never_delivers_keeps_nobody_out(home: Home, add: Add) -> None:
    """One device is linked again and again and hangs up at once; the others are served."""
    restless, thermometer = await add("thermometer"), await add("thermometer")
    home.enrol(restless)
    home.enrol(thermometer)
    restless.faults = Faults(hangs_up_after_s=0.01, window_s=8.0)
    await home.start()
    trying = asyncio.create_task(measured(restless))
    await until(lambda: restless.links >= 2, "the restless one was linked twice")
    assert (await measured(thermometer)).delivered
    await home.until_readings(thermometer, 1)
    await trying


async def test_enrolled_while_the_gateway_runs(home: Home, add: Add) -> None:
    """A device that is noted while the gateway runs is listened to without a restart."""
    device = await add("thermometer")
    await home.start()
    home.enrol(device)
    # Who belongs here is looked up once a second.
    await asyncio.sleep(LOOKED_UP_MAX_S)
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_a_link_is_left_over_from_a_crash(home: Home, bluez: Bluez, add: Add) -> None:
    """BlueZ still holds a link that nobody uses when the gateway starts; the value arrives."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    assert (await measured(device)).delivered
    await home.stop()
    device.window_s = 60
    measuring = asyncio.create_task(measured(device))
    await bluez.connect(device.address)
    await home.start()
    assert (await measuring).delivered
    await home.until_readings(device, 2)
