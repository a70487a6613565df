"""A gateway of a test's own, unmodified, in this process: its radio is the guest's BlueZ."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from bleak.backends.bluezdbus.manager import _global_instances
from structlog.testing import LogCapture

from devices import wire
from devices.virtual.device import Report, VirtualDevice
from gateway.clock import ClockReading, SystemClock
from gateway.main import run
from gateway.paired import PairedDevice
from gateway.running import last_notice
from gateway.settings import Settings
from gateway.storage import open_storage
from tests.ble.bluez import Bluez, until

NO_BROKER_PORT: Final = 1
"""Nobody listens there: what is measured stays in the outbox, where the test reads it."""
VALUES: Final[Mapping[str, float]] = {
    "systolic": 128,
    "diastolic": 79,
    "mean": 95,
    "pulse": 66,
    "weight": 71.4,
    "temperature": 36.9,
    "spo2": 97,
    "glucose": 6.1,
    "heart_rate": 71,
    "body_fat": 24.0,
    "user": 1,
}


def right_clock(clock: SystemClock) -> ClockReading:
    """Read the machine's clock as one that a gateway trusts; with no NTP here it would set none."""
    return replace(clock.read(), quality="ntp")


@dataclass(slots=True)
class Home:
    """A gateway's folder, its process while it runs, and what came of it."""

    data: Path
    bluez: Bluez
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    captured: LogCapture = field(default_factory=LogCapture)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _running: asyncio.Task[None] | None = None

    @property
    def settings(self) -> Settings:
        """What the gateway is told at its start."""
        return Settings(name="gw-1", data=self.data, mqtt_port=NO_BROKER_PORT)

    @property
    def is_running(self) -> bool:
        """Whether the gateway was started and has not ended."""
        return self._running is not None and not self._running.done()

    async def start(self, *, listening: bool = True) -> None:
        """Start the gateway; returns when it listens, or at once where it cannot yet."""
        assert self._running is None, "it runs already"
        self._stop.clear()
        structlog.configure(processors=[self.captured])
        self._running = asyncio.create_task(
            run(
                self.settings,
                stop=self._stop,
                on_event=self._on_event,
                clock=partial(right_clock, SystemClock()),
            ),
            name="gateway",
        )
        if listening:
            await until(self._is_listening, "the gateway listens")

    async def stop(self) -> None:
        """Stop it in order; raises what it died of, if it did."""
        running, self._running = self._running, None
        if running is not None:
            self._stop.set()
            await running
        await _leave_the_bus()

    async def restart(self) -> None:
        """Stop it and start it again on the same folder."""
        await self.stop()
        await self.start()

    def enrol(self, device: VirtualDevice) -> None:
        """Note that the device belongs here; a bond is another matter."""
        self.data.mkdir(parents=True, exist_ok=True)
        mine = PairedDevice(device.address, device.model, device.profile)
        with closing(open_storage(self.settings.database, quota_bytes=1 << 28)) as connection:
            connection.execute(
                "INSERT INTO paired (address, model, profile) VALUES (?, ?, ?)",
                (mine.address, mine.model, mine.profile),
            )

    def consent(self, device: VirtualDevice, user_index: int, code: int) -> None:
        """Note as whom the gateway may ask a device that keeps its users apart."""
        self.data.mkdir(parents=True, exist_ok=True)
        with closing(open_storage(self.settings.database, quota_bytes=1 << 28)) as connection:
            connection.execute(
                "INSERT INTO consent (dev, user_index, code) VALUES (?, ?, ?)",
                (device.dev, user_index, code),
            )

    def items(self, device: VirtualDevice | None = None) -> list[wire.Item]:
        """Read what is in the outbox, oldest first, of one device or of all."""
        items = [wire.decode_item(row[0]) for row in self._rows("SELECT item FROM outbox")]
        return [item for item in items if device is None or item.dev == device.dev]

    def states(self, device: VirtualDevice) -> list[str]:
        """How far each of the device's rows has come."""
        rows = self._rows("SELECT item, state FROM outbox")
        return [state for item, state in rows if wire.decode_item(item).dev == device.dev]

    def readings(self, device: VirtualDevice) -> list[wire.Item]:
        """Read the values of what the device measures: not its battery, not events."""
        return [
            item
            for item in self.items(device)
            if item.type == "value" and item.kind in device.design.kinds and item.kind != "battery"
        ]

    def events(self, device: VirtualDevice) -> list[wire.Item]:
        """Read the facts about measuring that the gateway noted."""
        return [item for item in self.items(device) if item.type == "event"]

    def logged(self, event: str, **fields: object) -> list[MutableMapping[str, Any]]:
        """Return the log's entries of that name that have these fields."""
        return [
            entry
            for entry in self.captured.entries
            if entry["event"] == event
            and all(entry.get(name) == value for name, value in fields.items())
        ]

    def radio_state(self) -> str | None:
        """What the gateway says of its radio to who looks from outside; None before it did."""
        if not self.settings.database.exists():
            return None
        with closing(open_storage(self.settings.database, quota_bytes=1 << 28)) as connection:
            notice = last_notice(connection, self.data)
        return notice.radio.state if notice is not None else None

    async def until_readings(
        self, device: VirtualDevice, count: int, *, patience_s: float = 20.0
    ) -> list[wire.Item]:
        """Wait until the outbox holds that many readings of the device; returns them."""
        await until(
            lambda: len(self.readings(device)) >= count,
            f"{count} readings of {device.model}; there are {len(self.readings(device))}",
            patience_s=patience_s,
        )
        return self.readings(device)

    async def _is_listening(self) -> bool:
        assert self._running is not None, "just started"
        if self._running.done():
            await self._running
        return await self.bluez.is_discovering()

    def _on_event(self, name: str, fields: Mapping[str, object]) -> None:
        self.told.append((name, fields))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.settings.database)) as connection:
            return connection.execute(query).fetchall()


async def measured(device: VirtualDevice, **values: float) -> Report:
    """Have the device measure what it can measure; returns when it has delivered or given up."""
    return await device.measure(dict(VALUES) | values)


async def _leave_the_bus() -> None:
    """Close bleak's connection, as the end of a process does.

    bleak keeps one for each event loop, and BlueZ keeps a client's discovery until it goes.
    """
    manager = _global_instances.get(asyncio.get_running_loop())
    if manager is not None and manager._bus is not None:
        manager._bus.disconnect()
        if manager._bus_watcher_task is not None:
            await asyncio.wait({manager._bus_watcher_task})
