"""How the running gateway is, for who looks from outside: ``hemma gateway status``.

Link, radio and clock are known only inside the process. What changes of them is written to the
outbox's file, on change only, since each write wears the card. Whether the process still runs is
told by the lock it holds, so that what a killed one wrote is not taken for now.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Literal

import msgspec
import structlog

from devices.wire import ClockQuality
from gateway.ble.health import RadioHealth
from gateway.clock import ClockReading, text_of
from gateway.errors import StorageFull, StorageUnusable
from gateway.link import LinkState
from gateway.outbox import Outbox
from gateway.storage import explained, transaction

log = structlog.get_logger("gateway.running")

LOOK_S = 2.0
LOCK_FILE = "gateway.lock"
# Who only looks holds the lock for an instant too.
LOCK_TRIES = 3
LOCK_WAIT_S = 0.1


class LinkShown(msgspec.Struct, frozen=True):
    """The link to the broker as it is shown; ``since`` is None where nothing runs."""

    up: bool
    since: str | None
    reason: str | None


class RadioShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """The radio as it is shown; "deaf" is not "no reading". What never happened is left out.

    ``bond_lost`` names the devices that a person has to pair again; ``counts`` are steps against a
    stuck radio, restarts and losses since the start.
    """

    state: Literal["ok", "deaf", "absent"]
    resets: int
    bond_lost: tuple[str, ...] = ()
    counts: dict[str, int] = {}


class Running(msgspec.Struct, frozen=True):
    """What the process last wrote, and when its clock said it did."""

    at: str
    link: LinkShown
    radio: RadioShown
    clock: ClockQuality | None


class Notice:
    """Writes down how this process is whenever that changes."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        clock: Callable[[], ClockReading],
        radio: RadioHealth,
        link: Callable[[], LinkState],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._radio = radio
        self._link = link
        self._written: object = None

    async def run(self) -> None:
        """Look every 2 seconds, until cancelled; raises StorageUnusable."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """Write what has changed; returns whether something had and could be written."""
        reading, link = self._clock(), self._link()
        radio = RadioShown(
            self._radio.state(),
            self._radio.resets,
            self._radio.bond_lost(),
            {name: count for name, count in self._radio.counts().items() if count},
        )
        state = (link, radio, reading.quality)
        if state == self._written:
            return False
        running = Running(text_of(reading.utc), _shown(link, reading), radio, reading.quality)
        try:
            _write(self._outbox, running)
        except StorageFull as error:
            log.warning("outbox_full", reason=error.reason, remedy=error.remedy)
            return False
        self._written = state
        return True


def _shown(link: LinkState, now: ClockReading) -> LinkShown:
    # Counted back from now: the wall clock may have jumped since.
    age = timedelta(milliseconds=now.mono_ms - link.since_mono_ms)
    return LinkShown(link.is_up, text_of(now.utc - age), link.reason)


def _write(outbox: Outbox, running: Running) -> None:
    with explained(outbox.path), transaction(outbox.connection):
        outbox.connection.execute(
            "INSERT INTO running (one, payload) VALUES (1, ?)"
            " ON CONFLICT (one) DO UPDATE SET payload=excluded.payload",
            (msgspec.json.encode(running).decode(),),
        )


def last_notice(connection: sqlite3.Connection, data: Path) -> Running | None:
    """Return how the gateway on folder ``data`` is; None where none has run there yet.

    Where it does not run now, the link is down since an unknown time, the radio absent, the clock
    not known.
    """
    row = connection.execute("SELECT payload FROM running").fetchone()
    if row is None:
        return None
    running = msgspec.json.decode(row["payload"], type=Running)
    if is_held(data):
        return running
    return msgspec.structs.replace(
        running,
        link=LinkShown(up=False, since=None, reason="The gateway does not run."),
        radio=msgspec.structs.replace(running.radio, state="absent"),
        clock=None,
    )


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder: two gateways on one outbox would send everything twice.

    Raises StorageUnusable where another process holds it, or it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / LOCK_FILE).open("a")
    except OSError as error:
        raise StorageUnusable(
            f"{data} cannot be written ({error.strerror}).", "Check HEMMA_GATEWAY_DATA."
        ) from error
    with lock:
        for _ in range(LOCK_TRIES):
            if _lock(lock, fcntl.LOCK_EX):
                break
            time.sleep(LOCK_WAIT_S)
        else:
            raise StorageUnusable(
                f"Another gateway process runs on {data}.", "Stop it, or use another folder."
            )
        yield


def is_held(data: Path) -> bool:
    """Tell whether a gateway process holds the folder ``data``; raises OSError."""
    try:
        lock = (data / LOCK_FILE).open("r")
    except FileNotFoundError:
        return False
    with lock:
        return not _lock(lock, fcntl.LOCK_SH)


def _lock(lock: IO[str], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
