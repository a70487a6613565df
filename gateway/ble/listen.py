"""Scan, link up with a paired device when it advertises, hear it out, scan again.

One scanner and one link at a time: a Raspberry Pi's chip does either well and both badly, and a
link made during a scan is often aborted (``le-connection-abort-by-local``). The device served
longest ago goes first, so that one that advertises without end cannot keep the others out.
Disconnects are the normal end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

import structlog
from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from devices.profiles import PROFILES
from gateway.ble.connect import Limits
from gateway.ble.gatt import LINK_ERRORS
from gateway.ble.health import RadioHealth
from gateway.ble.journal import Journal
from gateway.ble.link import Notes, Surroundings
from gateway.ble.objects import Device
from gateway.ble.radio import Radio
from gateway.ble.recovery import Recovery, Trouble
from gateway.ble.room import Room
from gateway.ble.scan import scanning
from gateway.ble.session import Ended, converse
from gateway.ble.subscriptions import Subscriptions
from gateway.ble.turn import Turn
from gateway.ble.watch import Watch
from gateway.clock import ClockReading
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

RADIO_RETRY_FIRST_S = 1.0
RADIO_RETRY_MAX_S = 30.0
JUDGE_EVERY_S = 5.0
QUIET_FIRST_S = 10.0
"""A scan that has heard nothing for so long is begun anew, then after twice that, and so on up to
the time after which a radio may be called deaf. BlueZ can believe that it scans while the kernel
does not (hbldh/bleak#2021), and a fresh scan costs next to nothing."""


@dataclass(frozen=True, slots=True)
class OnBluez:
    """What there is beside bleak where BlueZ is below it (a gateway, not the virtual link)."""

    subscriptions: Subscriptions
    watch: Watch
    recovery: Recovery


@dataclass(slots=True)
class _Ear:
    room: Room
    around: Surroundings
    turn: Turn
    bluez: OnBluez | None
    retry_s: float = RADIO_RETRY_FIRST_S
    quiet_s: float = QUIET_FIRST_S
    adopted: int = -1

    @property
    def stops(self) -> tuple[asyncio.Event, ...]:
        """What ends a scan, beside a device that may be served."""
        wanted = self.turn.wanted
        return (wanted,) if self.bluez is None else (wanted, self.bluez.watch.lost)


async def listen(
    *,
    radio: Radio,
    paired: Callable[[], Sequence[PairedDevice]],
    journal: Journal,
    clock: Callable[[], ClockReading],
    health: RadioHealth,
    zone: tzinfo | None = None,
    limits: Limits | None = None,
    turn: Turn | None = None,
    bluez: OnBluez | None = None,
    notes: Notes | None = None,
    has_room: Callable[[], bool] = lambda: True,
) -> None:
    """Run until cancelled; then hang up and stop scanning first.

    ``paired`` is asked every second while something advertises, so that a device enrolled meanwhile
    is served. ``journal`` keeps each raw value before the device may forget it; while ``has_room``
    says no, nothing is linked up with. ``zone`` is the home's, for the devices' clocks; default
    Sweden's. ``turn`` shares the adapter with who enrols. Raises nothing that a radio, a bus or a
    device can cause.
    """
    around = Surroundings(
        radio=radio,
        journal=journal,
        clock=clock,
        zone=zone or ZoneInfo("Europe/Stockholm"),
        limits=limits or Limits(),
        subscriptions=None if bluez is None else bluez.subscriptions,
        notes=notes,
    )
    ear = _Ear(Room(paired, clock, health, has_room), around, turn or Turn(), bluez)
    if bluez is not None:
        health.on_heard = bluez.recovery.ladder.heard
    while True:
        is_lent = ear.turn.wanted.is_set()
        async with ear.turn.listening():
            if is_lent:
                # Somebody enrolled, or tried to: what was known of bonds and rests may be past.
                ear.room.rested()
                health.bonds_may_be_new()
            await _listen_once(ear)


async def _listen_once(ear: _Ear) -> None:
    """Scan once and serve whoever was heard; gives up the adapter when somebody else wants it."""
    room = ear.room
    if ear.bluez is not None and not await _is_usable(ear, ear.bluez):
        return
    try:
        await _adopt(ear)
        await _scan(ear)
    except LINK_ERRORS as error:
        room.health.absent()
        log.warning("radio_absent", error=type(error).__name__, retry_s=ear.retry_s)
        await _any_of(ear.stops, ear.retry_s)
        ear.retry_s = min(RADIO_RETRY_MAX_S, ear.retry_s * 2)
        await _tend(ear, Trouble.REFUSES)
        return
    ear.retry_s = RADIO_RETRY_FIRST_S
    if room.health.state() == "deaf":
        await _tend(ear, Trouble.DEAF)
    began_s = room.now_s()
    while not ear.turn.wanted.is_set() and (chosen := room.choose()) is not None:
        await _serve(ear, *chosen)
    room.health.paused(room.now_s() - began_s)


async def _is_usable(ear: _Ear, bluez: OnBluez) -> bool:
    """Wait a while for BlueZ and a powered adapter; returns whether they are there."""
    if bluez.watch.usable.is_set():
        return True
    ear.room.health.absent()
    await _any_of((bluez.watch.usable, ear.turn.wanted), JUDGE_EVERY_S)
    if bluez.watch.usable.is_set():
        return True
    await _tend(ear, Trouble.ABSENT)
    return False


async def _tend(ear: _Ear, trouble: Trouble) -> None:
    if ear.bluez is not None:
        await ear.bluez.recovery.tend(trouble, ear.room.now_s())


async def _adopt(ear: _Ear) -> None:
    """Take over links that were there before us: a crashed gateway leaves them, unheard.

    BlueZ keeps a link when who asked for it dies, and a linked device does not advertise.
    """
    if ear.bluez is None:
        return
    bus = ear.bluez.subscriptions.bus
    if ear.adopted == bus.bluez_starts:
        return
    ear.adopted = bus.bluez_starts
    objects = await bus.managed_objects()
    for address, paired in ear.room.known(ear.room.now_s()).items():
        device = objects.device(address)
        if device is not None and device.is_connected:
            log.info("link_adopted", dev=paired.dev)
            ear.room.sighted(_bleak_device(device))


def _bleak_device(device: Device) -> BLEDevice:
    properties = {"Adapter": device.adapter_path, "Alias": device.name}
    return BLEDevice(device.address, device.name, {"path": device.path, "props": properties})


async def _scan(ear: _Ear) -> None:
    """Scan until a paired device may be served, a fresh scan is called for, or something stops it.

    Raises one of LINK_ERRORS where no scan can be started.
    """
    room = ear.room
    if room.may_serve():
        return
    room.scan_begins()
    backend = ear.around.radio.scanner_backend
    scanner = BleakScanner(detection_callback=room.on_advertisement, backend=backend)
    async with scanning(scanner):
        began_s = room.now_s()
        room.health.started(began_s)
        while not room.may_serve() and not any(stop.is_set() for stop in ear.stops):
            if room.health.judge(room.now_s()):
                log.info("scan_restarted", radio=room.health.state(), resets=room.health.resets)
                return
            if room.is_scan_old:
                log.info("scan_begun_anew", why="old")
                return
            if _is_quiet(ear, began_s):
                return
            room.something.clear()
            limit_s = min(JUDGE_EVERY_S, room.health.deaf_after_s)
            await _any_of((room.something, *ear.stops), room.wait_s(limit_s))


def _is_quiet(ear: _Ear, began_s: float) -> bool:
    """Tell whether this scan has heard nothing for so long that a fresh one is called for."""
    heard_s, now_s = ear.room.health.last_heard_s, ear.room.now_s()
    if heard_s is not None and heard_s >= began_s:
        ear.quiet_s = QUIET_FIRST_S
        return False
    if now_s - began_s < ear.quiet_s:
        return False
    log.info("scan_begun_anew", why="quiet", quiet_s=ear.quiet_s)
    ear.quiet_s = min(ear.room.health.deaf_after_s, ear.quiet_s * 2)
    return True


async def _any_of(events: Sequence[asyncio.Event], limit_s: float) -> None:
    """Wait until one of ``events`` is set, at most ``limit_s``."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _serve(ear: _Ear, device: PairedDevice, ble_device: BLEDevice) -> None:
    profile = PROFILES.get(device.profile)
    if profile is None:
        log.error("device_profile_unknown", dev=device.dev, profile=device.profile)
        ear.room.served(device, Ended(None, 0, None, cause="profile_unknown"))
        return
    log.info("device_heard", dev=device.dev, profile=profile.name)
    ended = await converse(ble_device, paired=device, profile=profile, around=ear.around)
    ear.room.served(device, ended)
