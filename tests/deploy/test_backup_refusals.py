"""What a restore refuses, what it finds, and what a backup leaves when it fails."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from devices.gatt import blood_pressure
from hemma import pg_programs
from hemma.backup import (
    DUMP,
    MANIFEST,
    BackupUnreadableError,
    Manifest,
    Restored,
    back_up,
    compare,
    restore,
)
from hemma.errors import MissingPartError, TakenError
from hemma.pg_programs import Program, ProgramFailedError
from server.store import certificates
from server.store.backup_facts import without_password
from server.store.database import Database
from server.store.derived_again import DerivedAgain, fault_of
from server.store.items import ReceivedItem, keep
from server.store.restoring import NotRestorable
from tests.server.homes import BOOT, GATEWAY, NOON, pressure, rows, settle

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
RAW = blood_pressure.encode(
    blood_pressure.BloodPressure(systolic=128, diastolic=82, mean=95, pulse_bpm=71)
)


def silent(_text: str) -> None:
    return


def put_back(url: str, folder: Path) -> Restored:
    return asyncio.run(restore(url, folder, verify=True, say=silent))


@pytest.fixture
def source(database_url: str) -> str:
    """A database with a home, three values of two weeks, and their certificates."""
    home = settle(database_url)
    asyncio.run(_fill(database_url, home.gateway))
    return database_url


async def _fill(url: str, gateway: int) -> None:
    mean = msgspec.structs.replace(pressure(1).samples[0], code="150023", value=95.0)
    items = [
        msgspec.structs.replace(
            pressure(n, at=NOON - n * 3 * DAY, raw=RAW.hex()),
            samples=(*pressure(n).samples, mean),
        )
        for n in (1, 2, 3)
    ]
    async with Database.connect(url, name="test") as database:
        for item in items:
            async with database.transaction() as tx:
                received = ReceivedItem(item, gateway, GATEWAY, BOOT)
                await keep(tx, [received], stored_at=NOON - 5 * DAY)
        while True:
            async with database.transaction() as tx:
                if await certificates.certify_next(tx, now=NOON) is None:
                    return


def changed(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    facts = msgspec.structs.replace(manifest.facts, **changes)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, facts=facts)))


def test_a_backup_is_whole_private_and_comes_back(
    source: str, empty_database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "b"
    manifest = back_up(source, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in folder.iterdir()} == {0o600}
    assert manifest.dump_sha256 == hashlib.sha256((folder / DUMP).read_bytes()).hexdigest()
    assert manifest.facts.tables["measurement"] == 3
    weeks = {part.week for part in manifest.facts.parts if part.table == "observation"}
    assert len(weeks) == 2
    assert list(manifest.facts.chain_heads) == [GATEWAY]
    done = put_back(empty_database_url, folder)
    assert done.verified is not None
    assert (done.verified.differences, done.verified.derived) == ((), 3)
    assert done.asked == (GATEWAY,)
    with pytest.raises(NotRestorable, match="not empty"):
        put_back(empty_database_url, folder)
    with pytest.raises(TakenError, match="exists"):
        back_up(source, folder)


def test_a_value_that_its_bytes_do_not_say_is_found(
    source: str, empty_database_url: str, tmp_path: Path
) -> None:
    rows(source, "UPDATE observation SET value = 129 WHERE value = 128", fetch=False)
    back_up(source, tmp_path / "b")
    done = put_back(empty_database_url, tmp_path / "b")
    assert done.verified is not None
    assert [one.where for one in done.verified.differences] == ["a value"] * 3
    assert (done.schema, done.asked) == (None, ()), "not taken into use"


def test_a_row_that_was_certified_and_is_gone_is_found(
    source: str, empty_database_url: str, tmp_path: Path
) -> None:
    rows(source, "DELETE FROM measurement WHERE seq = 2", fetch=False)
    back_up(source, tmp_path / "b")
    done = put_back(empty_database_url, tmp_path / "b")
    assert done.verified is not None
    (difference,) = done.verified.differences
    assert difference.where.startswith(f"certificate of {GATEWAY}")


def test_every_table_and_week_is_compared(source: str, tmp_path: Path) -> None:
    facts = back_up(source, tmp_path / "b").facts
    none = DerivedAgain(0, 0, ())
    assert compare(facts, facts, none).differences == ()
    for position, part in enumerate(facts.parts):
        other = msgspec.structs.replace(part, digest="7" + part.digest)
        parts = (*facts.parts[:position], other, *facts.parts[position + 1 :])
        (difference,) = compare(
            facts, msgspec.structs.replace(facts, parts=parts), none
        ).differences
        assert difference.where.startswith(part.table)
    broken: tuple[dict[str, Any], ...] = (
        {"received_seq": 1},
        {"schema_version": "0001"},
        {"chain_heads": {}},
    )
    for changes in broken:
        found = msgspec.structs.replace(facts, **changes)
        assert len(compare(facts, found, none).differences) == 1


def test_a_damaged_dump_touches_nothing(
    source: str, empty_database_url: str, tmp_path: Path
) -> None:
    back_up(source, tmp_path / "b")
    dump = tmp_path / "b" / DUMP
    whole = dump.read_bytes()
    for damaged in (whole[:-1], whole[:200] + b"\0" + whole[201:]):
        dump.write_bytes(damaged)
        with pytest.raises(BackupUnreadableError, match="damaged or incomplete"):
            put_back(empty_database_url, tmp_path / "b")
    with psycopg.connect(empty_database_url) as db:
        found = db.execute("SELECT count(*) FROM pg_class WHERE relname = 'measurement'").fetchone()
    assert found == (0,)
    with pytest.raises(BackupUnreadableError, match="no backup"):
        put_back(empty_database_url, tmp_path)


def test_another_extension_or_an_older_server_is_told_with_the_remedy(
    source: str, empty_database_url: str, tmp_path: Path
) -> None:
    back_up(source, tmp_path / "b")
    changed(tmp_path / "b", timescale="9.9.9")
    with pytest.raises(NotRestorable, match=r"TimescaleDB 9\.9\.9.*install that version"):
        put_back(empty_database_url, tmp_path / "b")
    changed(tmp_path / "b", timescale=None, server_version=990_000)
    with pytest.raises(NotRestorable, match="PostgreSQL 99 or later"):
        put_back(empty_database_url, tmp_path / "b")


def test_a_backup_that_fails_leaves_nothing(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [Program(Path("/bin/false"), 9)]
    monkeypatch.setattr(pg_programs, "_found", lambda _name: missing)
    with pytest.raises(MissingPartError, match="apt-get install postgresql-client-"):
        back_up(source, tmp_path / "b")
    monkeypatch.setattr(pg_programs, "_found", lambda _name: [Program(Path("/bin/false"), 99)])
    with pytest.raises(ProgramFailedError, match="false 99 failed"):
        back_up(source, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("server", "dumped_by", "fits"),
    [(15, 15, 15), (15, 17, None), (17, 15, 17), (17, 18, 18), (16, 16, 16), (19, 17, None)],
)
def test_the_restore_that_fits_both_the_server_and_the_dump(
    server: int, dumped_by: int, fits: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = [Program(Path("/usr/bin/pg_restore"), major) for major in (18, 15, 16, 17)]
    monkeypatch.setattr(pg_programs, "_found", lambda _name: here)
    if fits is None:
        with pytest.raises(MissingPartError):
            pg_programs.pg_restore(server, dumped_by=dumped_by)
    else:
        assert pg_programs.pg_restore(server, dumped_by=dumped_by).major == fits


def test_a_password_stands_in_no_list_of_processes() -> None:
    address, environment = without_password("postgresql://anna:hemligt@db.example/hemma")
    assert "hemligt" not in address
    assert environment == {"PGPASSWORD": "hemligt"}


def test_bytes_and_values_that_disagree_are_told_apart() -> None:
    said = {1: (128.0, None)}
    assert fault_of(1, "2A35", b"", said) == "bytes cannot be decoded: truncated"
    assert fault_of(1, "2A49", b"\0\0", said) == "bytes hold no measurement"
    assert "bytes hold no" in str(fault_of(1, "2A19", b"\x55", said))
