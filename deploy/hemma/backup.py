"""`hemma backup` and `hemma restore`: one folder that holds the whole database, and the way back.

Rules of this file: a backup is complete under its name or not there; what it holds is known from
the same moment as the dump; a restored database is compared with that before anybody relies on it.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

import msgspec

from devices import wire
from hemma.errors import HemmaError, TakenError
from hemma.pg_programs import pg_dump, pg_restore, run
from server.store import backup_facts, certificate_check, gateway_orders, restoring
from server.store.backup_facts import WHOLE, Connection, Facts, Part
from server.store.database import Database
from server.store.derived_again import DerivedAgain, derive_again
from server.store.migrate import migrate

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DUMP: Final = "hemma.dump"
# What the gateways may have been told "stored" of shortly before the snapshot, by their own clocks.
RESEND_MARGIN: Final = timedelta(hours=1)
SERVER_VERSION_MAJOR: Final = 10_000


class BackupUnreadableError(HemmaError):
    """The folder is no backup, or not what its manifest says; nothing was restored."""


class Manifest(msgspec.Struct, frozen=True):
    """What stands beside a dump: how it was made, and what the database held at that moment."""

    format: int
    made_at: datetime
    pg_dump: int
    dump_bytes: int
    dump_sha256: str
    facts: Facts


class Difference(msgspec.Struct, frozen=True):
    """Where a restored database is not what the backup said; texts without personal data."""

    where: str
    expected: str
    found: str


class Verified(msgspec.Struct, frozen=True):
    """What a comparison covered, and what it found."""

    rows: int
    derived: int
    not_derivable: int
    differences: tuple[Difference, ...]


class Restored(msgspec.Struct, frozen=True):
    """What a restore did. `verified` None: not asked for; `schema` None: not brought up to date.

    `asked` are the gateways that will be asked for what they have stored since `since`.
    """

    backup_of: datetime
    schema_before: str
    schema: str | None
    verified: Verified | None
    asked: tuple[str, ...]
    since: datetime


def back_up(url: str, folder: Path) -> Manifest:
    """Write the database at `url` into the new folder `folder`; the server may run meanwhile.

    Raises TakenError where the folder exists, MissingPartError without a fitting pg_dump,
    ProgramFailedError in its words, DatabaseUnavailable.
    """
    with _new_folder(folder) as draft, backup_facts.snapshot(url) as moment:
        program = pg_dump(moment.server.major)
        address, environment = backup_facts.without_password(url)
        with _private_file(draft / DUMP) as dump:
            run(
                program,
                f"--dbname={address}",
                f"--snapshot={moment.name}",
                "--format=custom",
                "--no-password",
                environment=environment,
                writes=dump,
            )
        manifest = Manifest(
            format=FORMAT,
            made_at=datetime.now(UTC),
            pg_dump=program.major,
            dump_bytes=(draft / DUMP).stat().st_size,
            dump_sha256=_sha256(draft / DUMP),
            facts=backup_facts.facts(moment.connection),
        )
        with _private_file(draft / MANIFEST) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup whose dump is whole; raises BackupUnreadableError."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        size = (folder / DUMP).stat().st_size
    except OSError as error:
        raise BackupUnreadableError(f"{folder} is no backup: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BackupUnreadableError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupUnreadableError(f"{folder} was made by another version; upgrade hemma")
    if size != manifest.dump_bytes or _sha256(folder / DUMP) != manifest.dump_sha256:
        raise BackupUnreadableError(
            f"{folder / DUMP} is not what the manifest says ({size} bytes of"
            f" {manifest.dump_bytes}): it is damaged or incomplete; take another backup"
        )
    return manifest


async def restore(url: str, folder: Path, *, verify: bool, say: Callable[[str], None]) -> Restored:
    """Put a backup into the empty database at `url`, compare it, and order what came since.

    The server must not run on that database yet; the gateways hear the order when it does. Where
    the comparison finds a difference the database stays as it was restored, for whoever looks into
    it: neither migrated nor are gateways asked. Raises BackupUnreadableError, NotRestorable,
    MissingPartError, ProgramFailedError, DatabaseUnavailable.
    """
    manifest = read_manifest(folder)
    facts, since = manifest.facts, manifest.facts.taken_at - RESEND_MARGIN
    with backup_facts.connection(url) as held:
        _fill(held, url, manifest, folder / DUMP, say)
        verified = None
        if verify:
            say("comparing with the backup")
            found = backup_facts.facts(held)
            chains = await _broken_chains(url) if found.chain_heads else ()
            verified = compare(facts, found, derive_again(held), chains)
    if verified is not None and verified.differences:
        return Restored(facts.taken_at, facts.schema_version, None, verified, (), since)
    done = await asyncio.to_thread(migrate, url)
    asked = await _order_what_came_since(url, since)
    return Restored(facts.taken_at, facts.schema_version, done.after, verified, asked, since)


def compare(
    expected: Facts, found: Facts, derived: DerivedAgain, chains: Sequence[str] = ()
) -> Verified:
    """Return every difference between what a backup held and what a database holds.

    ``chains`` are the places where certificates made anew differ from those that stand there.
    """
    pairs = [
        ("schema", expected.schema_version, found.schema_version),
        ("received_seq", str(expected.received_seq), str(found.received_seq)),
        *_pairs("", _said(expected.parts), _said(found.parts)),
        *_pairs("chain of ", expected.chain_heads, found.chain_heads),
        *((place, "what was certified", "something else") for place in chains),
        *(("a value", "what its bytes say", one.why) for one in derived.disagreements),
    ]
    differences = [Difference(*pair) for pair in pairs if pair[1] != pair[2]]
    return Verified(
        rows=sum(found.tables.values()),
        derived=derived.compared,
        not_derivable=derived.not_known,
        differences=tuple(differences),
    )


def _fill(
    held: Connection, url: str, manifest: Manifest, dump: Path, say: Callable[[str], None]
) -> None:
    """Load a dump in one transaction: either all of it is there, or nothing."""
    facts = manifest.facts
    restoring.refuse_unfit(
        held, timescale=facts.timescale, dumped_from=facts.server_version // SERVER_VERSION_MAJOR
    )
    program = pg_restore(backup_facts.server_of(held).major, dumped_by=manifest.pg_dump)
    address, environment = backup_facts.without_password(url)
    say(f"restoring what was there on {facts.taken_at:%Y-%m-%d %H:%M}Z")
    restoring.begin(held, timescale=facts.timescale)
    try:
        with dump.open("rb") as file:
            run(
                program,
                f"--dbname={address}",
                "--format=custom",
                "--single-transaction",
                "--exit-on-error",
                "--no-owner",
                "--no-privileges",
                "--no-password",
                environment=environment,
                reads=file,
            )
    finally:
        restoring.finish(held, timescale=facts.timescale)


async def _broken_chains(url: str) -> tuple[str, ...]:
    async with (
        Database.connect(url, name="hemma-restore", size=1) as database,
        database.transaction() as tx,
    ):
        found = await certificate_check.differences(tx)
    return tuple(f"certificate of {one.gateway}, {one.day}: {one.fault}" for one in found)


async def _order_what_came_since(url: str, since: datetime) -> tuple[str, ...]:
    now = datetime.now(UTC)
    async with (
        Database.connect(url, name="hemma-restore", size=1) as database,
        database.transaction() as tx,
    ):
        orders = await gateway_orders.order_resend(
            tx, None, since=since, at=now, expires=now + timedelta(days=wire.RESEND_DAYS_MAX)
        )
    return tuple(sorted({order.gateway for order in orders}))


def _said(parts: Sequence[Part]) -> dict[str, str]:
    return {
        part.table if part.week == WHOLE else f"{part.table}, week of {part.week}": (
            f"{part.rows} rows, digest {part.digest}"
        )
        for part in parts
    }


def _pairs(
    what: str, expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    for name in sorted(expected.keys() | found.keys()):
        yield what + name, expected.get(name, "nothing"), found.get(name, "nothing")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder under another name, closed to others; it gets its own when all went well."""
    folder = folder.absolute()
    if folder.exists():
        raise TakenError(f"{folder} exists already; a backup is written into a new folder.")
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    draft.mkdir(mode=0o700)
    try:
        yield draft
        _flush(draft)
        draft.rename(folder)
        _flush(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


@contextmanager
def _private_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file that only we may read; what was written is on the disk afterwards."""
    path.touch(mode=0o600, exist_ok=False)
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
