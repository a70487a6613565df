"""Meters and sensors with a memory, through the real session, journal, intake and notes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from bleak.backends.device import BLEDevice

from devices import wire
from devices.conversation import Consent, Ending
from devices.profiles import PROFILES
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from devices.virtual.home import VirtualHome
from devices.virtual.scale import DEMO_CODE
from gateway.ble.journal import Journal
from gateway.ble.link import Surroundings
from gateway.ble.radio import Radio
from gateway.ble.session import Ended, converse
from gateway.consents import write_consent
from gateway.device_notes import DeviceNotes
from gateway.errors import StorageFull
from tests.devices.virtual.fix_visit import PLAIN, awake, bring
from tests.gateway.ble.fix_home import QUICK, paired_device
from tests.gateway.fix_home import STOCKHOLM, Home, make_home, written_items


@dataclass
class Gateway:
    """The whole way from the radio to the outbox, for one device."""

    virtual: VirtualHome
    device: VirtualDevice
    home: Home

    @property
    def notes(self) -> DeviceNotes:
        return DeviceNotes(
            outbox=self.home.outbox, clock=self.home.clock.read, uplink_bell=self.home.bell
        )

    async def link(self, journal: Journal | None = None) -> Ended:
        around = Surroundings(
            radio=Radio(self.virtual.scanner_backend, self.virtual.client_backend),
            journal=journal or self.home.journal,
            clock=self.home.clock.read,
            zone=STOCKHOLM,
            limits=QUICK,
            notes=self.notes,
        )
        async with awake(self.device):
            await asyncio.sleep(0.05)
            ended = await converse(
                BLEDevice(self.device.address, None, None),
                paired=paired_device(self.device),
                profile=PROFILES[self.device.profile],
                around=around,
            )
        self.home.intake.take_all()
        return ended

    def store(self, *minutes_ago: float) -> None:
        for number, minutes in enumerate(minutes_ago):
            at = self.device.clocks.utc() - timedelta(minutes=minutes)
            self.device.store({**PLAIN["glucose_meter"], "glucose": 5.0 + number / 10}, at=at)

    def values(self) -> list[wire.Item]:
        return [
            item
            for item in written_items(self.home)
            if item.type == "value" and item.kind != "battery"
        ]

    def events(self) -> list[str | None]:
        return [item.event for item in written_items(self.home) if item.type == "event"]


@dataclass
class FullFrom:
    """A journal whose disk is full from such a glucose record on."""

    journal: Journal
    records: int

    def append(self, *, dev: str, model: str, characteristic: str, raw: bytes) -> None:
        if characteristic == "2A18":
            if self.records == 0:
                raise StorageFull("The disk is full.", "Free some.")
            self.records -= 1
        self.journal.append(dev=dev, model=model, characteristic=characteristic, raw=raw)


@asynccontextmanager
async def gateway_of(name: str, path: Path, faults: Faults) -> AsyncIterator[Gateway]:
    async with VirtualHome(window_s=5) as virtual:
        device = await bring(virtual, name, faults)
        home = make_home(path / "outbox.sqlite3")
        yield Gateway(virtual, device, home)
        home.outbox.close()


async def test_a_meters_memory_comes_once_with_its_meals(tmp_path: Path) -> None:
    async with gateway_of("glucose_meter", tmp_path, Faults()) as gateway:
        gateway.store(600, 300, 5)
        await gateway.link()
        first = gateway.values()
        assert [item.dev_seq for item in first] == [1, 2, 3]
        assert {item.ctx["meal"] for item in first} == {"after_meal"}
        assert gateway.notes.last_sequence(gateway.device.dev, "2A18") == 3
        gateway.store(1)
        await gateway.link()
        assert [item.dev_seq for item in gateway.values()] == [1, 2, 3, 4]
        assert gateway.events() == []


@pytest.mark.parametrize("records", [1, 2, 4])
async def test_a_link_lost_amid_the_memory_is_gone_on_with(tmp_path: Path, records: int) -> None:
    async with gateway_of("glucose_meter", tmp_path, Faults(lose_link_after=records)) as gateway:
        gateway.store(50, 40, 30, 20, 10)
        ended = await gateway.link()
        assert ended.ending in (Ending.DEVICE_HUNG_UP, Ending.LINK_LOST)
        gateway.device.faults = Faults()
        await gateway.link()
        assert Counter(item.dev_seq for item in gateway.values()) == Counter(range(1, 6))


@pytest.mark.parametrize("aborts_late", [False, True])
async def test_a_full_disk_amid_the_memory_aborts_and_loses_nothing(
    tmp_path: Path, aborts_late: bool
) -> None:
    faults = Faults(aborts_late=aborts_late)
    async with gateway_of("glucose_meter", tmp_path, faults) as gateway:
        gateway.store(50, 40, 30, 20, 10)
        ended = await gateway.link(FullFrom(gateway.home.journal, 2))
        assert ended.ending is Ending.NOT_KEPT
        assert gateway.notes.last_sequence(gateway.device.dev, "2A18") in (None, 1, 2)
        await gateway.link()
        assert Counter(item.dev_seq for item in gateway.values()) == Counter(range(1, 6))


async def test_a_change_of_batteries_is_noticed_and_all_is_read(tmp_path: Path) -> None:
    async with gateway_of("glucose_meter", tmp_path, Faults()) as gateway:
        gateway.store(50, 40)
        await gateway.link()
        gateway.device.switch(numbering_restarted=True)
        gateway.store(30, 20, 10)
        await gateway.link()
        assert sorted(item.dev_seq or 0 for item in gateway.values()) == [1, 1, 2, 2, 3]
        assert gateway.events() == ["numbering_restarted"]


@pytest.mark.parametrize(
    ("faults", "events"),
    [
        (Faults(cannot_filter=True), []),
        (Faults(clock_error=timedelta(hours=1)), []),
        (Faults(clock_absent=True), []),
        (Faults(refuses_clock=True, clock_error=timedelta(days=365)), ["clock_refused"]),
    ],
)
async def test_a_meter_with_a_fault_loses_nothing(
    tmp_path: Path, faults: Faults, events: list[str]
) -> None:
    async with gateway_of("glucose_meter", tmp_path, faults) as gateway:
        gateway.store(30, 20)
        await gateway.link()
        gateway.store(10)
        await gateway.link()
        assert [item.dev_seq for item in gateway.values()] == [1, 2, 3]
        assert gateway.events() == events


async def test_records_that_are_withheld_are_told_of_and_fetched_later(tmp_path: Path) -> None:
    async with gateway_of("glucose_meter", tmp_path, Faults(withholds_records=2)) as gateway:
        gateway.store(30, 20, 10)
        await gateway.link()
        assert [item.dev_seq for item in gateway.values()] == [1]
        assert gateway.events() == ["records_missing"]
        gateway.device.faults = Faults()
        await gateway.link()
        assert [item.dev_seq for item in gateway.values()] == [1, 2, 3]


async def test_a_wrong_clock_of_a_meter_is_corrected(tmp_path: Path) -> None:
    async with gateway_of(
        "glucose_meter", tmp_path, Faults(clock_error=timedelta(hours=-5))
    ) as gateway:
        gateway.store(30)
        await gateway.link()
        (item,) = gateway.values()
        assert item.tq == "corrected"
        assert item.t is not None
        age = gateway.home.clock.read().utc - item.t
        assert abs(age - timedelta(minutes=30)) < timedelta(minutes=1)


@pytest.mark.parametrize("name", ["cgm", "cgm_with_crc"])
async def test_a_sensors_memory_comes_once_with_its_times(tmp_path: Path, name: str) -> None:
    async with gateway_of(name, tmp_path, Faults()) as gateway:
        gateway.store(25, 20, 15, 10)
        await gateway.link()
        gateway.store(5)
        await gateway.link()
        ages = [
            round((gateway.home.clock.read().utc - item.t).total_seconds() / 60)
            for item in gateway.values()
            if item.t is not None
        ]
        assert len(ages) == 5
        for age, expected in zip(ages, (25, 20, 15, 10, 5), strict=True):
            assert abs(age - expected) <= 1
        assert {item.tq for item in gateway.values()} <= {"device", "corrected"}
        assert gateway.events() == []


async def test_a_second_sensor_begins_its_own_minutes(tmp_path: Path) -> None:
    async with gateway_of("cgm", tmp_path, Faults()) as gateway:
        gateway.store(10)
        await gateway.link()
        gateway.device.switch(numbering_restarted=True)
        gateway.store(0)
        gateway.device.switch_off("numbering_restarted")
        await gateway.link()
        assert len(gateway.values()) == 2
        for item in gateway.values():
            assert item.t is not None
            assert abs(gateway.home.clock.read().utc - item.t) < timedelta(minutes=12)


async def test_a_sensor_without_the_time_is_told_it(tmp_path: Path) -> None:
    async with gateway_of("cgm", tmp_path, Faults(clock_absent=True)) as gateway:
        gateway.store(10, 5)
        await gateway.link()
        assert len(gateway.values()) == 2


async def test_a_cuff_of_two_says_when_it_does_not_know_whose_value_it_has(tmp_path: Path) -> None:
    async with gateway_of("two_user_cuff", tmp_path, Faults(other_user=255)) as gateway:
        write_consent(gateway.home.outbox.connection, gateway.device.dev, Consent(1, 1234))
        gateway.device.store(PLAIN["two_user_cuff"])
        await gateway.link()
        (item,) = gateway.values()
        assert "user_index" not in item.ctx
        assert gateway.events() == ["unknown_user"]


@pytest.mark.parametrize(
    ("consent", "values", "events"),
    [
        (Consent(1, DEMO_CODE), 2, []),
        (Consent(1, DEMO_CODE + 5), 0, ["consent_refused"]),
        (None, 0, ["consent_missing"]),
    ],
)
async def test_a_scale_that_wants_a_code_is_given_it(
    tmp_path: Path, consent: Consent | None, values: int, events: list[str]
) -> None:
    async with gateway_of("body_composition", tmp_path, Faults(hangs_up_after_s=1.0)) as gateway:
        write_consent(gateway.home.outbox.connection, gateway.device.dev, consent)
        gateway.device.store(PLAIN["body_composition"])
        await gateway.link()
        assert len(gateway.values()) == values
        assert gateway.events() == events
        # What it kept back comes when it has been told.
        write_consent(gateway.home.outbox.connection, gateway.device.dev, Consent(1, DEMO_CODE))
        await gateway.link()
        assert sorted(item.kind or "" for item in gateway.values()) == [
            "body_composition",
            "body_weight",
        ]
