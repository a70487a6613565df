"""F3 and F4: services that come late, and bonds that one side has lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from gateway.ble.room import LOOKED_UP_MAX_S
from gateway.desk import PairedNow
from tests.ble.appliance.guest import Guest
from tests.ble.bluez import until
from tests.ble.home import Home, measured
from tests.ble.operator import pair, paired

Add = Callable[..., Awaitable[VirtualDevice]]
TRIES_S = 6.0


async def bonded(home: Home, add: Add, design: str = "cuff") -> VirtualDevice:
    """A device that is enrolled and has delivered once."""
    device = await add(design)
    await home.start()
    await paired(home.data, device)
    await measured(device)
    await home.until_readings(device, 1)
    return device


async def test_services_incomplete_once(home: Home, add: Add) -> None:
    """F3: in one link the measurement is not to be found; the next link has it, and the value."""
    cuff = await bonded(home, add)
    cuff.faults = Faults(services_incomplete=True)
    assert (await measured(cuff, systolic=141)).delivered
    await home.until_readings(cuff, 2)
    assert await home.bluez.is_bonded(cuff.address)


async def test_services_incomplete_without_a_bond(home: Home, add: Add) -> None:
    """F3: the same with a device that does not bond, whose services BlueZ does not remember."""
    device = await add("thermometer")
    home.enrol(device)
    await home.start()
    device.faults = Faults(services_incomplete=True)
    # BlueZ 5.82 has crashed here: a service manager begins it again, and the value still arrives.
    device.window_s = 60
    assert (await measured(device)).delivered
    await home.until_readings(device, 1)


async def test_forgotten_bond_is_not_made_anew(home: Home, add: Add) -> None:
    """F4: the cuff forgot its bond: no link makes a new one, and the value stays in the cuff."""
    cuff = await bonded(home, add)
    await cuff.forget_bond()
    cuff.window_s = TRIES_S
    assert not (await measured(cuff, systolic=141)).delivered
    assert not await cuff.is_bonded()
    assert len(cuff.undelivered) == 1
    assert len(home.readings(cuff)) == 1


async def test_forgotten_bond_is_not_made_anew_in_pairing_mode(home: Home, add: Add) -> None:
    """F4: even a cuff in pairing mode that forgot its bond gets no new one without an operator."""
    cuff = await bonded(home, add)
    await cuff.forget_bond()
    cuff.window_s, cuff.pairing_mode = TRIES_S, True
    assert not (await measured(cuff, systolic=141)).delivered
    assert not await cuff.is_bonded()


async def test_a_person_is_asked_for_a_forgotten_bond(home: Home, add: Add) -> None:
    """F4: the gateway tells that this device needs a person."""
    cuff = await bonded(home, add)
    await cuff.forget_bond()
    cuff.window_s = TRIES_S
    await measured(cuff, systolic=141)
    await until(lambda: home.logged("bond_lost", dev=cuff.dev), "a person is asked for")


async def test_paired_again_by_a_person(home: Home, add: Add) -> None:
    """F4: an operator pairs it again, and what it kept meanwhile arrives."""
    cuff = await bonded(home, add)
    await cuff.forget_bond()
    cuff.window_s = TRIES_S
    await measured(cuff, systolic=141)
    cuff.window_s = 30
    event = await pair(home.data, cuff, again=True)
    assert isinstance(event, PairedNow), event
    await cuff.wake()
    await home.until_readings(cuff, 2)


async def test_others_are_served_while_one_has_lost_its_bond(home: Home, add: Add) -> None:
    """F4: a device that lost its bond and goes on advertising does not keep the others out."""
    cuff = await bonded(home, add)
    other = await add("thermometer")
    home.enrol(other)
    # Who belongs here is looked up once a second.
    await asyncio.sleep(LOOKED_UP_MAX_S)
    await cuff.forget_bond()
    cuff.faults = replace(cuff.faults, window_s=TRIES_S)
    cuff.store({"systolic": 141, "diastolic": 80, "pulse": 60})
    report = await measured(other)
    await cuff.wake()
    assert report.delivered
    await home.until_readings(other, 1)


async def test_bluez_forgot_the_bond(home: Home, add: Add) -> None:
    """The gateway's side lost the bond: the cuff is not bonded anew by itself either."""
    cuff = await bonded(home, add)
    await home.bluez.remove(cuff.address)
    cuff.window_s = TRIES_S
    await measured(cuff, systolic=141)
    assert not await home.bluez.is_bonded(cuff.address)


async def test_bond_outlives_the_gateway(home: Home, add: Add) -> None:
    """The gateway restarts: the bond is there, and the value arrives."""
    cuff = await bonded(home, add)
    await home.restart()
    assert (await measured(cuff, systolic=141)).delivered
    await home.until_readings(cuff, 2)
    assert await home.bluez.is_bonded(cuff.address)


async def test_bond_outlives_bluetoothd(guest: Guest, home: Home, add: Add) -> None:
    """bluetoothd restarts: the bond was on its disk, and values arrive."""
    cuff = await bonded(home, add)
    await until(lambda: not cuff.radio.connections, "the cuff has hung up")
    await guest.command("bluetoothd restart")
    await until(home.bluez.is_powered, "the adapter is on again")
    assert (await measured(cuff, systolic=141)).delivered
    await home.until_readings(cuff, 2)
