"""PostgreSQL's client programs, in the version that fits a server.

`pg_dump` reads servers of its own version and older. `pg_restore` reads dumps of its own version
and older, and from 17 on says things that an older server does not understand.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from hemma.cluster import in_wheel
from hemma.errors import HemmaError, MissingPartError

SPEAKS_NEW: Final = 17  # pg_restore of this version and later sets what older servers do not know
SAID_LINES_MAX: Final = 12


class ProgramFailedError(HemmaError):
    """One of PostgreSQL's programs failed; its own words are in the message."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program on this machine and its major version."""

    path: Path
    major: int

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.name


def pg_dump(server_major: int) -> Program:
    """Return the pg_dump for a server of that version; raises MissingPartError with the remedy."""
    fits = [one for one in _found("pg_dump") if one.major >= server_major]
    return _nearest(fits, "pg_dump", server_major)


def pg_restore(server_major: int, *, dumped_by: int) -> Program:
    """Return the pg_restore for a server of that version and a dump made by that pg_dump.

    Raises MissingPartError with the remedy.
    """
    least = max(server_major, dumped_by)
    fits = [
        one
        for one in _found("pg_restore")
        if one.major >= least and not (one.major >= SPEAKS_NEW > server_major)
    ]
    return _nearest(fits, "pg_restore", least)


def run(
    program: Program,
    *arguments: str,
    environment: Mapping[str, str],
    reads: IO[bytes] | None = None,
    writes: IO[bytes] | None = None,
) -> None:
    """Run it to its end with files for its input and output; raises ProgramFailedError."""
    done = subprocess.run(
        [program.path, *arguments],
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        stdin=reads or subprocess.DEVNULL,
        stdout=writes or subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-SAID_LINES_MAX:]
        raise ProgramFailedError(
            f"{program.name} {program.major} failed (code {done.returncode}):\n" + "\n".join(said)
        )


def _nearest(fits: list[Program], name: str, wanted: int) -> Program:
    if fits:
        return min(fits, key=lambda one: one.major)
    raise MissingPartError(
        f"No {name} that fits PostgreSQL {wanted} was found on this machine.",
        f"apt-get install postgresql-client-{wanted}, or run this command where the server runs",
    )


def _found(name: str) -> list[Program]:
    """Return each one that runs here, of the distribution and of the wheel."""
    paths = dict.fromkeys(path.resolve() for path in _places(name) if path.exists())
    return [Program(path, major) for path in paths if (major := _major(path)) is not None]


def _places(name: str) -> Iterator[Path]:
    for folder in Path("/usr/lib/postgresql").glob("*/bin"):
        yield folder / name
    if on_path := shutil.which(name):
        yield Path(on_path)
    for installation in in_wheel():
        yield installation.bin / name


def _major(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(version[1]) if version else None
