"""Meters that must be asked, and an oximeter that must be listened to, through the gateway."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from bleak.backends.device import BLEDevice

from devices import gatt
from devices.conversation import Consent, Ending
from devices.gatt import nonin_oximetry, taidoc
from devices.measurement import Measurement
from devices.profiles import PROFILES, suggest
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from devices.virtual.home import VirtualHome
from gateway.ble.link import Surroundings
from gateway.ble.radio import Radio
from gateway.ble.session import Ended, converse
from gateway.clock import SystemClock
from tests.devices.virtual.fix_visit import awake, bring
from tests.gateway.ble.fix_home import QUICK, MemoryJournal, paired_device

STOCKHOLM = ZoneInfo("Europe/Stockholm")
PRESSURE = {"systolic": 128, "diastolic": 79, "pulse": 66}


@dataclass
class MemoryNotes:
    """What a gateway remembers between links, in memory."""

    number: int | None = None
    last_record: bytes | None = None
    events: list[str] = field(default_factory=list)

    def last_sequence(self, dev: str, characteristic: str) -> int | None:
        return self.number

    def proof(self, dev: str, characteristic: str) -> bytes | None:
        return self.last_record

    def consent(self, dev: str) -> Consent | None:
        return None

    def sequence(
        self, dev: str, characteristic: str, number: int | None, proof: bytes | None
    ) -> None:
        assert characteristic == taidoc.CHARACTERISTIC
        self.number, self.last_record = number, proof

    def event(self, dev: str, what: str, detail: str) -> None:
        self.events.append(what)


async def serve(
    home: VirtualHome, device: VirtualDevice, journal: MemoryJournal, notes: MemoryNotes
) -> Ended:
    """Hold one link with ``device``, which is awake meanwhile."""
    around = Surroundings(
        radio=Radio(home.scanner_backend, home.client_backend),
        journal=journal,
        clock=SystemClock(synchronised=lambda: True).read,
        zone=STOCKHOLM,
        limits=QUICK,
        notes=notes,
    )
    async with awake(device):
        await asyncio.sleep(0.05)
        return await converse(
            BLEDevice(device.address, None, None),
            paired=paired_device(device),
            profile=PROFILES[device.profile],
            around=around,
        )


def measured(journal: MemoryJournal, characteristic: str) -> list[Measurement]:
    decoded = [gatt.decode(characteristic, raw) for raw in journal.values(characteristic)]
    return [one for each in decoded if isinstance(each, gatt.Reading) for one in each.measurements]


async def test_a_meter_tells_each_of_its_records_once() -> None:
    journal, notes = MemoryJournal(), MemoryNotes()
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff", Faults(clock_error=timedelta(hours=1)))
        stored = [
            meter.store({**PRESSURE, "systolic": 120 + n}, at=meter.clocks.utc() - age)
            for n, age in enumerate((timedelta(hours=2), timedelta(hours=1), timedelta(0)))
        ]
        ahead_s = 3600 + meter.clock_offset.total_seconds()
        ended = await serve(home, meter, journal, notes)
        assert ended.ending is Ending.DONE
        assert ended.clock_offset_s is not None
        assert abs(ended.clock_offset_s - ahead_s) <= 60
        one = measured(journal, taidoc.CHARACTERISTIC)
        assert [pressure.samples[0].value for pressure in one] == [120, 121, 122]
        assert [pressure.raw for pressure in one] == [record.raw for record in stored]
        assert meter.undelivered == []
        # The hour is corrected now, to the minute.
        assert meter.faults.clock_error == timedelta(0)
        assert abs(meter.clock_offset) < timedelta(seconds=61)
        assert notes.events == []
        await serve(home, meter, journal, notes)
        assert len(measured(journal, taidoc.CHARACTERISTIC)) == 3


async def test_a_meter_whose_link_breaks_is_read_on_in_the_next() -> None:
    journal, notes = MemoryJournal(), MemoryNotes()
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff")
        for hours in range(5, 0, -1):
            age = timedelta(hours=hours)
            meter.store({**PRESSURE, "systolic": 120 + hours}, at=meter.clocks.utc() - age)
        meter.faults = Faults(lose_link_after=2)
        ended = await serve(home, meter, journal, notes)
        assert ended.ending in (Ending.LINK_LOST, Ending.DEVICE_HUNG_UP)
        meter.faults = Faults()
        await serve(home, meter, journal, notes)
    values = [one.samples[0].value for one in measured(journal, taidoc.CHARACTERISTIC)]
    assert values == [125, 124, 123, 122, 121]


@pytest.mark.parametrize(
    ("faults", "values", "flags"),
    [
        (Faults(nan_values=True), PRESSURE, ("measurement_failed",)),
        (Faults(clock_absent=True), PRESSURE, ("device_time_unknown",)),
        (Faults(), {**PRESSURE, "mean": 99, "irregular_pulse": 1}, ("irregular_pulse",)),
    ],
)
async def test_what_a_meter_says_of_a_value(
    faults: Faults, values: dict[str, float], flags: tuple[str, ...]
) -> None:
    journal = MemoryJournal()
    async with VirtualHome(window_s=5) as home:
        meter = await bring(home, "taidoc_cuff", faults)
        meter.store(values)
        await serve(home, meter, journal, MemoryNotes())
    (one,) = measured(journal, taidoc.CHARACTERISTIC)
    assert one.flags == flags


async def test_a_meter_that_does_not_take_the_time_still_tells_its_values() -> None:
    journal, notes = MemoryJournal(), MemoryNotes()
    async with VirtualHome(window_s=5) as home:
        faults = Faults(clock_error=timedelta(days=365), refuses_clock=True)
        meter = await bring(home, "taidoc_cuff", faults)
        meter.store(PRESSURE)
        waiting = asyncio.create_task(serve(home, meter, journal, notes))
        async with asyncio.timeout(5):
            while not measured(journal, taidoc.CHARACTERISTIC):  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert len(measured(journal, taidoc.CHARACTERISTIC)) == 1


async def test_an_oximeter_is_told_when_it_is_enough() -> None:
    journal = MemoryJournal()
    async with VirtualHome(window_s=5) as home:
        oximeter = await bring(home, "nonin_oximeter")
        record = oximeter.store({"spo2": 91, "pulse": 88, "perfusion_index": 2.5, "ticks": 200})
        ended = await serve(home, oximeter, journal, MemoryNotes())
    assert ended.ending is Ending.DEVICE_HUNG_UP
    (one,) = measured(journal, nonin_oximetry.CHARACTERISTIC)
    assert [sample.value for sample in one.samples] == [91, 88, 2.5]
    assert one.raw == record.raw
    frames = journal.values(nonin_oximetry.CHARACTERISTIC)
    assert len(frames) < 50, "it stopped sending when it was told"


async def test_a_finger_that_gives_no_number_gives_no_value() -> None:
    journal = MemoryJournal()
    async with VirtualHome(window_s=5) as home:
        oximeter = await bring(home, "nonin_oximeter")
        oximeter.store({"spo2": math.nan, "pulse": math.nan, "ticks": 6})
        await serve(home, oximeter, journal, MemoryNotes())
    assert measured(journal, nonin_oximetry.CHARACTERISTIC) == []
    assert len(journal.values(nonin_oximetry.CHARACTERISTIC)) == 7


@pytest.mark.parametrize("what", ["taidoc_cuff", "nonin_oximeter"])
async def test_each_is_suggested_by_what_it_advertises(what: str) -> None:
    async with VirtualHome(window_s=5) as home:
        device = await bring(home, what)
        design = device.design
        assert suggest(design.local_name, [design.service])[0].name == design.profile
        assert suggest(None, [design.service])[0].name == design.profile
