"""Every kind of device, one plain reading: from the device's bytes to a row of the outbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from devices.virtual.device import VirtualDevice
from tests.ble.home import Home, measured

Add = Callable[..., Awaitable[VirtualDevice]]
UNBONDED = ("thermometer", "oximeter")


@pytest.mark.parametrize("design", UNBONDED)
async def test_plain_reading(home: Home, add: Add, design: str) -> None:
    """A reading is confirmed to the device and lies in the outbox, once."""
    device = await add(design)
    home.enrol(device)
    await home.start()
    report = await measured(device)
    assert report.delivered
    (reading,) = await home.until_readings(device, 1)
    assert reading.model == device.model
    assert reading.samples


@pytest.mark.parametrize("design", UNBONDED)
async def test_three_in_a_row(home: Home, add: Add, design: str) -> None:
    """Three measurements, each with a link of its own, are three readings."""
    device = await add(design)
    home.enrol(device)
    await home.start()
    for number in range(3):
        assert (await measured(device, temperature=36.5 + number / 10, spo2=95 + number)).delivered
    readings = await home.until_readings(device, 3)
    assert len({reading.uid for reading in readings}) == 3
