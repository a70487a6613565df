"""F2: a bonded cuff that remembers its subscription sends at once; the value is not lost.

The cuff counts a value as delivered when BlueZ confirms it, which is before any program could have
subscribed on the new link.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from devices.virtual.cuff import CUFF
from devices.virtual.design import Design
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import NO_FAULTS, Faults
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import Guest
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home, measured
from tests.ble.operator import paired

Add = Callable[..., Awaitable[VirtualDevice]]
Note = Callable[[str, str], None]
CAMPAIGN = int(os.environ.get("HEMMA_F2_VALUES", "10"))
"""How many values a campaign takes; the hundred of docs/bluetooth-scenarios.md by hand."""

LINGERING = replace(CUFF, hang_up_after_s=4.0)


async def bonded_cuff(home: Home, add: Add, design: Design | str = "cuff") -> VirtualDevice:
    """A cuff that is enrolled, has delivered once, and from now on sends without being asked."""
    cuff = await add(design)
    await home.start()
    await paired(home.data, cuff)
    await measured(cuff)
    await home.until_readings(cuff, 1)
    cuff.faults = Faults(remembers_subscription=True)
    return cuff


async def kept_all(home: Home, cuff: VirtualDevice, count: int) -> None:
    """Whatever the cuff counts as delivered is in the outbox: ``count`` values besides the first"""
    await home.until_readings(cuff, count + 1)
    kept = [item.raw or "" for item in home.readings(cuff)]
    assert sorted(kept) == sorted(raw.hex() for raw in cuff.confirmed)


async def test_early_value(home: Home, add: Add) -> None:
    """F2: one value that is sent the moment the link is encrypted is kept."""
    cuff = await bonded_cuff(home, add)
    assert (await measured(cuff, systolic=141)).delivered
    await kept_all(home, cuff, 1)


async def test_early_value_after_the_gateway_restarts(home: Home, add: Add) -> None:
    """F2: the gateway was restarted since; the value that is sent at once is kept."""
    cuff = await bonded_cuff(home, add)
    await home.restart()
    assert (await measured(cuff, systolic=141)).delivered
    await kept_all(home, cuff, 1)


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_first_value_after_bluetoothd_restarts(
    guest: Guest, bluez: Bluez, home: Home, add: Add, how: str
) -> None:
    """F2: bluetoothd was started anew: a value before BlueZ has its objects is told as a risk.

    A cuff that waits to be asked loses nothing then; one that does not may lose values until one
    link has lasted until BlueZ was ready, which takes half a second.
    """
    cuff = await bonded_cuff(home, add, LINGERING)
    await restart_bluetoothd(guest, bluez, home, cuff, how)
    await measured(cuff, systolic=141)
    await until(partial(is_kept_or_told, home, 1), "it is kept, or its loss is told")
    assert (await measured(cuff, systolic=142)).delivered
    await until(lambda: "142.0" in systolics(home, cuff), "the next value is kept")


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_asked_value_after_bluetoothd_restarts(
    guest: Guest, bluez: Bluez, home: Home, add: Add, how: str
) -> None:
    """F2: bluetoothd was started anew, and the cuff waits to be asked: the value is kept."""
    cuff = await bonded_cuff(home, add)
    cuff.faults = NO_FAULTS
    await restart_bluetoothd(guest, bluez, home, cuff, how)
    assert (await measured(cuff, systolic=141)).delivered
    await kept_all(home, cuff, 1)


async def test_asked_value_after_the_adapter_came_back(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """F2: the adapter was away, and the cuff waits to be asked: the value is kept."""
    cuff = await bonded_cuff(home, add)
    cuff.faults = NO_FAULTS
    await away_and_back(adapter, bluez, home, cuff)
    assert (await measured(cuff, systolic=141)).delivered
    await kept_all(home, cuff, 1)


async def test_first_value_after_the_adapter_came_back(
    adapter: Adapter, bluez: Bluez, home: Home, add: Add
) -> None:
    """F2: the adapter was away: a value before BlueZ has its objects is told as a risk."""
    cuff = await bonded_cuff(home, add, LINGERING)
    await away_and_back(adapter, bluez, home, cuff)
    await measured(cuff, systolic=141)
    await until(partial(is_kept_or_told, home, 1), "it is kept, or its loss is told")
    assert (await measured(cuff, systolic=142)).delivered
    await until(lambda: "142.0" in systolics(home, cuff), "the next value is kept")


async def test_several_early_values_in_one_link(home: Home, add: Add) -> None:
    """F2: three stored values, sent one after the other without waiting, are kept."""
    cuff = await bonded_cuff(home, add)
    for systolic in (131, 132, 133):
        cuff.store({"systolic": systolic, "diastolic": 80, "pulse": 60})
    await cuff.wake()
    await kept_all(home, cuff, 3)


async def test_early_value_waits_while_the_gateway_is_away(home: Home, add: Add) -> None:
    """F2: what was measured while the gateway was stopped is kept when it is back."""
    cuff = await bonded_cuff(home, add)
    await home.stop()
    cuff.window_s = 1
    assert not (await measured(cuff, systolic=141)).delivered
    await home.start()
    cuff.window_s = 30
    assert (await measured(cuff, systolic=142)).delivered
    await kept_all(home, cuff, 2)


async def test_campaign(home: Home, add: Add, note: Note) -> None:
    """F2: value after value, each sent at once on a link of its own."""
    cuff = await bonded_cuff(home, add)
    for number in range(CAMPAIGN):
        assert (await measured(cuff, systolic=100 + number)).delivered
    await kept_all(home, cuff, CAMPAIGN)
    note("note", f"{len(home.readings(cuff)) - 1} of {CAMPAIGN}")


async def test_campaign_over_gateway_restarts(home: Home, add: Add, note: Note) -> None:
    """F2: the gateway is restarted before every value, each sent at once."""
    cuff = await bonded_cuff(home, add)
    for number in range(CAMPAIGN):
        await home.restart()
        assert (await measured(cuff, systolic=100 + number)).delivered
    await kept_all(home, cuff, CAMPAIGN)
    note("note", f"{len(home.readings(cuff)) - 1} of {CAMPAIGN}")


async def test_campaign_over_bluetoothd_restarts(
    guest: Guest, bluez: Bluez, home: Home, add: Add, note: Note
) -> None:
    """F2: bluetoothd is restarted before every value, each sent at once: what BlueZ lets us keep.

    It confirms the value before it has told anybody of the device's characteristics. What may be
    lost is told, so that the nurse's list does not show silence for a value that was taken.
    """
    cuff = await bonded_cuff(home, add)
    for number in range(CAMPAIGN):
        await restart_bluetoothd(guest, bluez, home, cuff, "restart")
        assert (await measured(cuff, systolic=100 + number)).delivered
        await until(partial(is_kept_or_told, home, number + 1), "it is kept, or its loss is told")
    kept = len(home.readings(cuff)) - 1
    note("note", f"{kept} of {CAMPAIGN} kept, {CAMPAIGN - kept} told as lost")


def is_kept_or_told(home: Home, count: int) -> bool:
    """Whether so many values were kept or said to be lost, besides the first."""
    kept = sum(item.type == "value" and item.kind == "blood_pressure" for item in home.items())
    return kept - 1 + len(home.logged("value_may_be_lost")) >= count


def systolics(home: Home, cuff: VirtualDevice) -> set[str]:
    """The systolic values that were kept."""
    return {str(item.samples[0].value) for item in home.readings(cuff)}


def is_at_rest(home: Home, cuff: VirtualDevice) -> bool:
    """Whether every link has ended, for the cuff and for the gateway."""
    heard, ended = home.logged("device_heard"), home.logged("device_link_ended")
    return not cuff.radio.connections and len(heard) == len(ended)


async def restart_bluetoothd(
    guest: Guest, bluez: Bluez, home: Home, cuff: VirtualDevice, how: str
) -> None:
    """End bluetoothd between two links, start it, and wait until its adapter is on."""
    await until(partial(is_at_rest, home, cuff), "the link is over on both sides")
    await guest.command(f"bluetoothd {how}")
    await guest.command("bluetoothd start")
    await until(bluez.is_powered, "the adapter is on again")


async def away_and_back(adapter: Adapter, bluez: Bluez, home: Home, cuff: VirtualDevice) -> None:
    """Pull the adapter out between two links, put it back, and wait until it is on."""
    await until(partial(is_at_rest, home, cuff), "the link is over on both sides")
    await adapter.pull_out()
    await adapter.put_in()
    await until(bluez.is_powered, "the adapter is on again")
