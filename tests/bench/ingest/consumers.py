"""Who is measured: how each is started, and where its rows can be counted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from hemma.account import ends_with_us
from hemma.broker import SERVER_USER
from tests.bench.ingest import node_red
from tests.bench.ingest.broker import Broker
from tests.bench.ingest.database import OURS, THEIRS, UNKEYED

ROOT: Final = Path(__file__).parents[3]
STOP_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Consumer:
    """One of those compared. ``way`` is an argument of its program, where it has several.

    ``samples_per_s`` is what it was seen to do at one and at fifty items a message: it only decides
    how much is sent in a run, never what comes out of it.
    """

    name: str
    label: str
    samples_per_s: Mapping[int, int]
    subscriptions: int = 2
    way: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is the project's own role."""
        return self.name == "ours"

    @property
    def stores(self) -> bool:
        """Whether it writes to a database at all."""
        return self.name != "broker"

    def template(self, *, keyed: bool = True) -> str:
        """Return the kind of database it works on."""
        if self.is_ours:
            return OURS
        return THEIRS if keyed else UNKEYED

    @property
    def table(self) -> str:
        """The table with one row a component."""
        return "observation" if self.is_ours else "reading"

    def progress(self, db: psycopg.Connection[Any]) -> int:
        """Return about how many items (ours) or components (others) are committed.

        From the server's statistics, which are a second old at most while it works and cost
        nothing to read.
        """
        row = db.execute(_OUR_PROGRESS if self.is_ours else _THEIR_PROGRESS).fetchone()
        return int(row[0] or 0) if row else 0


OURS_CONSUMER: Final = Consumer("ours", "ours: hemma server ingest", {1: 8_000, 50: 40_000})
EVERYBODY: Final = (
    OURS_CONSUMER,
    Consumer("commit", "script, insert and commit", {1: 2_500, 50: 8_000}, way="commit"),
    Consumer("executemany", "script, executemany", {1: 2_500, 50: 20_000}, way="executemany"),
    Consumer("batch", "script, executemany of 500 or 1 s", {1: 20_000, 50: 25_000}, way="batch"),
    Consumer("node-red", "Node-RED, function node on pg", {1: 8_000, 50: 50_000}),
    Consumer("copy", "ceiling: only COPYs", {1: 30_000, 50: 120_000}),
    Consumer("broker", "ceiling: mosquitto_sub", {1: 60_000, 50: 600_000}),
)


@dataclass
class Process:
    """A consumer that runs; started again by :meth:`start` after it ended or was killed."""

    consumer: Consumer
    broker: Broker
    url: str
    folder: Path
    count: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it finds its broker and its database by itself."""
        command, environment = self._command()
        with (self.folder / f"{self.consumer.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ends_with_us(command, signal_name="KILL"),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if self.consumer.name == "broker" else log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process; it must have been started."""
        assert self.process is not None
        return self.process.pid

    def freeze(self) -> None:
        """Stop it where it is: what is sent to it waits at the broker."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, if it lives."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)

    def has_ended(self) -> bool:
        """Tell whether it has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def _command(self) -> tuple[list[str], dict[str, str]]:
        name = self.consumer.name
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "deploy")))
        if self.consumer.is_ours:
            secret = self.folder / "server.password"
            secret.write_text(self.broker.password)
            environment |= {
                "HEMMA_DATABASE_URL": self.url,
                "HEMMA_MQTT_PORT": str(self.broker.port),
                "HEMMA_MQTT_PASSWORD_FILE": str(secret),
            }
            return [sys.executable, "-m", "server.main", "ingest"], environment
        environment |= {
            "DATABASE_URL": self.url,
            "MQTT_PORT": str(self.broker.port),
            "MQTT_USER": SERVER_USER,
            "MQTT_PASSWORD": self.broker.password,
        }
        if name == "node-red":
            return node_red.command(self.folder, self.url, self.broker), environment
        if name == "broker":
            return self._only_listen(), environment
        program = "copy_script" if name == "copy" else "user_script"
        return [
            sys.executable, "-m", f"tests.bench.ingest.{program}", self.consumer.way,
        ], environment  # fmt: skip

    def _only_listen(self) -> list[str]:
        program = shutil.which("mosquitto_sub")
        assert program is not None
        return [
            program, "-h", "127.0.0.1", "-p", str(self.broker.port), "-u", SERVER_USER,
            "-P", self.broker.password, "-q", "1", "-c", "-i", "listen", "-C", str(self.count),
            "-t", "hemma/v1/+/measurements", "-t", "hemma/v1/+/backlog",
        ]  # fmt: skip


def present(names: tuple[str, ...]) -> tuple[list[Consumer], list[str]]:
    """Return those of ``names`` that can run here (none named: all), and why others cannot."""
    found, missing = [], []
    for one in EVERYBODY:
        if names and one.name not in names:
            continue
        reason = None
        if one.name == "node-red":
            reason = node_red.missing()
        elif one.name == "broker" and shutil.which("mosquitto_sub") is None:
            reason = "mosquitto_sub is not installed (apt-get install mosquitto-clients)"
        if reason is None:
            found.append(one)
        else:
            missing.append(f"{one.label} DID NOT RUN: {reason}")
    return found, missing


_OUR_PROGRESS: Final = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'item_uid'"
_THEIR_PROGRESS: Final = (
    "SELECT sum(n_tup_ins)::bigint FROM pg_stat_user_tables "
    "WHERE relname = 'reading' OR relname LIKE '\\_hyper%'"
)
