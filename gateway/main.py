"""The gateway's process: everything is made, wired and started here, and taken down in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from gateway import glucose_context
from gateway.answers import Answers
from gateway.ble.health import RadioHealth
from gateway.ble.radio import Radio
from gateway.boot_clock import BootClock
from gateway.clock import ClockReading, SystemClock, boot_id
from gateway.device_notes import DeviceNotes
from gateway.errors import SettingsInvalid, StorageFull
from gateway.health import Health
from gateway.intake import Intake
from gateway.link import Broker
from gateway.outbox import Outbox
from gateway.radio_side import RadioSide, start_radio_side
from gateway.rows import JournalRow
from gateway.running import Notice, only_one
from gateway.settings import Settings
from gateway.uplink import Uplink

log = structlog.get_logger("gateway.main")

SHUTDOWN_TIMEOUT_S = 8.0
UPKEEP_INTERVAL_S = 3600.0
CLOCK_AWAITED_MS = 3_000
"""A value that came before its device's clock was read waits so long for it, and no longer."""

OnEvent = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class DurableJournal:
    """What the Bluetooth callback writes to: on disk when ``append`` returns (contract.md 1)."""

    outbox: Outbox
    clock: Callable[[], ClockReading]
    bell: asyncio.Event
    on_event: OnEvent

    def append(self, *, dev: str, model: str, characteristic: str, raw: bytes) -> None:
        """Keep the bytes; raises StorageFull or StorageUnusable where that is impossible."""
        reading = self.clock()
        number = self.outbox.journal(
            dev=dev, model=model, characteristic=characteristic, raw=raw, reading=reading
        )
        self.on_event(
            "journaled",
            {"journal": number, "boot": self.outbox.boot, "dev": dev, "mono_ms": reading.mono_ms},
        )
        self.bell.set()


async def run(
    settings: Settings,
    *,
    radio: Radio | None = None,
    stop: asyncio.Event,
    on_event: OnEvent | None = None,
    clock: Callable[[], ClockReading] | None = None,
) -> None:
    """Run a gateway until ``stop`` is set.

    ``radio`` names bleak's backends, None is BlueZ with all it needs. ``on_event`` is told what
    happens to rows: "journaled", "queued", "puback", "stored", "seen", "nacked". ``clock`` is read
    for the time, None for the machine's. Raises SettingsInvalid and StorageUnusable; a radio or a
    broker that is away is waited for.
    """
    tell = on_event or _tell_nobody
    with only_one(settings.data), _open_outbox(settings) as outbox:
        async with asyncio.TaskGroup() as group:
            parts = _Parts(settings, outbox, radio, clock or SystemClock().read, tell)
            await _run_in(group, parts, stop)


@dataclass(frozen=True, slots=True)
class _Parts:
    settings: Settings
    outbox: Outbox
    radio: Radio | None
    clock: Callable[[], ClockReading]
    tell: OnEvent


async def _run_in(group: asyncio.TaskGroup, parts: _Parts, stop: asyncio.Event) -> None:
    settings, outbox, clock, tell = parts.settings, parts.outbox, parts.clock, parts.tell
    zone = ZoneInfo(settings.timezone)
    intake_bell, uplink_bell, radio_health = asyncio.Event(), asyncio.Event(), RadioHealth()
    uplink = _uplink(settings, outbox, clock, radio_health, uplink_bell, tell)
    radio_side = start_radio_side(
        group,
        settings=settings,
        outbox=outbox,
        radio=parts.radio,
        journal=DurableJournal(outbox, clock, intake_bell, tell),
        notes=DeviceNotes(outbox=outbox, clock=clock, uplink_bell=uplink_bell),
        clock=clock,
        health=radio_health,
    )
    intake = Intake(
        outbox=outbox,
        zone=zone,
        bell=intake_bell,
        uplink_bell=uplink_bell,
        on_event=tell,
        not_yet=lambda row: _waits(row, radio_side, clock().mono_ms),
    )
    taking = group.create_task(intake.run(stop), name="intake")
    sending = group.create_task(uplink.run(stop), name="uplink")
    keeping = group.create_task(_upkeep(outbox, clock), name="upkeep")
    boot_clock = BootClock(outbox=outbox, clock=clock, zone=zone, bell=uplink_bell)
    notice = Notice(outbox=outbox, clock=clock, radio=radio_health, link=lambda: uplink.link)
    noticing = group.create_task(notice.run(), name="notice")
    righting = group.create_task(boot_clock.run(), name="boot_clock")
    log.info("started", gateway=settings.name, outbox=outbox.counts().open)
    await stop.wait()
    # In the path's order: nothing new comes in, what came is queued, then the last status goes.
    keeping.cancel()
    righting.cancel()
    noticing.cancel()
    radio_side.listening.cancel()
    intake_bell.set()
    uplink_bell.set()
    going = (radio_side.listening, taking, sending)
    _, late = await asyncio.wait(going, timeout=SHUTDOWN_TIMEOUT_S)
    # After the last link: values come, and hanging up goes, over the bus.
    for task in radio_side.beside:
        task.cancel()
    for task in late:
        log.warning("stopped_late", task=task.get_name())
        task.cancel()


def _waits(row: JournalRow, radio_side: RadioSide, now_ms: int) -> bool:
    age_ms = now_ms - row.reading.mono_ms
    if glucose_context.announces(row) and age_ms < glucose_context.GRACE_MS:
        return True
    return radio_side.awaits_clock(row.dev) and age_ms < CLOCK_AWAITED_MS


def _uplink(
    settings: Settings,
    outbox: Outbox,
    clock: Callable[[], ClockReading],
    radio_health: RadioHealth,
    bell: asyncio.Event,
    tell: OnEvent,
) -> Uplink:
    jitter = random.SystemRandom().random
    return Uplink(
        broker=Broker(
            settings.name, settings.mqtt_host, settings.mqtt_port, _password(settings.password_file)
        ),
        outbox=outbox,
        clock=clock,
        answers=Answers(
            outbox=outbox,
            gateway=settings.name,
            key=settings.config_key,
            clock=clock,
            jitter=jitter,
        ),
        status=Health(outbox=outbox, clock=clock, radio=radio_health, data=settings.data),
        bell=bell,
        jitter=jitter,
        on_event=tell,
    )


async def _upkeep(outbox: Outbox, clock: Callable[[], ClockReading]) -> None:
    while True:
        reading = clock()
        # With a clock that was never set, "7 days ago" means nothing.
        if reading.quality != "none":
            _discard(outbox, reading)
        await asyncio.sleep(UPKEEP_INTERVAL_S)


def _discard(outbox: Outbox, reading: ClockReading) -> None:
    try:
        if discarded := outbox.discard_acked(reading.utc):
            log.info("acked_rows_discarded", rows=discarded)
    except StorageFull as error:
        # Only the disk can be that full, and even deleting needs some of it: the next hour again.
        log.warning("outbox_full", reason=error.reason, remedy=error.remedy)


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise SettingsInvalid(
            f"The password file {path} cannot be read.", "Check HEMMA_MQTT_PASSWORD_FILE."
        ) from error


@contextmanager
def _open_outbox(settings: Settings) -> Iterator[Outbox]:
    outbox = Outbox(settings.database, boot_id(), quota_bytes=settings.quota_bytes)
    try:
        yield outbox
    finally:
        outbox.close()


def _tell_nobody(_event: str, _fields: Mapping[str, object]) -> None:
    return
