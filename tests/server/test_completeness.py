"""``hemma server completeness`` and ``certify``, and the gateway's check of what they certify."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from devices import wire
from devices.wire import DeviceStatus, Item, Radio, Status
from gateway.command import app as gateway_app
from gateway.link import Broker as Link
from hemma.broker import Broker
from server.command import app
from server.completeness_report import Period
from server.ingest import run
from server.store.certificates import certify_next
from server.store.database import Database
from server.store.gateways import heard, note_status
from server.store.items import ReceivedItem, keep
from server.store.ledger import Refused, note
from tests.gateway import fix_home
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, rows, settle
from tests.server.ingest.fix_ingest import eventually, running, server_settings

pytestmark = pytest.mark.integration

runner = CliRunner()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STATUS = Status(
    v=1, t=NOON, state="online", reason=None, boot=BOOT, sw="0.1.0", outbox=0, oldest=None,
    quarantine=0, radio=Radio("ok", 3, 0), clock="ntp", disk_free=1_000_000, temp_c=41.5,
    power="ok", devices=(),
)  # fmt: skip


@pytest.fixture
def home(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    now = datetime.now(UTC)
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)
    home = settle(database_url)
    rows(database_url, "UPDATE binding SET valid = tstzrange(%s, NULL)", now - 9 * DAY, fetch=False)
    say(database_url, at=now)
    return home


def say(
    url: str, *, at: datetime, outbox: int = 0, oldest: datetime | None = None, **changes: Any
) -> None:
    """Let the gateway say how it is, as of ``at``."""
    status = msgspec.structs.replace(STATUS, t=at, outbox=outbox, oldest=oldest, **changes)

    async def work() -> None:
        async with Database.connect(url, name="test") as database, database.transaction() as tx:
            await note_status(tx, GATEWAY, status, at=at)

    asyncio.run(work())


def fall_silent(url: str, *, at: datetime, outbox: int = 0, oldest: datetime | None = None) -> None:
    """Let it be as if the gateway had last been heard at ``at``, and its link was cut then."""
    rows(url, "UPDATE gateway SET last_heard_at = NULL", fetch=False)
    say(url, at=at, outbox=outbox, oldest=oldest)
    say(url, at=at, state="offline", reason="will")


def take(
    url: str,
    home: Home,
    *items: Item,
    at: datetime | None = None,
    boot: str = BOOT,
    refused: tuple[int, ...] = (),
) -> None:
    received = [ReceivedItem(item, home.gateway, GATEWAY, boot) for item in items]
    at = at or datetime.now(UTC)

    async def work() -> None:
        async with Database.connect(url, name="test") as database, database.transaction() as tx:
            kept = await keep(tx, received, stored_at=at)
            numbers = [Refused(home.gateway, boot, seq) for seq in refused]
            await note(tx, received, kept, refused=numbers, at=at)

    asyncio.run(work())


def several(*seqs: int, at: datetime | None = None, **changes: Any) -> list[Item]:
    return [pressure(seq, at=at or datetime.now(UTC), **changes) for seq in seqs]


def asked(*arguments: str) -> tuple[int, Any]:
    """Return exit code and JSON of ``hemma server …``."""
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def test_nothing_missing_is_told_with_what_came_again(home: Home, database_url: str) -> None:
    tombstone = Item(seq=3, uid=wire.row_uid(BOOT, 3), type="tombstone", why="too_large")
    for _ in range(2):
        take(database_url, home, *several(1, 2), tombstone, refused=(4,))
    code, told = asked("completeness")
    assert (code, told["complete"], told["missing"], told["pending"]) == (0, True, 0, 0)
    (boot,) = told["gateways"][0]["boots"]
    assert (boot["expected"], boot["had"], boot["duplicates"]) == (4, 4, 3)
    assert boot["tombstones"] == [{"seq": 3, "why": "too_large"}]
    text = runner.invoke(app, ["completeness", "--gateway", GATEWAY]).stdout
    assert "of 1–4 4 are here\n" in text
    assert "1 could never be sent (3: too_large)" in text
    assert text.endswith("Nothing is missing.\n")


def test_a_gap_may_still_come_for_an_hour_and_is_missing_then(
    home: Home, database_url: str
) -> None:
    now = datetime.now(UTC)
    take(database_url, home, *several(1, 2, 5), at=now - HOUR - DAY / 24 / 60)
    take(database_url, home, *several(9))
    code, told = asked("completeness", "--gateway", GATEWAY)
    assert (code, told["complete"], told["missing"], told["pending"]) == (1, False, 2, 3)
    (boot,) = told["gateways"][0]["boots"]
    assert (boot["missing"], boot["pending"]) == ([[3, 4]], [[6, 8]])
    result = runner.invoke(app, ["completeness"])
    assert result.exit_code == 1
    assert "of 1–9 4 are here, 2 missing (3–4), 3 may still come (6–8)" in result.stdout
    assert "2 numbers are missing of gw-1. Ask for them: hemma server resend gw-1" in result.stdout
    take(database_url, home, *several(3, 4, 6, 7, 8))
    assert asked("completeness")[0] == 0


def test_a_boot_that_fell_silent_keeps_no_one_waiting(home: Home, database_url: str) -> None:
    now = datetime.now(UTC)
    take(database_url, home, *several(2, 3), at=now - 2 * HOUR)
    code, told = asked("completeness")
    assert (code, told["gateways"][0]["boots"][0]["missing"]) == (1, [[1, 1]])
    # A new boot begins at 1 and does not answer for the one before.
    other = "6f1c0a52-0000-4000-8000-000000000002"
    take(database_url, home, *several(1, salt="b"), boot=other)
    boots = asked("completeness")[1]["gateways"][0]["boots"]
    assert [(one["boot"], one["missing"], one["expected"]) for one in boots] == [
        (BOOT, [[1, 1]], 3),
        (other, [], 1),
    ]


def test_the_period_chooses_boots_and_a_boot_with_too_many_holes_is_not_complete(
    home: Home, database_url: str
) -> None:
    now = datetime.now(UTC)
    take(database_url, home, *several(2), at=now - 20 * DAY)
    span = (f"{(now - 10 * DAY).date()}", f"{now.date() + DAY}")
    code, told = asked("completeness", "--from", span[0], "--to", span[1])
    assert (code, told["gateways"][0]["boots"]) == (0, [])
    assert "nothing came of it" in runner.invoke(app, ["completeness", "--from", span[0]]).stdout
    take(database_url, home, *several(1))
    asked("completeness")
    rows(database_url, "UPDATE ledger SET is_full = true", fetch=False)
    code, told = asked("completeness")
    assert (code, told["missing"]) == (1, 0)
    assert "so many holes" in told["verdict"]


def test_a_patients_days_devices_and_what_belongs_to_nobody(home: Home, database_url: str) -> None:
    now = datetime.now(UTC)
    noon = datetime.combine(now.date(), datetime.min.time(), UTC) - 12 * HOUR
    stranger = msgspec.structs.replace(
        pressure(5, at=noon), t=noon - 20 * DAY, ctx={"user_index": 2}
    )
    outside = msgspec.structs.replace(pressure(6, at=noon), gw_t=noon - 20 * DAY)
    take(database_url, home, *several(1, 2, at=noon), pressure(3, at=noon - 2 * DAY), stranger)
    take(database_url, home, outside)
    ((public_id,),) = rows(
        database_url, "SELECT public_id::text FROM patient WHERE id = %s", home.patient
    )
    first, last = (noon - 3 * DAY).date(), noon.date()
    span = ("--from", str(first), "--to", str(last))
    code, told = asked("completeness", "--patient", public_id, *span)
    assert code == 0, told["verdict"]
    assert told["gateways"][0]["gateway"] == GATEWAY
    patient = told["patient"]
    assert patient["public_id"] == public_id
    assert patient["devices"][0]["device"] == CUFF
    assert patient["unassigned"] == [{"device": CUFF, "reason": "outside_binding", "values": 1}]
    (kind,) = patient["kinds"]
    assert (kind["kind"], kind["values"]) == ("blood_pressure", 3)
    assert kind["days_with"] == [str((noon - 2 * DAY).date()), str(last)]
    assert kind["days_without"] == [str(first), str((noon - DAY).date())]
    text = runner.invoke(app, ["completeness", "--patient", public_id, *span]).stdout
    assert "blood_pressure: 3 values, on 2 of 4 days" in text
    assert f"1 values of {CUFF} belong to nobody (outside_binding)" in text
    assert "Påhittad" not in text
    logged = "SELECT action, target, patient_id, login LIKE 'os:%%', outcome FROM access_log"
    entry = ("read", "hemma server completeness", home.patient, True, "granted")
    assert rows(database_url, logged) == [entry, entry]


def public_id_of(url: str, patient: int) -> str:
    ((public_id,),) = rows(url, "SELECT public_id::text FROM patient WHERE id = %s", patient)
    return str(public_id)


def test_of_a_patient_whose_home_is_silent_nothing_is_said_to_be_complete(
    home: Home, database_url: str
) -> None:
    now = datetime.now(UTC)
    of_patient = ("completeness", "--patient", public_id_of(database_url, home.patient))
    span = (*of_patient, "--from", str((now - 3 * DAY).date()))
    code, told = asked(*span)
    assert (code, told["complete"], told["known"], told["gateways"]) == (1, False, False, [])
    assert "No gateway of this patient is known" in told["verdict"]
    take(database_url, home, *several(1, 2, at=now - 5 * DAY), at=now - 5 * DAY)
    fall_silent(database_url, at=now - 5 * DAY)
    code, told = asked(*span)
    assert (code, told["complete"], told["known"], told["missing"]) == (1, False, False, 0)
    assert [(one["gateway"], one["boots"]) for one in told["gateways"]] == [(GATEWAY, [])]
    assert told["gateways"][0]["not_known"] == "silent"
    assert f"Not known yet: {GATEWAY} was last heard" in told["verdict"]
    # What the home says now is that it has nothing: nobody measured.
    say(database_url, at=now)
    assert asked(*span)[0] == 0
    # Nothing is known of days to come.
    code, told = asked(*of_patient, "--from", str((now + 2 * DAY).date()),
                       "--to", str((now + 3 * DAY).date()))  # fmt: skip
    assert (code, told["complete"]) == (1, False)


@pytest.mark.parametrize("boot", [BOOT, "6f1c0a52-0000-4000-8000-000000000002"])
def test_holes_of_values_that_came_after_the_period_are_named(
    home: Home, database_url: str, boot: str
) -> None:
    now = datetime.now(UTC)
    measured = now - 6 * DAY
    take(database_url, home, *several(1, at=measured), at=measured)
    # The home had no link for days: the rest of what it wrote then came yesterday, but for two.
    late = several(2, 5, at=measured, salt="late")
    take(database_url, home, *late, at=now - DAY, boot=boot)
    say(database_url, at=now)
    span = ("--from", str((measured - DAY).date()), "--to", str((measured + DAY).date()))
    for whose in ((), ("--patient", public_id_of(database_url, home.patient))):
        code, told = asked("completeness", *whose, *span)
        boots = {one["boot"]: one["missing"] for one in told["gateways"][0]["boots"]}
        expected = [[3, 4]] if boot == BOOT else [[1, 1], [3, 4]]
        assert (code, told["complete"], boots[boot]) == (1, False, expected)
    text = runner.invoke(app, ["completeness", *span]).stdout
    assert "missing (" in text
    assert ("after the period: some may be of it" in text) == (boot != BOOT)


def test_a_home_that_said_that_values_wait_is_not_complete(home: Home, database_url: str) -> None:
    now = datetime.now(UTC)
    then = now - 2 * DAY
    take(database_url, home, *several(1, 2, at=then), at=then)
    fall_silent(database_url, at=then, outbox=7, oldest=then - HOUR)
    span = ("--from", str((then - DAY).date()), "--to", str((then - DAY).date()))
    for period in (span, ()):
        code, told = asked("completeness", *period)
        assert (code, told["complete"], told["known"], told["missing"]) == (1, False, False, 0)
        assert told["gateways"][0]["not_known"] == "waiting"
        assert told["verdict"] == (
            f"Not known yet: {GATEWAY} was last heard {then:%Y-%m-%d %H:%M}Z and said"
            f" {then:%Y-%m-%d %H:%M}Z that 7 items wait."
        )
    # It comes back, and sends; what it wrote a moment ago is on its way.
    say(database_url, at=now, outbox=2, oldest=now - timedelta(minutes=1))
    assert asked("completeness")[0] == 0
    say(database_url, at=now, outbox=2, oldest=now - HOUR)
    assert asked("completeness")[0] == 1


def test_a_home_that_said_nothing_of_its_outbox_is_not_complete(
    home: Home, database_url: str
) -> None:
    now = datetime.now(UTC)
    rows(database_url, "UPDATE gateway SET last_status = NULL", fetch=False)
    take(database_url, home, *several(1, 2))

    async def hear() -> None:
        async with Database.connect(database_url, name="test") as db, db.transaction() as tx:
            await heard(tx, [home.gateway], at=now)

    asyncio.run(hear())
    code, told = asked("completeness")
    assert (code, told["complete"], told["missing"]) == (1, False, 0)
    assert "never said what waits there" in told["verdict"]


def test_nothing_is_known_of_homes_that_were_never_heard(home: Home, database_url: str) -> None:
    assert home.gateway
    add = "INSERT INTO gateway (name, unit_id) SELECT %s, id FROM unit"
    for name in ("gw-2", "gw-3"):
        rows(database_url, add, name, fetch=False)
    take(database_url, home, *several(1, 2))
    code, told = asked("completeness")
    assert (code, told["complete"], told["known"], told["missing"]) == (1, False, False, 0)
    verdict = "Not known yet: gw-2 was never heard, so nothing is known of that home; gw-3 was"
    assert told["verdict"].startswith(verdict)
    doubts = {one["gateway"]: one["not_known"] for one in told["gateways"]}
    assert doubts == {GATEWAY: None, "gw-2": "never_heard", "gw-3": "never_heard"}
    assert asked("completeness", "--gateway", GATEWAY)[0] == 0


def test_without_a_home_nothing_is_known(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)
    code, told = asked("completeness")
    assert (code, told["complete"], told["gateways"]) == (1, False, [])
    assert "No gateway is known" in told["verdict"]


def test_the_home_that_knows_the_device_is_asked_about(home: Home, database_url: str) -> None:
    now = datetime.now(UTC)
    say(database_url, at=now, devices=(DeviceStatus(CUFF, 80, now),))
    told = asked("completeness", "--patient", public_id_of(database_url, home.patient))[1]
    assert [one["gateway"] for one in told["gateways"]] == [GATEWAY]


def test_another_patient_has_no_device_and_no_kind(home: Home, database_url: str) -> None:
    ((neighbour,),) = rows(
        database_url, "SELECT public_id::text FROM patient WHERE id = %s", home.neighbour
    )
    text = runner.invoke(app, ["completeness", "--patient", neighbour]).stdout
    assert "No device was bound" in text


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--gateway", "gw-9"], 1, "unknown_name"),
        (["--gateway", "GW"], 2, "usage"),
        (["--gateway", "gw-1", "--patient", "6f1c0a52-0000-4000-8000-000000000002"], 2, "usage"),
        (["--patient", "6f1c0a52-0000-4000-8000-000000000002"], 1, "not_done"),
        (["--patient", "6f1c0a52-0000-4000-8000-000000000002", "--verify"], 2, "usage"),
        (["--from", "2026-11-22", "--to", "2026-11-21"], 2, "usage"),
        (["--verify", "--gateway", "gw-9"], 1, "unknown_name"),
        (["--certificate", "gw-1", "yesterday"], 2, "usage"),
        (["--certificate", "gw-1", "2026-11-21"], 1, "not_done"),
    ],
)
def test_what_was_wrongly_asked_is_told(
    home: Home, arguments: list[str], code: int, error: str
) -> None:
    assert home.gateway
    found, told = asked("completeness", *arguments)
    assert (found, told["error"]) == (code, error)


def test_a_day_ends_in_stockholm() -> None:
    summer = Period(date(2026, 7, 1), date(2026, 7, 2))
    assert summer.since == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert summer.until == datetime(2026, 7, 2, 22, tzinfo=UTC)
    assert len(summer.days) == 2


def test_days_are_certified_verified_and_a_deleted_row_is_named(
    home: Home, database_url: str
) -> None:
    now = datetime.now(UTC)
    then = now - 3 * DAY
    take(database_url, home, *several(1, 2, 3, at=then), at=then)
    code, done = asked("certify", "--day", str(then.date()))
    assert (code, done) == (0, [{"day": str(then.date()), "gateways": 1, "rows": 3}])
    assert len(asked("certify")[1]) >= 1
    assert runner.invoke(app, ["certify"]).stdout == "Nothing to certify.\n"
    assert asked("certify", "--day", str(now.date()))[1]["error"] == "not_done"
    assert asked("completeness", "--verify") == (0, {"true": True, "differences": []})
    certificate = ["completeness", "--certificate", GATEWAY, str(then.date())]
    assert f"{GATEWAY} {then.date()}: 3 rows in 1 ranges" in runner.invoke(app, certificate).stdout
    rows(database_url, "DELETE FROM measurement WHERE seq = 2", fetch=False)
    code, told = asked("completeness", "--verify", "--gateway", GATEWAY)
    assert code == 1
    (one,) = told["differences"]
    assert (one["fault"], one["boot"], one["first"], one["last"]) == ("gone", BOOT, 2, 2)
    text = runner.invoke(app, ["completeness", "--verify"]).stdout
    assert f"{GATEWAY} {then.date()} boot {BOOT} number 2: certified, and not there" in text
    later = ["--from", str((then + DAY).date()), "--to", str(now.date())]
    assert asked("completeness", "--verify", *later)[0] == 0


# End to end -------------------------------------------------------------------------------------


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fix_home.Home]:
    """A real gateway's outbox, named as the server knows it."""
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("HEMMA_GATEWAY_NAME", GATEWAY)
    one = fix_home.make_home(tmp_path / "outbox.sqlite3")
    yield one
    one.outbox.close()


def checked(*files: Path) -> Result:
    return runner.invoke(gateway_app, ["certificate", "check", *map(str, files), "--json"])


async def certificates_of(url: str, folder: Path) -> list[Path]:
    """Certify all days, and write each gateway's certificate into a file as an operator would."""
    async with Database.connect(url, name="test") as database:
        while True:
            async with database.transaction() as tx:
                if await certify_next(tx, now=datetime.now(UTC) + 2 * DAY) is None:
                    break
    files = []
    for day, made in await asyncio.to_thread(
        rows, url, "SELECT day::text, row_count FROM certificate ORDER BY day"
    ):
        asked_for = ["completeness", "--certificate", GATEWAY, day, "--json"]
        result = await asyncio.to_thread(runner.invoke, app, asked_for)
        assert json.loads(result.stdout)["rows"] == made
        files.append(folder / f"{day}.json")
        files[-1].write_text(result.stdout)
    return files


async def test_what_a_real_gateway_sent_is_certified_and_checked_against_its_outbox(
    home: Home,
    database_url: str,
    broker: Broker,
    server_password_file: Path,
    sender: fix_home.Home,
    tmp_path: Path,
) -> None:
    assert home.gateway
    settings = server_settings(database_url, broker, server_password_file)
    link = Link(GATEWAY, "127.0.0.1", broker.port or 0, broker.passwords[GATEWAY])
    async with running(run, settings), fix_home.uplinked(sender, link):
        for systolic in range(120, 140):
            sender.measure(systolic)
        await eventually(lambda: sender.outbox.counts().stored == 20)
    code, told = await asyncio.to_thread(asked, "completeness")
    assert (code, told["gateways"][0]["boots"][0]["had"]) == (0, 20)
    files = await certificates_of(database_url, tmp_path)
    result = checked(*files)
    assert result.exit_code == 0, result.stdout
    answer = json.loads(result.stdout)
    assert (answer["agrees"], answer["proven"], answer["unproven"]) == (True, 20, [])

    # Long after, when the rows have left the outbox: their uids are still known.
    sender.outbox.discard_acked(datetime.now(UTC) + 8 * DAY)
    assert sender.outbox.counts().stored == 0
    assert json.loads(checked(*files).stdout)["proven"] == 20


async def test_each_side_is_told_what_the_other_lacks(
    home: Home,
    database_url: str,
    broker: Broker,
    server_password_file: Path,
    sender: fix_home.Home,
    tmp_path: Path,
) -> None:
    assert home.gateway
    settings = server_settings(database_url, broker, server_password_file)
    link = Link(GATEWAY, "127.0.0.1", broker.port or 0, broker.passwords[GATEWAY])
    async with running(run, settings), fix_home.uplinked(sender, link):
        for systolic in range(120, 126):
            sender.measure(systolic)
        await eventually(lambda: sender.outbox.counts().stored == 6)
    rows(database_url, "DELETE FROM measurement WHERE seq = 4", fetch=False)
    files = await certificates_of(database_url, tmp_path)
    result = checked(*files)
    answer = json.loads(result.stdout)
    lacking = {"boot": sender.outbox.boot, "first": 4, "last": 4}
    assert (result.exit_code, answer["agrees"]) == (1, False)
    assert answer["not_certified"] == [lacking]
    assert "hemma server resend" in answer["verdict"]
