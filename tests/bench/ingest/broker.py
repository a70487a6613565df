"""A real mosquitto for the bench: the project's access list and limits, anew for each run.

As the project sets its broker up, not as it comes: the queue takes a million messages (a thousand
by default, beyond which it drops silently). That helps the others as much as us.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hemma.account import ends_with_us, private_folder, service_account, spawn
from hemma.broker import ACCESS_LIST, SERVER_USER, free_port, mosquitto_program, password_line
from tests.bench.ingest.messages import gateway_name

START_S: Final = 10.0
WAIT_S: Final = 60.0


@dataclass
class Broker:
    """One mosquitto in a folder of its own; ``is_kept``: sessions go to disk, as by default."""

    folder: Path
    gateways: int
    is_kept: bool = False
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, the first time or again, and wait until it answers."""
        account = service_account()
        private_folder(self.folder, account)
        lines = {
            "passwords": "".join(password_line(user, self.password) for user in self._users()),
            "acl": ACCESS_LIST.read_text(),
            "mosquitto.conf": self._configuration(),
        }
        for name, text in lines.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text)
            os.chown(path, account.uid, account.gid)
        command = ends_with_us([mosquitto_program(), "-c", str(self.folder / "mosquitto.conf")])
        with (self.folder / "mosquitto.out").open("ab") as out:
            self.process = spawn(command, account, log=out)
        _until(self._answers, START_S, "mosquitto did not answer")

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it as the system would."""
        self._end(signal.SIGTERM)

    def save(self) -> None:
        """Let it write its sessions to disk now."""
        assert self.process is not None
        database = self.folder / "mosquitto.db"
        before = database.stat().st_mtime_ns if database.exists() else 0
        self.process.send_signal(signal.SIGUSR1)
        _until(
            lambda: database.exists() and database.stat().st_mtime_ns > before,
            WAIT_S,
            "the broker did not save",
        )

    def await_subscribers(self, count: int) -> None:
        """Wait until so many subscriptions to what homes send have been made since its start."""
        _until(lambda: self._subscriptions() >= count, WAIT_S, "no subscription")

    def _subscriptions(self) -> int:
        if not self._log.exists():
            return 0
        lines = self._log.read_text(errors="replace").splitlines()
        return sum(line.endswith(("/+/measurements", "/+/backlog")) for line in lines)

    def _users(self) -> list[str]:
        return [SERVER_USER, *(gateway_name(number) for number in range(self.gateways))]

    def _configuration(self) -> str:
        lines = [
            "per_listener_settings true",
            f"persistence {'true' if self.is_kept else 'false'}",
            f"persistence_location {self.folder}/",
            "message_size_limit 262144",
            "max_queued_messages 1000000",
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
            f"log_dest file {self._log}",  # what goes to stdout comes late: it is not flushed
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "subscribe")),
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {self.folder / 'passwords'}",
            f"acl_file {self.folder / 'acl'}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _log(self) -> Path:
        return self.folder / "mosquitto.log"

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"mosquitto ended: {self._log.read_text()[-1000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(WAIT_S)


def version() -> str:
    """Return the broker's name and version."""
    said = subprocess.run([mosquitto_program(), "-h"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0]


def _until(is_so: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(what)
        time.sleep(0.02)
