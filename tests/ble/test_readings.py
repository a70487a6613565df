"""Every kind of device, one plain reading: from the device's bytes to a row of the outbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from devices.profiles import PROFILES
from devices.virtual.designs import DESIGNS
from devices.virtual.device import VirtualDevice
from tests.ble.home import VALUES, Home, measured
from tests.ble.operator import paired

Add = Callable[..., Awaitable[VirtualDevice]]


async def at_home(home: Home, add: Add, what: str) -> VirtualDevice:
    """A device of this home, bonded where its family bonds, and a gateway that listens."""
    device = await add(what)
    for user_index, code in (device.design.users or {}).items():
        if user_index == VALUES["user"] and code is not None:
            home.consent(device, user_index, code)
    if PROFILES[device.profile].must_bond or device.design.must_bond:
        await home.start()
        await paired(home.data, device)
    else:
        home.enrol(device)
        await home.start()
    return device


@pytest.mark.parametrize("what", DESIGNS)
async def test_plain_reading(home: Home, add: Add, what: str) -> None:
    """A reading is confirmed to the device, or heard, and lies in the outbox."""
    device = await at_home(home, add, what)
    await measured(device)
    readings = await home.until_readings(device, 1)
    assert readings[0].dev == device.dev
    assert any(sample.value is not None for sample in readings[0].samples or ())


@pytest.mark.parametrize("what", ["thermometer", "oximeter", "plain_cuff", "cuff", "scale"])
async def test_three_in_a_row(home: Home, add: Add, what: str) -> None:
    """Three measurements, each with a link of its own, are three readings, each kept once."""
    device = await at_home(home, add, what)
    for number in range(3):
        report = await measured(
            device,
            temperature=36.5 + number / 10,
            spo2=95 + number,
            systolic=120 + number,
            weight=70.0 + number,
        )
        assert report.delivered
    readings = await home.until_readings(device, 3)
    assert len({reading.uid for reading in readings}) == 3
