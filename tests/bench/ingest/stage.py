"""One run's stage: a broker, a database and a consumer of their own, the homes, and the meter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.bench.ingest.broker import Broker
from tests.bench.ingest.consumers import ROOT, Consumer, Process
from tests.bench.ingest.database import Tier
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.meter import Meter
from tests.bench.ingest.publisher import Tally

STOP_S: Final = 30.0


class Homes:
    """The publisher's process (``publisher.py``) and what it last said."""

    def __init__(self, ready: Ready, broker: Broker) -> None:
        told = {
            "path": str(ready.path),
            "traffic": asdict(ready.traffic),
            "lengths": ready.lengths,
            "port": broker.port,
        }
        environment = dict(os.environ) | {"HEMMA_BENCH_PASSWORD": broker.password}
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "deploy")))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.ingest.publisher", json.dumps(told)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tally = self._hear()

    def tell(self, line: str = "tell") -> Tally:
        """Say a line to the publisher; return how far it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.tally = self._hear()
        return self.tally

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(STOP_S)
        self.process.stdout.close()

    def _hear(self) -> Tally:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the publisher ended")
        return Tally(**json.loads(line))


@dataclass
class Stage:
    """All of one run. The consumer is subscribed; nothing has been sent."""

    tier: Tier
    consumer: Consumer
    process: Process
    broker: Broker
    url: str
    homes: Homes
    meter: Meter
    folder: Path
    watch: psycopg.Connection[Any]
    unanswered_max: int = 0

    def progress(self) -> int:
        """Return what the consumer has committed so far, about (``Consumer.progress``)."""
        return self.consumer.progress(self.watch)


@contextmanager
def staged(
    tier: Tier, consumer: Consumer, ready: Ready, *, count: int = 0, kept_url: str = ""
) -> Iterator[Stage]:
    """Set a stage and clear it away; ``count`` is how many messages the broker's client awaits.

    The database is new and goes with it, unless ``kept_url`` names one.
    """
    folder = Path(tempfile.mkdtemp(prefix="hemma-bench-", dir="/tmp"))
    folder.chmod(0o755)
    broker = Broker(folder / "broker", ready.traffic.gateways)
    url = kept_url or tier.fresh(consumer.template())
    process = Process(consumer, broker, url, folder, count)
    homes: Homes | None = None
    watch: psycopg.Connection[Any] | None = None
    try:
        broker.start()
        process.start()
        broker.await_subscribers(consumer.subscriptions)
        homes = Homes(ready, broker)
        watch = psycopg.connect(url, autocommit=True)
        assert broker.process is not None
        meter = Meter(
            {
                "consumer": process.pid,
                "postgres": tier.postmaster,
                "broker": broker.process.pid,
                "publisher": homes.process.pid,
            }
        )
        yield Stage(tier, consumer, process, broker, url, homes, meter, folder, watch)
    finally:
        process.kill()
        if homes is not None:
            homes.close()
        broker.stop()
        if watch is not None:
            watch.close()
        if not kept_url:
            tier.drop(url)
        shutil.rmtree(folder)
