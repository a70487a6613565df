"""What an operator watches costs little, however many people there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from server.store import vital_signs
from server.store.database import Database, Transaction
from tests.server.homes import NOON, Home, rows, settle

pytestmark = pytest.mark.integration

PEOPLE = 40
# Each with the newest of every component there is: one a minute, each stored a second later.
MANY = """
WITH people AS (
    INSERT INTO patient (identifier_system, identifier_value, given_name, family_name, unit_id)
    SELECT 'urn:hemma:demo', 'MANY-' || n, 'Prov', 'Påhittad', %(unit)s
    FROM generate_series(1, %(people)s) AS n RETURNING id
), values_of AS (
    SELECT p.id AS patient_id, c.id AS component_id, gen_random_uuid() AS uid,
           %(noon)s - row_number() OVER () * INTERVAL '1 minute' AS measured_at
    FROM people p CROSS JOIN component c
), measured AS (
    INSERT INTO measurement (uid, measured_at, measured_how, patient_id, device_id, stored_at,
                             received_seq)
    SELECT uid, measured_at, 'device', patient_id, %(device)s, measured_at + INTERVAL '1 second', 1
    FROM values_of
)
INSERT INTO latest (patient_id, component_id, measured_at, value, uid)
SELECT patient_id, component_id, measured_at, 1, uid FROM values_of
"""


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


async def plan(tx: Transaction) -> dict[str, Any]:
    statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {vital_signs._REST}"
    row = await (await tx.execute(statement.encode(), {"now": NOON})).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


async def test_how_old_the_newest_value_is_asks_for_few(database_url: str, home: Home) -> None:
    values = {"unit": home.unit, "device": home.cuff, "people": PEOPLE, "noon": NOON}
    async with Database.connect(database_url, name="test") as database:
        async with database.transaction() as tx:
            await tx.execute(MANY, values)
        ((number,),) = rows(database_url, "SELECT count(*) FROM latest")
        assert number > 5 * vital_signs.NEWEST
        # What was measured last but two was stored last: a home was away.
        late = "UPDATE measurement SET stored_at = %s WHERE measured_at = %s"
        rows(database_url, late, NOON, NOON - timedelta(minutes=3), fetch=False)
        async with database.transaction() as tx:
            signs = await vital_signs.vital_signs(tx, now=NOON + timedelta(seconds=7))
            found = list(nodes(await plan(tx)))
    assert signs.value_age_s == 7
    read = [n for n in found if n.get("Alias") == "m" and n["Node Type"] != "Append"]
    assert read
    assert sum(n["Actual Rows"] * n["Actual Loops"] for n in read) <= vital_signs.NEWEST
