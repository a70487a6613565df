"""Scan, link up with a paired device when it advertises, hear it out, scan again.

One scanner and one link at a time: a Raspberry Pi's chip does either well and both badly, and a
link made during a scan is often aborted (``le-connection-abort-by-local``). The device served
longest ago goes first, so that one that advertises without end cannot keep the others out.
Disconnects are the normal end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from zoneinfo import ZoneInfo

import structlog
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from devices.conversation import Ending
from devices.profiles import PROFILES
from gateway.ble.health import RadioHealth
from gateway.ble.radio import Radio
from gateway.ble.session import LINK_ERRORS, Ended, Journal, Limits, converse
from gateway.clock import ClockReading
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

SIGHTING_MAX_S = 15.0
"""How long an advertisement is good for; a device heard earlier may have gone to sleep."""
REST_FIRST_S = 0.5
REST_MAX_S = 30.0
"""Rest after a link that brought nothing, doubling. It stays below the time such devices advertise,
so that a cuff once out of reach is not left waiting. No jitter: this radio has one user."""
RADIO_RETRY_FIRST_S = 1.0
RADIO_RETRY_MAX_S = 30.0
PAIRED_AGE_MAX_S = 1.0
"""Hundreds of advertisements a second come in where people live close; each is looked up."""
JUDGE_EVERY_S = 5.0
SCANNER_STOP_MAX_S = 5.0


@dataclass(slots=True)
class _Rest:
    served_s: float = 0.0
    failures: int = 0
    until_s: float = 0.0


@dataclass(slots=True)
class _Room:
    """What listening knows: who was heard when, who rests."""

    paired: Callable[[], Sequence[PairedDevice]]
    clock: Callable[[], ClockReading]
    health: RadioHealth
    sightings: dict[str, tuple[float, BLEDevice]] = field(default_factory=dict)
    rests: dict[str, _Rest] = field(default_factory=dict)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    _known: dict[str, PairedDevice] = field(default_factory=dict)
    _asked_s: float = float("-inf")

    def now_s(self) -> float:
        return self.clock().mono_ms / 1000

    def known(self, now_s: float) -> dict[str, PairedDevice]:
        """The paired devices by address; asked for anew when what is known is a second old."""
        if now_s - self._asked_s >= PAIRED_AGE_MAX_S:
            self._asked_s = now_s
            self._known = {device.address.upper(): device for device in self.paired()}
        return self._known

    def on_advertisement(self, device: BLEDevice, _data: AdvertisementData) -> None:
        now_s = self.now_s()
        self.health.heard(now_s)
        address = device.address.upper()
        if address in self.known(now_s):
            self.sightings[address] = (now_s, device)
            self.something.set()

    def choose(self) -> tuple[PairedDevice, BLEDevice] | None:
        """The paired device, heard lately and not resting, that was served longest ago."""
        now_s = self.now_s()
        known = self.known(now_s)
        self.sightings = {
            address: sighting
            for address, sighting in self.sightings.items()
            if address in known and now_s - sighting[0] <= SIGHTING_MAX_S
        }
        ready = [
            address
            for address in self.sightings
            if self.rests.setdefault(address, _Rest()).until_s <= now_s
        ]
        if not ready:
            return None
        address = min(ready, key=lambda address: self.rests[address].served_s)
        _, device = self.sightings.pop(address)
        return known[address], device

    def served(self, paired: PairedDevice, ended: Ended) -> None:
        """Note how it went; a link that brought nothing earns the device a rest."""
        reading = self.clock()
        now_s = reading.mono_ms / 1000
        rest = self.rests.setdefault(paired.address.upper(), _Rest())
        rest.served_s = now_s
        if ended.values > 0 and ended.ending is not Ending.NOT_KEPT:
            rest.failures, rest.until_s = 0, now_s
        else:
            rest.failures += 1
            rest.until_s = now_s + min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(rest.failures - 1, 16))
        ending = ended.ending.value if ended.ending is not None else "no_link"
        self.health.ended(paired.dev, ending, reading.utc, ended.clock_offset_s)
        log.info(
            "device_link_ended",
            dev=paired.dev,
            ending=ending,
            values=ended.values,
            cause=ended.cause,
            failures=rest.failures,
        )


async def listen(
    *,
    radio: Radio,
    paired: Callable[[], Sequence[PairedDevice]],
    journal: Journal,
    clock: Callable[[], ClockReading],
    health: RadioHealth,
    zone: tzinfo | None = None,
    limits: Limits | None = None,
) -> None:
    """Run until cancelled; then hang up and stop scanning first.

    ``paired`` is asked every second while something advertises, so that a device enrolled meanwhile
    is served. ``journal`` keeps each raw value before the device may forget it. ``zone`` is the
    home's, for the devices' clocks; default Sweden's. Raises nothing that a radio, a bus or a
    device can cause.
    """
    room = _Room(paired, clock, health)
    home_zone = zone or ZoneInfo("Europe/Stockholm")
    scanner = BleakScanner(detection_callback=room.on_advertisement, backend=radio.scanner_backend)
    retry_s = RADIO_RETRY_FIRST_S
    while True:
        try:
            await _scan(scanner, room)
        except LINK_ERRORS as error:
            health.absent()
            log.warning("radio_absent", error=type(error).__name__, retry_s=retry_s)
            await asyncio.sleep(retry_s)
            retry_s = min(RADIO_RETRY_MAX_S, retry_s * 2)
            continue
        retry_s = RADIO_RETRY_FIRST_S
        began_s = room.now_s()
        while (chosen := room.choose()) is not None:
            device, ble_device = chosen
            await _serve(room, device, ble_device, radio, journal, home_zone, limits or Limits())
        health.paused(room.now_s() - began_s)


async def _scan(scanner: BleakScanner, room: _Room) -> None:
    """Scan until a paired device that may be served is heard, or a fresh scan is called for."""
    await scanner.start()
    room.health.started(room.now_s())
    try:
        while not _may_serve(room):
            if room.health.judge(room.now_s()):
                log.info("scan_restarted", radio=room.health.state(), resets=room.health.resets)
                return
            room.something.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_wait_s(room)):
                    await room.something.wait()
    finally:
        # A scan that cannot be stopped must not hide why it was to stop, least of all a
        # cancellation; the next start then says what is wrong.
        with suppress(*LINK_ERRORS):
            async with asyncio.timeout(SCANNER_STOP_MAX_S):
                await scanner.stop()


def _may_serve(room: _Room) -> bool:
    now_s = room.now_s()
    return any(
        now_s - seen_s <= SIGHTING_MAX_S
        and room.rests.setdefault(address, _Rest()).until_s <= now_s
        for address, (seen_s, _) in room.sightings.items()
    )


def _wait_s(room: _Room) -> float:
    """Until something may have changed: the end of a heard device's rest, else the next judging."""
    now_s = room.now_s()
    ends = [
        room.rests[address].until_s - now_s for address in room.sightings if address in room.rests
    ]
    return max(
        0.05, min([JUDGE_EVERY_S, room.health.deaf_after_s, *(end for end in ends if end > 0)])
    )


async def _serve(
    room: _Room,
    device: PairedDevice,
    ble_device: BLEDevice,
    radio: Radio,
    journal: Journal,
    zone: tzinfo,
    limits: Limits,
) -> None:
    profile = PROFILES.get(device.profile)
    if profile is None:
        log.error("device_profile_unknown", dev=device.dev, profile=device.profile)
        room.served(device, Ended(None, 0, None, cause="profile_unknown"))
        return
    log.info("device_heard", dev=device.dev, profile=profile.name)
    ended = await converse(
        ble_device,
        paired=device,
        profile=profile,
        radio=radio,
        journal=journal,
        clock=room.clock,
        zone=zone,
        limits=limits,
    )
    room.served(device, ended)
