"""What devices do wrong, on the real stack: nothing is lost, nothing is kept twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from devices.virtual.cuff import CUFF
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from tests.ble.bluez import until
from tests.ble.home import Home, measured
from tests.ble.operator import paired

Add = Callable[..., Awaitable[VirtualDevice]]
CUFF_THAT_WAITS = replace(CUFF, hang_up_after_s=2.0)
"""Long enough for an emulated machine to read its clock and its battery after the value."""
PRESSURE = {"systolic": 131, "diastolic": 82, "pulse": 70}


async def enrolled_cuff(home: Home, add: Add, **how: object) -> VirtualDevice:
    """A cuff that is bonded, and a gateway that listens to it."""
    cuff = await add(CUFF_THAT_WAITS, **how)
    await home.start()
    await paired(home.data, cuff)
    return cuff


def confirmed_are_kept(home: Home, device: VirtualDevice) -> bool:
    """Whether what the device was confirmed and what the outbox holds are the same, once each."""
    kept = [item.raw for item in home.readings(device)]
    return len(kept) == len(set(kept)) and {raw.hex() for raw in device.confirmed} == set(kept)


def confirmed_are_kept_or_marked(home: Home, device: VirtualDevice) -> bool:
    """Whether what was confirmed is in the outbox, and what is there twice says so of itself."""
    readings = home.readings(device)
    plain = [item.raw for item in readings if "possible_repeat" not in item.flags]
    is_once = len(plain) == len(set(plain))
    return is_once and {raw.hex() for raw in device.confirmed} == {item.raw for item in readings}


async def test_short_window(home: Home, add: Add) -> None:
    """A cuff that advertises for two seconds only is reached in them."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(window_s=2.0)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


@pytest.mark.parametrize("error", [timedelta(hours=1), timedelta(days=-365)], ids=["hour", "year"])
async def test_clock_wrong(home: Home, add: Add, error: timedelta) -> None:
    """A cuff's clock is wrong: the value is corrected by it, and the clock is set."""
    cuff = await enrolled_cuff(home, add, clock_offset=timedelta(0))
    cuff.faults = Faults(clock_error=error)
    before = cuff.clocks.utc()
    assert (await measured(cuff)).delivered
    (reading,) = await home.until_readings(cuff, 1)
    assert reading.t is not None
    assert abs(reading.t - before) < timedelta(minutes=2)
    await until(lambda: is_right(cuff), "the clock is set")


def is_right(device: VirtualDevice) -> bool:
    """Whether the device's clock shows the time."""
    true = device.clocks.utc().astimezone(device.clocks.zone).replace(tzinfo=None)
    return abs(device.device_time() - true) < timedelta(seconds=10)


async def test_clock_never_set(home: Home, add: Add) -> None:
    """A cuff without a set clock: its values have the gateway's time, and its clock is set."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(clock_absent=True)
    assert (await measured(cuff)).delivered
    (reading,) = await home.until_readings(cuff, 1)
    assert reading.dev_t is None
    assert reading.tq in ("gateway", "estimated"), "as good as this machine's clock"


async def test_clock_cannot_be_set(home: Home, add: Add) -> None:
    """A cuff that refuses to have its clock set delivers all the same."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(refuses_clock=True)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_stored_records(home: Home, add: Add) -> None:
    """Five values measured while nobody was near arrive in one link, oldest first."""
    cuff = await enrolled_cuff(home, add)
    for minutes in (50, 40, 30, 20, 10):
        cuff.store(
            PRESSURE | {"systolic": 120 + minutes},
            at=cuff.clocks.utc() - timedelta(minutes=minutes),
        )
    await cuff.wake()
    await home.until_readings(cuff, 5)
    await until(lambda: confirmed_are_kept(home, cuff), "each is kept, once")


async def test_duplicates(home: Home, add: Add) -> None:
    """A cuff that sends its last two records again at each link: each is kept once."""
    cuff = await enrolled_cuff(home, add, clock_offset=timedelta(0))
    cuff.faults = Faults(duplicate_records=2)
    for systolic in (131, 132, 133):
        assert (await measured(cuff, systolic=systolic)).delivered
    await home.until_readings(cuff, 3)
    await until(lambda: confirmed_are_kept(home, cuff), "each is kept, once")


async def test_duplicates_after_the_clock_was_set_back(home: Home, add: Add) -> None:
    """A cuff sends its records again after its clock was set back: kept again only with a mark.

    Its times went back, so they prove nothing: the same bytes could be another measurement.
    """
    cuff = await enrolled_cuff(home, add, clock_offset=timedelta(minutes=44))
    assert (await measured(cuff, systolic=131)).delivered
    await until(lambda: is_right(cuff), "the clock is set back")
    cuff.faults = Faults(duplicate_records=2)
    for systolic in (132, 133):
        assert (await measured(cuff, systolic=systolic)).delivered
    await home.until_readings(cuff, 3)
    await until(lambda: confirmed_are_kept_or_marked(home, cuff), "no repeat without its mark")


async def test_failed_measurement(home: Home, add: Add) -> None:
    """A measurement that failed (NaN) is no reading with a number in it, and is not silent."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(nan_values=True)
    assert (await measured(cuff)).delivered
    await until(lambda: len(home.items(cuff)) >= 1, "something is noted")
    values = [sample.value for item in home.readings(cuff) for sample in item.samples or ()]
    assert all(value is None for value in values)


@pytest.mark.parametrize("user", [2, 255])
async def test_other_user(home: Home, add: Add, user: int) -> None:
    """Another user's value is kept with its user, never mixed up; 255 is nobody known."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(other_user=user)
    assert (await measured(cuff)).delivered
    (reading,) = await home.until_readings(cuff, 1)
    assert cuff.confirmed[-1].hex() == reading.raw


async def test_low_battery(home: Home, add: Add) -> None:
    """A battery that is nearly empty is told, beside the value."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(battery_percent=4)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)
    await until(
        lambda: any(item.kind == "battery" for item in home.items(cuff)), "the battery is told"
    )


async def test_link_lost_half_way(home: Home, add: Add) -> None:
    """The link breaks after two of five records, again and again: all arrive, once each."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(lose_link_after=2)
    for number in range(5):
        cuff.store(PRESSURE | {"systolic": 121 + number})
    await cuff.wake()
    await home.until_readings(cuff, 5)
    await until(lambda: confirmed_are_kept(home, cuff), "each is kept, once")


async def test_confirmation_lost(home: Home, add: Add) -> None:
    """The link breaks before the cuff hears the confirmation: it sends again, kept once."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(lose_confirmation=True)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)
    await until(lambda: confirmed_are_kept(home, cuff), "it is kept, once")


async def test_slow_answers(home: Home, add: Add) -> None:
    """A cuff that takes 0.4 s for each answer delivers."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(slow_answers_s=0.4)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1, patience_s=40)


async def test_never_answers_for_its_clock(home: Home, add: Add) -> None:
    """A cuff that does not answer for its clock, nor for anything asked later, delivers."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(unanswered="2A08")
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1, patience_s=40)
    await until(lambda: confirmed_are_kept(home, cuff), "it is kept, once")


async def test_hangs_up_soon(home: Home, add: Add) -> None:
    """A cuff that hangs up a second after each link came has delivered, at the latest next time."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(hangs_up_after_s=1.0)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_hangs_up_before_anything(home: Home, add: Add) -> None:
    """A cuff that hangs up at once keeps its value; when it behaves again, the value arrives."""
    cuff = await enrolled_cuff(home, add)
    cuff.faults = Faults(hangs_up_after_s=0.02, window_s=3.0)
    await measured(cuff)
    cuff.faults = Faults()
    await cuff.wake()
    await home.until_readings(cuff, 1)
    await until(lambda: confirmed_are_kept(home, cuff), "it is kept, once")


async def test_never_hangs_up(home: Home, add: Add) -> None:
    """A device that never hangs up is hung up on, and the next one is served."""
    oximeter, thermometer = await add("oximeter"), await add("thermometer")
    home.enrol(oximeter)
    home.enrol(thermometer)
    oximeter.faults = Faults(never_hangs_up=True)
    await home.start()
    holding = asyncio.create_task(measured(oximeter))
    await home.until_readings(oximeter, 1)
    thermometer.window_s = 60
    assert (await measured(thermometer)).delivered
    await home.until_readings(thermometer, 1)
    oximeter.faults = Faults()
    await holding


async def test_stays_silent(home: Home, add: Add) -> None:
    """A device that lets itself be linked and says nothing is given up; the next one is served."""
    silent, thermometer = await add("thermometer"), await add("thermometer")
    home.enrol(silent)
    home.enrol(thermometer)
    silent.faults = Faults(stays_silent=True, window_s=20.0)
    await home.start()
    holding = asyncio.create_task(measured(silent))
    await until(lambda: silent.links, "the silent one is linked")
    thermometer.window_s = 90
    report = await measured(thermometer)
    assert report.delivered
    await home.until_readings(thermometer, 1)
    silent.faults = Faults()
    await silent.drop_link()
    await holding


async def test_two_values_in_one_window(home: Home, add: Add) -> None:
    """Two measurements within one window of the cuff are two readings."""
    cuff = await enrolled_cuff(home, add)
    first = asyncio.create_task(measured(cuff, systolic=131))
    await asyncio.sleep(0.1)
    second = await measured(cuff, systolic=132)
    assert (await first).delivered
    assert second.delivered
    await home.until_readings(cuff, 2)


async def test_the_same_values_twice(home: Home, add: Add) -> None:
    """Two measurements with the same figures are two readings: their times differ."""
    cuff = await enrolled_cuff(home, add)
    for _ in range(2):
        assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 2)
