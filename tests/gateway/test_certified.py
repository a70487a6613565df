"""What a certificate and an outbox say of one another, case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from typer.testing import CliRunner

from devices import wire
from devices.wire import Certificate
from gateway.certified import Checked, Numbers, check
from gateway.command import app
from tests.gateway.fix_home import CUFF, Home, cuff_value, make_home

runner = CliRunner()
OTHER_BOOT = "0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10"
DAY = timedelta(days=1)
TODAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_LOCAL = datetime(2026, 11, 22, 12)  # noqa: DTZ001 - a device's own time has no zone


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("HEMMA_GATEWAY_NAME", "gw-1")
    home = make_home(tmp_path / "outbox.sqlite3")
    # At midnight a row would belong to two days.
    home.clock.wrong = NOON - datetime.now(UTC)
    yield home
    home.outbox.close()


def send(home: Home, count: int, *, answered: timedelta = timedelta(0)) -> None:
    """Measure, send, and be answered as stored."""
    for n in range(count):
        home.measure(120 + n)
    now_ms = home.clock.read().mono_ms
    rows = home.outbox.fresh(now_ms=now_ms, limit=99)
    home.outbox.mark_sent(rows, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * len(rows))
    spans = wire.seq_ranges(row.seq for row in rows)
    home.outbox.mark_stored(home.outbox.boot, spans, at=home.clock.read().utc + answered)


def uids(home: Home) -> dict[int, str]:
    return dict(home.outbox.connection.execute("SELECT seq, uid FROM outbox").fetchall())


def certified(
    rows: dict[int, str], boot: str, *, day: date = TODAY, previous: str | None = None
) -> Certificate:
    """What a server that stored ``rows`` on ``day`` would certify."""
    hashes = [(seq, wire.row_hash(UUID(boot), seq, UUID(uid))) for seq, uid in sorted(rows.items())]
    ranges = wire.certified_ranges(UUID(boot), hashes)
    made_at = datetime.combine(day + DAY, datetime.min.time(), UTC)
    one = Certificate(1, "gw-1", day, made_at, len(rows), previous, "0" * 64, ranges)
    return msgspec.structs.replace(one, chain=wire.chain_of(one))


def compared(home: Home, *certificates: Certificate) -> Checked:
    return check(home.outbox.connection, certificates)


def test_the_same_rows_are_proven(home: Home) -> None:
    send(home, 5)
    found = compared(home, certified(uids(home), home.outbox.boot))
    assert found == Checked(5, (), (), (), (), ())
    assert found.agrees


def test_another_value_under_a_number_is_found(home: Home) -> None:
    send(home, 5)
    rows = uids(home) | {3: "f" * 32}
    found = compared(home, certified(rows, home.outbox.boot))
    assert found.differing == (Numbers(home.outbox.boot, 1, 5),)
    assert not found.agrees


def test_what_was_never_sent_from_here_is_found(home: Home) -> None:
    send(home, 3)
    home.measure(160)
    boot, rows = home.outbox.boot, uids(home)
    beyond = rows | {5: "a" * 32, 6: "b" * 32}
    assert compared(home, certified(beyond, boot)).never_sent == (
        Numbers(boot, 5, 6),
        Numbers(boot, 4, 4),
    )
    found = compared(home, certified({1: "a" * 32}, OTHER_BOOT))
    assert found.never_sent == (Numbers(OTHER_BOOT, 1, 1),)
    assert not found.agrees


def test_rows_that_left_the_outbox_are_proven_or_left_open_never_blamed(home: Home) -> None:
    send(home, 3)
    home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=cuff_value(150, NOON_LOCAL))
    home.intake.take_all()
    send(home, 0)
    one = certified(uids(home), home.outbox.boot)
    home.outbox.discard_acked(NOON + 8 * DAY)
    assert uids(home) == {}
    assert compared(home, one) == Checked(4, (), (), (), (), ())
    home.outbox.connection.execute("DELETE FROM record")
    found = compared(home, one)
    assert found.unproven == (Numbers(home.outbox.boot, 1, 4),)
    assert found.agrees


def test_what_the_server_answered_and_did_not_certify_is_found(home: Home) -> None:
    send(home, 4)
    rows = uids(home)
    del rows[2]
    found = compared(home, certified(rows, home.outbox.boot))
    assert found.not_certified == (Numbers(home.outbox.boot, 2, 2),)
    assert not found.agrees


def test_an_answer_of_another_day_is_missed_only_where_all_days_are_known(home: Home) -> None:
    """Stored the day before perhaps, and the first answer lost."""
    send(home, 1, answered=DAY)
    boot = home.outbox.boot
    sunday = certified({}, boot)
    monday = certified({}, boot, day=TODAY + DAY, previous=sunday.chain)
    assert compared(home, monday).not_certified == ()
    assert compared(home, sunday, monday).not_certified == (Numbers(boot, 1, 1),)
    sunday = certified(uids(home), boot)
    monday = certified({}, boot, day=TODAY + DAY, previous=sunday.chain)
    assert compared(home, sunday, monday).agrees
    # The clock went back between writing and answer: nobody knows on which days it was.
    home.outbox.connection.execute("UPDATE outbox SET acked_t='2026-11-20T12:00:00.000Z'")
    assert compared(home, certified({}, boot)).not_certified == ()


def test_a_certificate_that_was_changed_or_follows_another_is_damaged(home: Home) -> None:
    send(home, 2)
    sunday = certified(uids(home), home.outbox.boot)
    forged = msgspec.structs.replace(sunday, ranges=())
    assert compared(home, forged).damaged == (TODAY,)
    monday = certified({}, home.outbox.boot, day=TODAY + DAY, previous="0" * 64)
    assert compared(home, monday, sunday).damaged == (TODAY + DAY,)
    assert compared(home, monday).damaged == ()


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "Everything that the server certified was sent from here"),
        ({"chain": "f" * 64}, "The certificate does not agree with itself"),
    ],
)
def test_the_command_tells_a_person_what_to_do(
    home: Home, tmp_path: Path, change: dict[str, Any], verdict: str
) -> None:
    send(home, 2)
    one = msgspec.structs.replace(certified(uids(home), home.outbox.boot), **change)
    text = wire.encode(one).decode()
    result = runner.invoke(app, ["certificate", "check", "-"], input=text)
    assert result.exit_code == (1 if change else 0)
    assert f"verdict: {verdict}" in result.stdout
    (tmp_path / "one.json").write_text(text)
    told = runner.invoke(app, ["certificate", "check", str(tmp_path / "one.json"), "--json"])
    assert json.loads(told.stdout)["agrees"] == (not change)


@pytest.mark.parametrize(
    ("rows", "boot", "verdict"),
    [
        ({1: "f" * 32}, None, "other values under these numbers"),
        ({1: "f" * 32}, OTHER_BOOT, "never sent"),
        ({}, None, "answered that it had stored these"),
    ],
)
def test_the_command_names_what_does_not_agree(
    home: Home, rows: dict[int, str], boot: str | None, verdict: str
) -> None:
    send(home, 1)
    text = wire.encode(certified(rows, boot or home.outbox.boot)).decode()
    result = runner.invoke(app, ["certificate", "check", "-", "--json"], input=text)
    assert result.exit_code == 1
    assert verdict in json.loads(result.stdout)["verdict"]


def test_the_command_says_what_it_cannot_prove(home: Home) -> None:
    send(home, 1)
    text = wire.encode(certified({1: "f" * 32}, home.outbox.boot)).decode()
    home.outbox.discard_acked(NOON + 8 * DAY)
    result = runner.invoke(app, ["certificate", "check", "-"], input=text)
    assert (result.exit_code, "left this outbox too long ago" in result.stdout) == (0, True)
    assert f"unproven: boot {home.outbox.boot} 1–1" in result.stdout


def test_the_command_says_what_is_no_certificate_of_this_gateway(
    home: Home, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(certified({}, home.outbox.boot), gateway="gw-2")
    for text, reason in ((b"{", "is no certificate"), (wire.encode(other), "is of gw-2")):
        (tmp_path / "one.json").write_bytes(text)
        result = runner.invoke(app, ["certificate", "check", str(tmp_path / "one.json"), "--json"])
        assert result.exit_code == 1
        assert reason in json.loads(result.stdout)["error"]
    result = runner.invoke(app, ["certificate", "check", str(tmp_path / "none.json")])
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)
