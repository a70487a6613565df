"""The real parts that are killed: broker, server's roles, homes; each can be started again."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from hemma.account import ends_with_us, service_account, spawn
from hemma.broker import LOOPBACK, free_port, mosquitto_program
from tests.chaos.home import MEASURED, REST, SPEED, Asked
from tests.fix_mosquitto import Listeners, fill_template

ROOT: Final = Path(__file__).parents[2]
# A machine that does much else takes its time.
PATIENCE_S: Final = 120.0
LOOK_S: Final = 0.02
# A home's machine has run for longer than the oldest of its values has waited.
RAN_BEFORE_S: Final = 48 * 60 * 60


class Stuck(AssertionError):
    """Something that must happen did not, however long it was waited for."""


def until(is_so: Callable[[], bool], what: str, limit_s: float = PATIENCE_S) -> None:
    """Wait for a condition; raises Stuck, which names it."""
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise Stuck(f"after {limit_s:.0f} s still not: {what}")
        time.sleep(LOOK_S)


@dataclass
class Program:
    """A Python program of the project as a process of its own; its words go to ``log``."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    lives: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, the first time or again."""
        paths = os.pathsep.join((str(ROOT), str(ROOT / "deploy")))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ends_with_us([sys.executable, *self.command], signal_name="KILL"),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": paths, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.lives += 1

    def kill(self) -> None:
        """Kill it; raises Stuck where it had ended by itself, which none of them may."""
        process, self._process = self._process, None
        if process is None:
            return
        if (code := process.poll()) is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise Stuck(f"{' '.join(self.command[:3])} ended by itself ({code}): {tail}")
        process.kill()
        process.wait(PATIENCE_S)

    def freeze(self) -> None:
        """Stop it where it is."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


@dataclass
class Mosquitto:
    """A broker with the configuration that is installed on a server, its memory on disk."""

    folder: Path
    gateways: Sequence[str]
    ports: Listeners = field(default_factory=lambda: Listeners(free_port(), free_port()))
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, the first time or again, and wait until it answers."""
        if not self.folder.exists():
            self.folder.mkdir(mode=0o755)
            fill_template(self.folder, self.ports, self.gateways)
        command = [mosquitto_program(), "-c", str(self.folder / "mosquitto.conf")]
        with self._log.open("ab") as log:
            self._process = spawn(ends_with_us(command), service_account(), log=log)
        until(self._answers, "the broker answers")

    def kill(self) -> None:
        """Kill it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE_S)

    def save(self) -> None:
        """Let it write its memory to disk now, and wait until it has."""
        assert self._process is not None
        before = self._saved_ns()
        self._process.send_signal(signal.SIGUSR1)
        until(lambda: self._saved_ns() > before, "the broker saved its memory")

    def forget(self) -> None:
        """Take its memory off the disk, as if it had never been saved; while it is not running."""
        self._memory.unlink(missing_ok=True)

    @property
    def _memory(self) -> Path:
        return self.folder / "data" / "mosquitto.db"

    @property
    def _log(self) -> Path:
        return self.folder / "mosquitto.log"

    def _saved_ns(self) -> int:
        return self._memory.stat().st_mtime_ns if self._memory.exists() else 0

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Stuck(f"mosquitto ended: {self._log.read_text(errors='replace')[-1000:]}")
        try:
            with socket.create_connection((LOOPBACK, self.ports.server), timeout=1):
                return True
        except OSError:
            return False


@dataclass
class House:
    """A home's process and its folder, which outlives it."""

    name: str
    folder: Path
    port: int
    seed: str
    pace_s: float
    boot: str = field(default_factory=lambda: str(uuid.uuid4()))
    clock_zero_s: float = field(
        default_factory=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - RAN_BEFORE_S / SPEED
    )
    lives: int = 0
    _program: Program | None = None

    def start(self) -> None:
        """Start it, the first time or again."""
        self.folder.mkdir(exist_ok=True)
        self.lives += 1
        # Else each life would measure the same again.
        seed = f"{self.seed}-{self.lives}"
        asked = Asked(
            str(self.folder), self.name, self.port, self.boot, seed, self.clock_zero_s, self.pace_s
        )
        told = msgspec.json.encode(asked).decode()
        self._program = Program(("-m", "tests.chaos.home", told), {}, self.folder / "home.log")
        self._program.start()

    def kill(self) -> None:
        """Kill it: its program, not its machine."""
        if self._program is not None:
            self._program.kill()

    def lose_power(self) -> None:
        """Kill it so that the machine starts anew: the next life is another boot."""
        self.kill()
        self.boot = str(uuid.uuid4())

    def rest(self, *, is_resting: bool) -> None:
        """Let nobody measure any more, or again."""
        if is_resting:
            (self.folder / REST).touch()
        else:
            (self.folder / REST).unlink(missing_ok=True)

    def open(self) -> int:
        """Return how many rows and journaled values the server has not answered for."""
        (count,) = self.ask(
            "SELECT (SELECT count(*) FROM outbox WHERE state NOT IN ('stored', 'rejected'))"
            " + (SELECT count(*) FROM journal)"
        )[0]
        return int(count)

    def acknowledged(self) -> set[str]:
        """Return the uids of which the home has heard that they are stored."""
        return {uid for (uid,) in self.ask("SELECT uid FROM outbox WHERE state = 'stored'")}

    def measured(self) -> list[tuple[str, str]]:
        """Return device and bytes of everything that was taken from a device, as noted then."""
        path = self.folder / MEASURED
        if not path.exists():
            return []
        noted = path.read_text().splitlines(keepends=True)
        # A last line without its end was cut off by a kill: it was not noted in time.
        return [_pair(line) for line in noted if line.endswith("\n")]

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the outbox beside the process, or after it."""
        path = self.folder / "outbox.sqlite3"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=PATIENCE_S)) as outbox:
            return outbox.execute(statement).fetchall()


def _pair(line: str) -> tuple[str, str]:
    device, raw = line.split()
    return device, raw
