"""`hemma demo`: everything on this machine, with invented people, until Ctrl-C."""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hemma.broker import free_port
from hemma.check import Findings, check
from hemma.cluster import choose
from hemma.errors import HemmaError, TakenError
from hemma.house import House, known_port, open_house
from hemma.places import kept_folder
from hemma.seed import LOGINS, new_passwords, note_homes, refuse_foreign_data, seed
from server.store.errors import StoreError
from server.store.migrate import migrate

FIRST_VALUE_AFTER_S: Final = 12.0  # an alert must be seen live within half a minute
VALUE_EVERY_S: Final = (20.0, 45.0)
TABLE_WIDTH: Final = 84  # a link or a password broken over two lines is of no use
HOMES_HEARD_EVERY_S: Final = 1_800.0  # contract.md 1: a status at least once an hour
ROLE_NAMES: Final = {
    "nurse": "sjuksköterska",
    "physician": "läkare",
    "home_care": "hemtjänst",
    "administrator": "administratör",
}

# What the command says in one sentence. A database that was given may be away, or be another's.
_EXPLAINED: Final = (HemmaError, StoreError)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line."""

    check: bool = False
    open_browser: bool = True
    keep: bool = False
    folder: Path | None = None


@dataclass(slots=True)
class Voice:
    """Says on standard error what has started, with the seconds since the beginning."""

    console: Console
    begun_s: float

    def __call__(self, text: str) -> None:
        """Say one line."""
        seconds = time.monotonic() - self.begun_s
        self.console.print(f"[green]✓[/] [dim]{seconds:5.1f} s[/]  {text}", highlight=False)


def run_demo(wishes: Wishes) -> int:
    """Run the demo as wished; return the exit code. Raises HemmaError for what can be explained."""
    voice = Voice(Console(stderr=True), time.monotonic())
    findings = Findings()
    try:
        asyncio.run(_until_told(wishes, voice, findings))
    except BaseExceptionGroup as group:
        findings.fault = _first(group)
    except _EXPLAINED as error:
        findings.fault = str(error)
    except OSError as error:
        findings.fault = f"{error.strerror or error}: {error.filename or ''}"
    if findings.fault:
        voice.console.print(
            f"hemma demo: {findings.fault}", style="red", markup=False, soft_wrap=True
        )
    if not wishes.check:
        return 1 if findings.fault else 0
    print(findings.report(time.monotonic() - voice.begun_s), flush=True)
    return 0 if findings.is_ok() else 1


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the first explainable cause in a group; raises the group when there is none."""
    explained = group.subgroup(_EXPLAINED)
    if explained is None:
        raise group
    error: BaseException = explained
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


async def _until_told(wishes: Wishes, voice: Voice, findings: Findings) -> None:
    """Run until done, or until Ctrl-C or SIGTERM; then everything is stopped in reverse order."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "called by asyncio.run"
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            told = True
            voice.console.print("stopping …", style="dim")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        with _folder(wishes) as folder:
            await _run(folder, wishes, voice, findings)
    except asyncio.CancelledError:
        if not told:
            raise
        if wishes.check:
            findings.fault = "interrupted"
    if not wishes.check:
        voice("everything that was started is stopped")


@contextlib.contextmanager
def _folder(wishes: Wishes) -> Iterator[Path]:
    """Give the folder for everything; it is removed afterwards unless it is to be kept."""
    if not wishes.keep:
        folder = Path(tempfile.mkdtemp(prefix="hemma-demo-"))
        try:
            yield _enterable(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = wishes.folder or kept_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "demo.lock").open("a") as lock:
        _hold(lock, folder)
        yield _enterable(folder)


def _enterable(folder: Path) -> Path:
    """When we are root the servers run as another account, which must get through our folder."""
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def _hold(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TakenError(
            f"The folder {folder} is in use by another `hemma demo`. "
            "Stop that one, or name another folder: hemma demo --keep DIR"
        ) from error


async def _run(folder: Path, wishes: Wishes, voice: Voice, findings: Findings) -> None:
    known = folder / "demo.json"
    if wishes.check and known.exists():
        raise TakenError(f"{folder} holds an earlier demo; --check needs a new folder.")
    # The check's server goes away for a while: on the port that people know, another demo might
    # move in meanwhile.
    port = free_port() if wishes.check else known_port()
    async with open_house(folder, choose(os.environ), web_port=port, say=voice) as house:
        passwords = await _people(house, known, voice)
        await asyncio.gather(house.start_server(), house.start_home())
        voice("server: ingest, engine, notify, web")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(house.the_home.listen(), name="home"),
                group.create_task(house.watch(), name="watch"),
            ]
            await house.the_home.ready()
            voice("a home with a virtual cuff, scale, thermometer and oximeter")
            if wishes.check:
                await check(house, passwords["sjukskoterska"], findings, say=voice)
            else:
                await _show(house, wishes, passwords, voice.console)
            for task in tasks:
                task.cancel()


async def _people(house: House, known: Path, voice: Voice) -> dict[str, str]:
    """Make the invented people, or find them as they were kept; return the passwords by login."""
    await asyncio.to_thread(migrate, house.database_url)
    now = datetime.now(UTC)
    if (kept := _read_passwords(known)) is not None:
        await note_homes(house.database, now=now)
        voice("the people and values that were kept")
        return kept
    await refuse_foreign_data(house.database)
    passwords = new_passwords()
    with _progress(voice.console) as told:
        await seed(house.database, passwords, now=now, progress=told)
    _write_passwords(known, passwords)
    voice("twelve invented people with ninety days of values and alerts")
    return passwords


def _read_passwords(known: Path) -> dict[str, str] | None:
    if not known.exists():
        return None
    passwords: dict[str, str] = json.loads(known.read_text())["passwords"]
    return passwords


def _write_passwords(known: Path, passwords: dict[str, str]) -> None:
    known.touch(mode=0o600)
    known.write_text(json.dumps({"passwords": passwords}))


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Callable[[float], None]]:
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("ninety days", total=1.0)
        yield lambda share: progress.update(task, completed=share)


async def _show(house: House, wishes: Wishes, passwords: dict[str, str], console: Console) -> None:
    """Print who may log in where, and let values arrive until told to stop."""
    table = Table(
        title="DEMO – invented people, this machine only",
        title_style="bold red",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    for heading in ("role", "link", "user", "password"):
        table.add_column(heading, overflow="fold")
    for one in LOGINS:
        link = house.base_url + one.start_page
        table.add_row(ROLE_NAMES[one.role], link, one.login, passwords[one.login])
    output = Console(file=sys.stdout)
    output.width = max(output.width, TABLE_WIDTH)
    output.print(table)
    output.print("An alert arrives within half a minute. Ctrl-C stops everything.")
    if wishes.keep:
        output.print(f"Kept in {house.folder}", highlight=False, soft_wrap=True)
    if wishes.open_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        await asyncio.to_thread(webbrowser.open, house.base_url)
    async with asyncio.TaskGroup() as group:
        group.create_task(_values(house, console), name="values")
        group.create_task(_other_homes(house), name="other-homes")


async def _values(house: House, console: Console) -> None:
    """First a value that someone must act on, then now and then an ordinary one."""
    await asyncio.sleep(FIRST_VALUE_AFTER_S)
    await house.the_home.measure("cuff", {"systolic": 226, "diastolic": 118, "pulse": 92})
    console.print("  a very high blood pressure has been measured in the virtual home", style="dim")
    chance = random.Random()  # noqa: S311 - invented values
    while True:
        await asyncio.sleep(chance.uniform(*VALUE_EVERY_S))
        device, values = _ordinary(chance)
        await house.the_home.measure(device, values)
        console.print(f"  the {device} was used in the virtual home", style="dim")


def _ordinary(chance: random.Random) -> tuple[str, dict[str, float]]:
    device = chance.choice(("cuff", "cuff", "scale", "thermometer", "oximeter"))
    pulse = chance.gauss(74, 4)
    values = {
        "cuff": {
            "systolic": chance.gauss(126, 7),
            "diastolic": chance.gauss(74, 4),
            "pulse": pulse,
        },
        "scale": {"weight": chance.gauss(61.6, 0.2)},
        "thermometer": {"temperature": chance.gauss(36.9, 0.2)},
        "oximeter": {"spo2": min(99.0, chance.gauss(96, 0.8)), "pulse": pulse},
    }
    return device, values[device]


async def _other_homes(house: House) -> None:
    while True:
        await asyncio.sleep(HOMES_HEARD_EVERY_S)
        await note_homes(house.database, now=datetime.now(UTC))
