"""What is acknowledged and not stored, for everybody, under the faults that happen.

Acknowledged is what a home would delete: of ours its acknowledgement, of the others PUBACK. Every
consumer is started again a second after it ended, as a service manager would. The others' table has
no key here, so that what is stored twice is seen; a key would keep the copy out.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psycopg

from tests.bench.ingest.broker import Broker
from tests.bench.ingest.consumers import Consumer, Process
from tests.bench.ingest.database import Tier, query
from tests.bench.ingest.home import Home
from tests.bench.ingest.messages import Ready

Fault = Literal["consumer", "database", "broker saved", "broker unsaved", "backlog"]

FAULTS: Final[dict[Fault, str]] = {
    "consumer": "consumer kill −9",
    "database": "database away 5 s",
    "broker saved": "broker kill −9, session saved",
    "broker unsaved": "broker kill −9, never saved",
    "backlog": "consumer kill −9 in a backlog",
}
MESSAGES: Final = 2000
MESSAGES_BACKLOG: Final = 5000
PER_SECOND: Final = 400.0
FAULT_S: Final = 2.3
SAVE_S: Final = 1.5
DATABASE_AWAY_S: Final = 5.0
BROKER_AWAY_S: Final = 0.2
RESTART_S: Final = 1.0
KILL_AT_ITEMS: Final = 1000
QUIET_S: Final = 5.0
# Node-RED waits 15 s before it connects again.
QUIET_AFTER_BROKER_S: Final = 22.0
LIMIT_S: Final = 150.0
LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Loss:
    """What came of one run.

    ``lost`` was acknowledged and is not stored; ``warned`` of it with a PUBACK that said that
    nobody listened. ``doubled`` are component rows beyond the first of the same value.
    """

    tier: str
    consumer: str
    fault: Fault
    sent: int
    acknowledged: int
    lost: int
    warned: int
    never_stored: int
    doubled: int
    seconds: float


@dataclass
class _Scene:
    """A run under way; ``ended_s`` is when the consumer was seen to be gone."""

    tier: Tier
    process: Process
    broker: Broker
    home: Home
    url: str
    gateways: int
    ended_s: float | None = None

    def look(self) -> None:
        """Do what a service manager and a home do all the time."""
        if self.process.has_ended():
            if self.ended_s is None:
                self.ended_s = time.monotonic()
            elif time.monotonic() - self.ended_s >= RESTART_S:
                self.ended_s = None
                self.process.start()
        self.home.resend()

    def stored(self) -> int | None:
        """Return how many rows there are; None while the database is away."""
        statement = _COUNT_OURS if self.process.consumer.is_ours else _COUNT_THEIRS
        try:
            return int(query(self.url, statement)[0][0])
        except psycopg.OperationalError:
            return None

    def wait(self, seconds: float) -> None:
        """Look on for a while."""
        self.until(lambda: False, seconds)

    def until(self, is_so: Callable[[], bool], limit_s: float) -> bool:
        """Look on until ``is_so``; return False after ``limit_s``."""
        end_s = time.monotonic() + limit_s
        while not is_so():
            if time.monotonic() >= end_s:
                return False
            self.look()
            time.sleep(LOOK_S)
        return True


def measure(tier: Tier, consumer: Consumer, ready: Ready, fault: Fault) -> Loss:
    """Run ``consumer`` through ``fault`` once."""
    count = MESSAGES_BACKLOG if fault == "backlog" else MESSAGES
    started_s = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hemma-bench-")))
        folder.chmod(0o755)
        broker = Broker(folder / "broker", ready.traffic.gateways, is_kept=True)
        url = tier.fresh(consumer.template(keyed=False))
        stack.callback(tier.drop, url)
        stack.callback(broker.stop)
        broker.start()
        process = Process(consumer, broker, url, folder)
        stack.callback(process.kill)
        process.start()
        broker.await_subscribers(consumer.subscriptions)
        payloads = _payloads(ready, count)
        home = stack.enter_context(Home(broker, "measurements", payloads, waits=consumer.is_ours))
        scene = _Scene(tier, process, broker, home, url, ready.traffic.gateways)
        (_backlog if fault == "backlog" else _stream)(scene, fault, count)
        _await_quiet(scene, fault)
        return _result(scene, fault, count, time.monotonic() - started_s)


def _stream(scene: _Scene, fault: Fault, count: int) -> None:
    """Send at a steady rate, with the fault in the middle."""
    sending = threading.Thread(
        target=scene.home.send, args=(count,), kwargs={"per_second": PER_SECOND}
    )
    sending.start()
    scene.wait(SAVE_S)
    if fault == "broker saved":
        scene.broker.save()
    scene.wait(FAULT_S - SAVE_S)
    if fault == "consumer":
        scene.process.kill()
    elif fault == "database":
        scene.tier.crash()
        scene.wait(DATABASE_AWAY_S)
        scene.tier.cluster.start()
    else:
        scene.broker.kill()
        time.sleep(BROKER_AWAY_S)
        scene.broker.start()
    scene.until(lambda: not sending.is_alive(), LIMIT_S)


def _backlog(scene: _Scene, _fault: Fault, count: int) -> None:
    """Let everything wait at the broker; kill the consumer when it has stored a part."""
    scene.process.freeze()
    scene.home.send(count, per_second=None)
    time.sleep(SAVE_S)
    scene.process.thaw()
    # A message is two component rows on average.
    scene.until(lambda: (scene.stored() or 0) >= 2 * KILL_AT_ITEMS, LIMIT_S)
    scene.process.kill()


def _await_quiet(scene: _Scene, fault: Fault) -> None:
    """Wait until nothing more comes, and ours has acknowledged everything."""
    slow = fault.startswith("broker") and scene.process.consumer.name == "node-red"
    quiet_s = QUIET_AFTER_BROKER_S if slow else QUIET_S
    waits = scene.process.consumer.is_ours
    seen: int | None = -1
    since_s = time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since_s
        now = scene.stored()
        if now != seen or (waits and scene.home.unanswered()):
            seen, since_s = now, time.monotonic()
        return time.monotonic() - since_s >= quiet_s

    scene.until(is_quiet, LIMIT_S)


def _result(scene: _Scene, fault: Fault, count: int, seconds: float) -> Loss:
    is_ours = scene.process.consumer.is_ours
    found = query(scene.url, _STORED_OURS if is_ours else _STORED_THEIRS)
    # The last twelve digits of an uid count through all gateways; the first of them sends here.
    stored = {int(number, 16) for number, _ in found}
    acked = scene.home.acked
    gateways = scene.gateways
    return Loss(
        scene.tier.kind,
        scene.process.consumer.name,
        fault,
        count,
        len(acked),
        sum(row * gateways not in stored for row in acked),
        sum(row * gateways not in stored for row in scene.home.warned),
        sum(row * gateways not in stored for row in range(count)),
        sum(more for _, more in found),
        seconds,
    )


def _payloads(ready: Ready, count: int) -> list[bytes]:
    """Return the payloads of the first gateway's first messages."""
    lengths = ready.lengths[0]
    payloads = []
    with ready.path.open("rb") as file:
        for number in range(count):
            packet = file.read(lengths[number % len(lengths)])
            payloads.append(packet[packet.index(b'{"v":') :])
    return payloads


_COUNT_OURS: Final = "SELECT count(*) FROM observation"
_COUNT_THEIRS: Final = "SELECT count(*) FROM reading"
# For each value, and how many of its component rows are there more than once.
_STORED_OURS: Final = """
SELECT right(uid::text, 12), sum(n - 1)::int FROM (
    SELECT m.uid, count(*) AS n FROM measurement m LEFT JOIN observation o USING (uid)
    GROUP BY m.uid, o.component_id) AS t GROUP BY uid
"""
_STORED_THEIRS: Final = """
SELECT right(uid, 12), sum(n - 1)::int FROM (
    SELECT uid, count(*) AS n FROM reading GROUP BY uid, kind) AS t GROUP BY uid
"""
