"""Under which operating-system account the database and the broker run.

PostgreSQL refuses to run as root, and a broker has no reason to. When we are root, they run as the
account that Debian made for the database, or as `nobody`; otherwise as ourselves. Folders that are
not ours are never changed: where the account cannot reach one, another place is used.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

FALLBACK_FOLDERS: Final = Path("/var/lib/hemma")


@dataclass(frozen=True, slots=True)
class Account:
    """An account to run a server as."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs as the account."""
        return self.uid == os.geteuid()


NOBODY: Final = Account("nobody", 65534, 65534)  # the same numbers on every Debian


def service_account() -> Account:
    """Return the account that servers run as: ourselves, or `postgres` or `nobody` for root."""
    if os.geteuid() != 0:
        return ourselves()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    return NOBODY


def ourselves() -> Account:
    """Return the account that this process runs as."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    except KeyError:  # a container's user without an entry
        return Account(str(uid), uid, gid)


def spawn(command: Sequence[str], account: Account, *, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a server as `account`, its output in `log`, in a process group of its own.

    The group keeps a Ctrl-C on the terminal from reaching it: whoever started it stops it, in its
    order.
    """
    return subprocess.Popen(
        command,
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        process_group=0,
        user=None if account.is_ours else account.uid,
        group=None if account.is_ours else account.gid,
        extra_groups=None if account.is_ours else (),
    )


def ends_with_us(command: Sequence[str], *, signal_name: str = "TERM") -> list[str]:
    """Return the command so that the kernel ends it when this process dies, however that happens.

    The signal comes when the *thread* that starts it ends: use it from the main thread only.
    """
    setpriv = shutil.which("setpriv")  # util-linux, on every Debian
    if setpriv is None:
        return list(command)
    return [setpriv, "--pdeathsig", signal_name, "--", *command]


def run_as(
    command: Sequence[str], account: Account, *, text_in: str = "", timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a short command as `account` and return what it said; never raises for its exit code."""
    return subprocess.run(
        command,
        cwd="/",
        env=_environment(),
        input=text_in,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        user=None if account.is_ours else account.uid,
        group=None if account.is_ours else account.gid,
        extra_groups=None if account.is_ours else (),
    )


def can_enter(account: Account, folder: Path) -> bool:
    """Return whether `account` may look up names in `folder`."""
    return run_as(["/usr/bin/test", "-x", str(folder)], account).returncode == 0


def reachable(folder: Path, account: Account) -> Path:
    """Return `folder`, or another one where `account` cannot reach it, say in root's home.

    The other one is always the same for the same `folder`, so what is kept there is found again.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    if can_enter(account, folder.parent):
        return folder
    FALLBACK_FOLDERS.mkdir(mode=0o755, parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return FALLBACK_FOLDERS / f"{folder.name}-{name}"


def private_folder(folder: Path, account: Account) -> None:
    """Make `folder` (new, empty or already the account's) the account's own, closed to others."""
    folder.mkdir(mode=0o700, parents=False, exist_ok=True)
    if folder.stat().st_uid != account.uid:
        if any(folder.iterdir()):
            raise PermissionError(f"{folder} belongs to another account and is not empty")
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def _environment() -> dict[str, str]:
    """Only what a server needs: nothing of ours (passwords, LD_*, PG*) leaks into it."""
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
