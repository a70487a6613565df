"""Age removes only what a rule says, and leaves what explains an alert and what proves a chain."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from devices.kinds import KINDS
from devices.wire import Item, row_hash
from server.store import retention
from server.store.database import Database
from server.store.errors import UnknownName
from server.store.items import ReceivedItem, keep
from server.store.retention import Rule, TooShort, retain
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
AGES_DAYS = (1, 40, 400, 800)


@pytest.fixture
def home(database_url: str) -> Home:
    home = settle(database_url)
    rows(
        database_url,
        "UPDATE binding SET valid = tstzrange(%s, NULL)",
        NOON - 1000 * DAY,
        fetch=False,
    )
    return home


async def store(database: Database, home: Home, items: list[Item]) -> None:
    received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
    async with database.transaction() as tx:
        await keep(tx, received, stored_at=NOON)


async def say(database: Database, days: int, *, unit: str | None = None, what: str = "") -> None:
    rule = Rule(what or "blood_pressure", unit, days, NOON, "prov", "ett prov")
    async with database.transaction() as tx:
        await retention.set_rule(tx, rule, is_no_record=True)


def ages(url: str) -> list[int]:
    found = rows(url, "SELECT measured_at FROM measurement ORDER BY measured_at DESC")
    return [(NOON - at).days for (at,) in found]


async def test_without_a_rule_nothing_goes(database_url: str, home: Home) -> None:
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, [pressure(n, at=NOON - n * DAY) for n in AGES_DAYS])
        assert await retain(database, now=NOON) == {}
    assert ages(database_url) == list(AGES_DAYS)


async def test_a_rule_takes_what_is_older_with_its_values_and_leaves_the_hash(
    database_url: str, home: Home
) -> None:
    items = [pressure(n, at=NOON - n * DAY) for n in AGES_DAYS]
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, items)
        await say(database, 100)
        assert await retain(database, now=NOON) == {"blood_pressure": 2}
        assert await retain(database, now=NOON) == {"blood_pressure": 0}, "harmless to repeat"
        # Late, and older than the rule says: the next run takes it.
        await store(database, home, [pressure(5, at=NOON - 130 * DAY)])
        assert await retain(database, now=NOON + DAY) == {"blood_pressure": 1}
        await store(database, home, [pressure(6, at=NOON - 900 * DAY)])
        month = NOON + retention.WHOLE_EVERY + 2 * DAY
        assert await retain(database, now=month) == {"blood_pressure": 1}, "all history, monthly"
    assert ages(database_url) == [1, 40]
    assert rows(database_url, "SELECT count(DISTINCT uid) FROM observation") == [(2,)]
    hashes = rows(database_url, "SELECT seq, row_hash FROM erased_row ORDER BY seq")
    wanted = [(seq, row_hash(UUID(BOOT), seq, UUID(pressure(seq).uid))) for seq in (5, 6, 400, 800)]
    assert [(seq, bytes(found)) for seq, found in hashes] == wanted


async def test_what_an_alert_cites_and_other_units_values_stay(
    database_url: str, home: Home
) -> None:
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, [pressure(n, at=NOON - n * DAY) for n in (300, 400)])
        rows(
            database_url,
            "WITH a AS (INSERT INTO alert (id, patient_id, unit_id, rule, rule_version, severity,"
            " opened_at, measured_at, text_sv, text_en, why, inputs) SELECT gen_random_uuid(), %s,"
            " id, 'bp.high', 'v', 'red', now(), now(), '', '', '', '{}' FROM unit RETURNING id)"
            " INSERT INTO alert_evidence (alert_id, uid, component_id, measured_at, value)"
            " SELECT a.id, %s, %s, now(), 226 FROM a",
            home.patient,
            pressure(300).uid,
            KINDS["blood_pressure"].named("systolic").number,
            fetch=False,
        )
        await say(database, 0, unit="Hemsjukvården")
        await say(database, 100)
        assert await retain(database, now=NOON) == {"blood_pressure": 0}, "the unit keeps for ever"
        await say(database, 100, unit="Hemsjukvården")
        assert await retain(database, now=NOON) == {"blood_pressure": 1}
    assert ages(database_url) == [300]


async def test_the_law_is_longer_than_a_wish(database_url: str, home: Home) -> None:
    async with Database.connect(database_url, name="test") as database:
        async with database.transaction() as tx:
            for what, days in (("blood_pressure", 3652), (retention.ACCESS_LOG, 1827)):
                rule = Rule(what, None, days, NOON, "prov", "ett prov")
                with pytest.raises(TooShort):
                    await retention.set_rule(tx, rule, is_no_record=False)
        with pytest.raises(TooShort, match="access log"):
            await say(database, 400, what=retention.ACCESS_LOG)
        for what, unit in (("no_such_kind", None), ("glucose", "No such unit")):
            with pytest.raises(UnknownName):
                await say(database, 9999, what=what, unit=unit)
        await say(database, 9999)
        async with database.transaction() as tx:
            (rule,) = await retention.listed(tx)
    assert (rule.what, rule.unit, rule.keep_days) == ("blood_pressure", None, 9999)


async def test_lines_of_the_access_log_go_after_five_years_by_a_rule_only(
    database_url: str, home: Home
) -> None:
    line = (
        "INSERT INTO access_log (at, action, target, outcome)"
        " VALUES (now() - make_interval(days => %s), 'read', 'page', 'granted')"
    )
    for days in (10, 1800, 1900, 2200):
        rows(database_url, line, days, fetch=False)
    for refused in ("DELETE FROM access_log", "UPDATE access_log SET target = ''"):
        with pytest.raises(Exception, match="append-only"):
            rows(database_url, refused, fetch=False)
    async with Database.connect(database_url, name="test") as database:
        await say(database, 2000, what=retention.ACCESS_LOG)
        ((now,),) = rows(database_url, "SELECT now()")
        assert await retain(database, now=now) == {retention.ACCESS_LOG: 1}
    assert rows(database_url, "SELECT count(*) FROM access_log") == [(3,)]
