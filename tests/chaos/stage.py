"""One stage: homes, broker, ingest and database of its own, struck by one blow after another."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from hemma.broker import SERVER_USER
from hemma.cluster import Cluster, Installation
from server.settings import Settings
from server.store.migrate import migrate
from tests.chaos.cable import Cable
from tests.chaos.count import Count, count, missing, settle
from tests.chaos.faults import KINDS, Blow, Strike
from tests.chaos.parts import PATIENCE_S, House, Mosquitto, Program, until
from tests.fix_mosquitto import Listeners
from tests.server.homes import rows
from tests.server.ingest.fix_ingest import settings_environment

HOMES: Final = ("gw-1", "gw-2")
PACE_S: Final = 0.1
LOOK_S: Final = 0.2
DRAIN_S: Final = 300.0
# As it would be on a server; what is committed must outlive every fault here.
SETTINGS: Final = {"shared_buffers": "64MB"}
_MIGRATING: Final = threading.Lock()


@dataclass
class Server:
    """A database server to be stopped, killed and started again."""

    cluster: Cluster
    url: str

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self.cluster.start(timeout_s=PATIENCE_S)

    def stop_at_once(self) -> None:
        """Stop it as an immediate stop does: no checkpoint, no goodbye."""
        left = self._processes()
        os.kill(left[0], signal.SIGQUIT)
        self._await_end(left)

    def kill(self) -> None:
        """Kill all of its processes."""
        left = self._processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._await_end(left)

    def kill_backend(self, choice: int) -> None:
        """Kill one process that works for ingest: the server restarts all of them by itself.

        While ingest is down or not connected, one of the server's own: it restarts all the same.
        """
        pids = self._backends() or self._writers()
        os.kill(pids[choice % len(pids)], signal.SIGKILL)

    def cut_backends(self) -> None:
        """End every connection of ingest."""
        rows(self.url, f"SELECT pg_terminate_backend(pid) {_INGEST}")

    def await_answer(self) -> None:
        """Wait until it answers again."""
        until(self._answers, "the database answers")

    def _processes(self) -> list[int]:
        """Return the server's process, then those that it started."""
        assert self.cluster._process is not None
        server = self.cluster._process.pid
        return [server, *(pid for pid, parent in _parents() if parent == server)]

    def _await_end(self, pids: Sequence[int]) -> None:
        """Wait until all are gone: one that lives on holds the memory that a new server wants."""
        assert self.cluster._process is not None
        self.cluster._process.wait(PATIENCE_S)
        until(
            lambda: not {pid for pid, _ in _parents()}.intersection(pids),
            "no process of the database server is left",
        )
        self.cluster.kill()

    def _backends(self) -> list[int]:
        return [pid for (pid,) in rows(self.url, f"SELECT pid {_INGEST} ORDER BY pid")]

    def _writers(self) -> list[int]:
        return [pid for (pid,) in rows(self.url, _WRITERS)]

    def _answers(self) -> bool:
        try:
            return rows(self.url, "SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False


@dataclass
class Stage:
    """All parts, running; ``struck`` counts the faults by kind."""

    houses: Sequence[House]
    broker: Mosquitto
    ingest: Sequence[Program]
    engine: Program | None
    database: Server
    to_homes: Cable
    to_server: Cable
    struck: Counter[str] = field(default_factory=Counter)
    heard: set[str] = field(default_factory=set)
    early: list[str] = field(default_factory=list)

    def block(self, blows: Sequence[Blow]) -> Count:
        """Strike while values flow, let everything drain, and count."""
        for house in self.houses:
            house.rest(is_resting=False)
        for blow in blows:
            self._await_flow()
            self._wait(blow.flows_s)
            self._strike(blow.strikes)
        self._await_flow()
        for house in self.houses:
            house.rest(is_resting=True)
        until(self._is_drained, f"all is acknowledged ({self._open()} open at first)", DRAIN_S)
        self._look()
        found = count(self.database.url, self.houses, is_judged=self.engine is not None)
        found.lost += found.blame("acknowledged before it was stored", self.early)
        return found

    def _strike(self, strikes: Sequence[Strike]) -> None:
        """Begin and end each of the faults at its moment."""
        moments = sorted(
            [(one.after_s, 0, one) for one in strikes]
            + [(one.after_s + one.lasts_s, 1, one) for one in strikes],
            key=lambda moment: moment[:2],
        )
        began_s = time.monotonic()
        for at_s, is_end, one in moments:
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            kind = KINDS[one.kind]
            (kind.end if is_end else kind.begin)(self, one.choice)
        self.struck.update(one.kind for one in strikes)

    def _await_flow(self) -> None:
        """Wait until each home has heard of something newly stored: everything works again."""
        before = [house.acknowledged() for house in self.houses]
        for house, known in zip(self.houses, before, strict=True):
            until(lambda: bool(house.acknowledged() - known), f"values of {house.name} arrive")  # noqa: B023 - called here
        self._look()

    def _wait(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(LOOK_S, left_s))
            self._look()

    def _look(self) -> None:
        """See that what homes have heard of since the last look is there."""
        new = {uid for house in self.houses for uid in house.acknowledged()} - self.heard
        self.early += missing(self.database.url, new)
        self.heard |= new

    def _is_drained(self) -> bool:
        if self._open():
            return False
        if self.engine is None:
            return True
        return rows(self.database.url, "SELECT count(*) FROM engine_inbox") == [(0,)]

    def _open(self) -> int:
        return sum(house.open() for house in self.houses)


@contextmanager
def staged(
    installation: Installation, seed: str, *, workers: int, with_engine: bool
) -> Iterator[Stage]:
    """Give a stage with everything running; nothing of it is left afterwards."""
    with ExitStack() as stack:
        folder = _folder(stack, Path(tempfile.gettempdir()))
        database = _database(stack, installation)
        broker = Mosquitto(folder / "broker", HOMES)
        stack.callback(broker.kill)
        broker.start()
        to_homes = stack.enter_context(Cable(broker.ports.gateways))
        to_server = stack.enter_context(Cable(broker.ports.server))
        ports = Listeners(to_homes.port, to_server.port)
        environment = _environment(folder, ports, database.url)
        programs = [
            Program(("-m", "server.main", role), environment, folder / f"{role}-{number}.log")
            for number, role in enumerate(["ingest"] * workers + ["engine"] * with_engine)
        ]
        houses = [House(name, folder / name, ports.gateways, seed, PACE_S) for name in HOMES]
        parts: tuple[Program | House, ...] = (*programs, *houses)
        for part in parts:
            stack.callback(part.kill)
            part.start()
        ingest, engine = programs[:workers], programs[workers] if with_engine else None
        for house in houses:
            until(lambda: bool(house.measured()), f"{house.name} measures")  # noqa: B023 - called here
        yield Stage(houses, broker, ingest, engine, database, to_homes, to_server)


def _database(stack: ExitStack, installation: Installation) -> Server:
    """Start a database server of the stage's own, with people and devices in it."""
    folder = _folder(stack, installation.root / "tmp")
    cluster = Cluster(installation, folder / "cluster", SETTINGS, ends_with_us=True)
    stack.callback(cluster.kill)
    cluster.start(timeout_s=PATIENCE_S)
    url = cluster.url()
    # Alembic's context is one for the whole process.
    with _MIGRATING:
        migrate(url)
    settle(url, HOMES)
    return Server(cluster, url)


def _parents() -> Iterator[tuple[int, int]]:
    """Give each process of the machine with its parent."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the name, which may hold anything: the state, the parent.
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])


def _environment(folder: Path, ports: Listeners, url: str) -> dict[str, str]:
    secret = folder / "server.password"
    secret.write_text(SERVER_USER)
    return settings_environment(Settings(url, mqtt_port=ports.server, mqtt_password_file=secret))


def _folder(stack: ExitStack, parent: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hemma-chaos-", dir=parent))
    folder.chmod(0o755)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


_WRITERS: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"
_INGEST: Final = (
    "FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'hemma-ingest%%' AND backend_type = 'client backend'"
)
