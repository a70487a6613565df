"""One link: what comes back when bleak itself fails under it, or the device never pauses."""

import asyncio
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from bleak.backends.device import BLEDevice

from devices.conversation import Ending
from devices.profiles import PROFILES
from devices.virtual.heart_rate import HEART_RATE
from devices.virtual.home import VirtualHome
from gateway.ble.connect import Limits
from gateway.ble.link import Surroundings
from gateway.ble.radio import Radio
from gateway.ble.session import Ended, converse
from gateway.ble.uuids import long_uuid, short_uuid
from gateway.clock import SystemClock
from tests.gateway.ble.fix_home import QUICK, MemoryJournal, paired_device

STOCKHOLM = ZoneInfo("Europe/Stockholm")


async def test_a_link_gone_before_its_services_are_read_is_lost() -> None:
    async with VirtualHome() as home:

        class Gone(home.client_backend):  # type: ignore[misc,name-defined]
            """Reports a link and has none, as BlueZ does when the device left meanwhile."""

            async def connect(self, pair: bool, **kwargs: object) -> None:
                """Say nothing."""

        cuff = home.devices["cuff"]
        ended = await converse(
            BLEDevice(cuff.address, None, None),
            paired=paired_device(cuff),
            profile=PROFILES[cuff.profile],
            around=Surroundings(
                radio=Radio(home.scanner_backend, Gone),
                journal=MemoryJournal(),
                clock=SystemClock(synchronised=lambda: True).read,
                zone=STOCKHOLM,
                limits=QUICK,
            ),
        )
    assert ended == Ended(Ending.LINK_LOST, 0, None, cause="BleakError")


async def test_a_device_that_never_pauses_does_not_hold_the_link_for_ever() -> None:
    async with VirtualHome(window_s=5.0) as home, asyncio.timeout(10):
        strap = await home.place.add(replace(HEART_RATE, interval_s=QUICK.tick_s / 10))
        wearing = asyncio.create_task(strap.measure({"heart_rate": 70.0, "ticks": 10_000}))
        ended = await converse(
            BLEDevice(strap.address, None, None),
            paired=paired_device(strap),
            profile=replace(PROFILES[strap.profile], quiet_s=0.5, link_max_s=0.5),
            around=Surroundings(
                radio=Radio(home.scanner_backend, home.client_backend),
                journal=MemoryJournal(),
                clock=SystemClock(synchronised=lambda: True).read,
                zone=STOCKHOLM,
                limits=QUICK,
            ),
        )
        wearing.cancel()
        await asyncio.wait({wearing})
    assert ended.ending is Ending.TOO_LONG
    assert ended.values > 0


def test_limits_limit() -> None:
    with pytest.raises(AssertionError, match="positive"):
        Limits(connect_s=0.0)


def test_a_vendors_characteristic_keeps_its_whole_name() -> None:
    assert short_uuid("00002a35-0000-1000-8000-00805f9b34fb") == "2A35"
    assert long_uuid("2A35") == "00002a35-0000-1000-8000-00805f9b34fb"
    vendor = "ecbe3980-c9a2-11e1-b1bd-0002a5d5c51b"
    assert short_uuid(vendor.upper()) == vendor
    assert long_uuid(vendor) == vendor
