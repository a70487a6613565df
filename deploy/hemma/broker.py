"""A private mosquitto on loopback, with the passwords and the access list of `contract.md` 1.

For the demo and the tests. A lasting server's broker is set up by `deploy/mosquitto`, whose access
list this uses.
"""

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hemma.account import (
    Account,
    ends_with_us,
    private_folder,
    reachable,
    service_account,
    spawn,
)
from hemma.errors import MissingPartError, ServerFailedError, TakenError

LOOPBACK: Final = "127.0.0.1"
SERVER_USER: Final = "_hemma-server"  # outside the gateways' alphabet, so no pattern meets it
START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.02
PORT_TRIES: Final = 5
LOG_TAIL_LINES: Final = 15
HASH_ROUNDS: Final = (
    101  # what mosquitto_passwd 2.0 writes; the passwords are random and live an hour
)
PAYLOAD_MAX_BYTES: Final = (
    262_144  # contract.md 1: above the contract's limit, so a nack can be given
)
ACCESS_LIST: Final = Path(__file__).resolve().parents[1] / "mosquitto" / "acl"


def mosquitto_program() -> str:
    """Return the path of mosquitto; raises MissingPartError when it is not installed."""
    # Debian keeps it in sbin, which is not on every user's path.
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingPartError(
            "mosquitto (the MQTT broker) is not installed.", "apt-get install mosquitto"
        )
    return found


def free_port(host: str = LOOPBACK) -> int:
    """Return a TCP port that nothing listens on now; somebody may still take it before you do."""
    with socket.create_server((host, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def password_line(user: str, password: str) -> str:
    """Return one line of mosquitto's password file (PBKDF2-HMAC-SHA512)."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, HASH_ROUNDS)
    parts = (str(HASH_ROUNDS), base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    return f"{user}:$7${'$'.join(parts)}\n"


@dataclass
class Broker:
    """One mosquitto; a context manager that starts and stops it.

    `passwords` maps user name to password; a gateway's user name is its topic name. With `port`
    None, a free one is taken at the first start and kept. Memory is not kept across a restart: the
    outbox at home is what keeps values (design.md). With `ends_with_us` it stops when this process
    is killed. With `is_apart`, gateways have a listener of their own on `home_port`, where the
    authenticated name becomes the client id, as `deploy/mosquitto` has it: nobody takes over
    another's session by its id, and a gateway's password opens nothing else.
    """

    folder: Path
    passwords: Mapping[str, str]
    port: int | None = None
    is_apart: bool = False
    home_port: int | None = None
    access_list: Path = ACCESS_LIST
    account: Account = field(default_factory=service_account)
    ends_with_us: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder = reachable(self.folder, self.account)

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises MissingPartError without mosquitto, TakenError when the port is in use, and
        ServerFailedError otherwise.
        """
        program = mosquitto_program()
        private_folder(self.folder, self.account)
        tries = 1 if self.port else PORT_TRIES
        for attempt in range(tries):
            port = self.port or free_port()
            if self.is_apart:
                self.home_port = self.home_port if self.port else free_port()
            try:
                self._start_on(program, port)
            except TakenError:
                if attempt + 1 == tries:
                    raise
            else:
                self.port = port
                return

    def ensure_alive(self) -> None:
        """Raise ServerFailedError if the broker has died since it was started."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ServerFailedError(f"mosquitto ended by itself (code {code})", self.log_tail())

    def stop(self) -> None:
        """Stop the broker as the system would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker as a power cut would; `start` brings it back on the same port."""
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        """Return the last lines that the broker wrote."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "mosquitto.log"

    def _start_on(self, program: str, port: int) -> None:
        if _answers(port):
            raise TakenError(f"Port {port} on {LOOPBACK} is in use by another program.")
        self._write_files(port)
        with self._log.open("wb") as log:
            command = [program, "-c", str(self.folder / "mosquitto.conf")]
            if self.ends_with_us:
                command = ends_with_us(command)
            self._process = process = spawn(command, self.account, log=log)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if process.poll() is not None:
                self._process = None
                self._explain_failure(port)
            if _answers(port):
                return
            time.sleep(POLL_INTERVAL_S)
        self.stop()
        raise ServerFailedError("mosquitto did not answer in time", self.log_tail())

    def _explain_failure(self, port: int) -> None:
        tail = self.log_tail()
        if "already in use" in tail:
            raise TakenError(f"Port {port} on {LOOPBACK} is in use by another program.")
        raise ServerFailedError("mosquitto did not start", tail)

    def _write_files(self, port: int) -> None:
        for name, users in self._doors():
            self._write(name, "".join(password_line(*one) for one in users.items()))
        self._write("acl", self.access_list.read_text())
        lines = [
            "per_listener_settings true",
            "persistence false",
            f"message_size_limit {PAYLOAD_MAX_BYTES}",
            # The default drops silently; 0 cuts off whoever is denied (both measured).
            "max_queued_messages 1000000",
            # The receiver says by its Receive Maximum what it can take; 0 would not listen to it.
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
            "log_dest stdout",
            "log_type error",
            "log_type warning",
            "log_type notice",
            *self._listener(port, "passwords"),
        ]
        if self.home_port is not None:
            lines += [*self._listener(self.home_port, "homes"), "use_username_as_clientid true"]
        self._write("mosquitto.conf", "\n".join(lines) + "\n")

    def _doors(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Give each password file its users."""
        if not self.is_apart:
            yield "passwords", self.passwords
            return
        homes = {name: word for name, word in self.passwords.items() if name != SERVER_USER}
        yield "homes", homes
        yield "passwords", {SERVER_USER: self.passwords[SERVER_USER]}

    def _listener(self, port: int, passwords: str) -> list[str]:
        return [
            f"listener {port} {LOOPBACK}",
            "allow_anonymous false",
            f"password_file {self.folder / passwords}",
            f"acl_file {self.folder / 'acl'}",
        ]

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        os.chown(path, self.account.uid, self.account.gid)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1.0):
        return True
    return False
