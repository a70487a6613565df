"""Every kind of device through the gateway, and what a device deletes always kept before.

What is confirmed a device forgets, so the rule of this file: nothing that ``device.confirmed``
holds may be missing from the journal, whatever goes wrong on the way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from devices import gatt
from devices.conversation import Consent
from devices.gatt.reading import Reading
from devices.virtual.designs import DESIGNS
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from devices.virtual.home import VirtualHome
from gateway.ble.health import RadioHealth
from gateway.ble.listen import listen
from gateway.ble.radio import Radio
from gateway.clock import SystemClock
from tests.devices.virtual.fix_visit import PLAIN, bring
from tests.gateway.ble.fix_home import QUICK, MemoryJournal, paired_device, until


@dataclass
class Memory:
    """What the gateway remembers of its devices between links."""

    numbers: dict[tuple[str, str], tuple[int, bytes | None]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def last_sequence(self, dev: str, characteristic: str) -> int | None:
        return self.numbers.get((dev, characteristic), (None, None))[0]

    def proof(self, dev: str, characteristic: str) -> bytes | None:
        return self.numbers.get((dev, characteristic), (None, None))[1]

    def consent(self, dev: str) -> Consent | None:
        return Consent(1, 1234)

    def sequence(
        self, dev: str, characteristic: str, number: int | None, proof: bytes | None
    ) -> None:
        if number is None:
            self.numbers.pop((dev, characteristic), None)
        else:
            self.numbers[dev, characteristic] = number, proof

    def event(self, dev: str, what: str, detail: str) -> None:
        self.events.append(what)


@asynccontextmanager
async def gateway_with(
    what: str, **faults: Any
) -> AsyncIterator[tuple[VirtualDevice, MemoryJournal, Memory]]:
    """A device of that kind, and a gateway that is listening and knows it."""
    async with VirtualHome(window_s=4.0) as home:
        device = await bring(home, what, Faults(**faults))
        journal, memory = MemoryJournal(), Memory()
        task = asyncio.create_task(
            listen(
                radio=Radio(home.scanner_backend, home.client_backend),
                paired=lambda: [paired_device(device)],
                journal=journal,
                clock=SystemClock(synchronised=lambda: True).read,
                health=RadioHealth(),
                limits=QUICK,
                notes=memory,
            )
        )
        try:
            yield device, journal, memory
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def kept(device: VirtualDevice, journal: MemoryJournal) -> list[bytes]:
    return journal.values(device.design.measurement)


def lost(device: VirtualDevice, journal: MemoryJournal) -> list[bytes]:
    """What the device deleted and nobody kept; a sensor's records come several in a value."""
    return [raw for raw in device.confirmed if not any(raw in one for one in kept(device, journal))]


@pytest.mark.parametrize("what", DESIGNS)
async def test_a_plain_reading_is_kept(what: str) -> None:
    async with gateway_with(what) as (device, journal, memory):
        report = await device.measure(PLAIN[what])
        assert report.delivered
        await until(lambda: bool(kept(device, journal)))
        decoded = [gatt.decode(device.design.measurement, raw) for raw in kept(device, journal)]
        measured = [
            one for each in decoded if isinstance(each, Reading) for one in each.measurements
        ]
        assert measured[0].kind in device.design.kinds
        assert lost(device, journal) == []
        assert memory.events == []


ANYWHERE: dict[str, dict[str, Any]] = {
    "digits": {"passkey": 7},
    "clock_a_year_wrong": {"clock_error": timedelta(days=-365)},
    "clock_absent": {"clock_absent": True},
    "failed": {"nan_values": True},
    "link_lost": {"lose_link_after": 1},
    "confirmation_lost": {"lose_confirmation": True},
    "services_incomplete": {"services_incomplete": True},
    "slow": {"slow_answers_s": 0.02},
    "hangs_up_early": {"hangs_up_after_s": 0.3},
}
SENT_BY_ITSELF: dict[str, dict[str, Any]] = {
    "clock_an_hour_wrong": {"clock_error": timedelta(hours=1)},
    "refuses_clock": {"refuses_clock": True},
    "duplicates": {"duplicate_records": 2},
    "other_user": {"other_user": 2},
    "unknown_user": {"other_user": 255},
}
ASKED_FOR: dict[str, dict[str, Any]] = {
    "numbering_restarted": {"numbering_restarted": True},
    "cannot_filter": {"cannot_filter": True},
    "withholds": {"withholds_records": 1},
}
WRONG = [
    pytest.param(what, faults, id=f"{what}-{name}")
    for what, more in (("cuff", SENT_BY_ITSELF), ("glucose_meter", ASKED_FOR), ("cgm", ASKED_FOR))
    for name, faults in (ANYWHERE | more).items()
]


@pytest.mark.parametrize(("what", "faults"), WRONG)
async def test_nothing_a_device_deletes_is_missing(what: str, faults: dict[str, Any]) -> None:
    async with gateway_with(what) as (device, journal, _):
        assert (await device.measure(PLAIN[what])).delivered
        device.window_s = 1.5
        device.switch(**faults)
        for _ in range(3):
            device.store(PLAIN[what])
        await device.wake()
        assert lost(device, journal) == []
        device.faults, device.window_s = Faults(), 4.0
        await device.measure(PLAIN[what])
        assert lost(device, journal) == []
        assert device.undelivered == []
