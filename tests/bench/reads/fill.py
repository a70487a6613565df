"""An invented county to read from: many people, the values of weeks, the latest of each.

Filled by the database itself, a day at a time in the order of time as in life, with the indexes of
values made afterwards. One value in a hundred is taken back or was no reading at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from psycopg import sql

from devices.kinds import KINDS
from server.store.database import Database, Transaction

# What one person measures in a round: kind and components, with what is typical.
ROUND = {
    "blood_pressure": {"systolic": 132.0, "diastolic": 78.0, "pulse": 71.0},
    "pulse_oximetry": {"spo2": 96.0, "pulse": 72.0},
    "body_temperature": {"temperature": 36.8},
    "body_weight": {"weight": 74.0},
    "glucose": {"glucose": 6.4},
}
VALUES_A_ROUND = sum(len(components) for components in ROUND.values())
TABLES = ("measurement", "observation")
SEED = 0.42
LONG_KNOWN, LONG_DAYS = 200, 90


@dataclass(frozen=True, slots=True)
class County:
    """How many people, which days (``until`` is the last one's end) and how many rounds a day.

    The first :data:`LONG_KNOWN` of them are known for ``LONG_DAYS`` days.
    """

    patients: int
    days: int
    rounds: int
    until: datetime

    @property
    def since(self) -> datetime:
        """Return the beginning of the first day."""
        return self.until - timedelta(days=self.days)


async def fill(database: Database, county: County) -> None:
    """Write the county into an empty, migrated database."""
    async with database.transaction() as tx:
        await tx.execute("SELECT setseed(%s)", (SEED,))
        await tx.execute(_PEOPLE, {"patients": county.patients})
        await tx.execute(
            "CREATE TABLE bench_round (kind smallint, component smallint, mean float8)"
        )
        for kind_name, components in ROUND.items():
            kind = KINDS[kind_name]
            for name, mean in components.items():
                await tx.execute(
                    "INSERT INTO bench_round VALUES (%s, %s, %s)",
                    (kind.number, kind.named(name).number, mean),
                )
        indexes = await _take_indexes(tx)
    for back in range(max(county.days, LONG_DAYS), 0, -1):
        people = county.patients if back <= county.days else LONG_KNOWN
        start = county.until - timedelta(days=back)
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL statement_timeout = 0")
            await tx.execute(_DAY, {"day": start, "rounds": county.rounds, "people": people})
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")
        await tx.execute("SET LOCAL maintenance_work_mem = '512MB'")
        for statement in indexes:
            await tx.execute(statement.encode())
        await tx.execute(_LATEST)
        for table in (*TABLES, "latest", "patient"):
            await tx.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


async def _take_indexes(tx: Transaction) -> list[str]:
    """Drop the indexes of the tables that are filled, and return how to make them again."""
    cursor = await tx.execute(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename = ANY(%s)",
        (list(TABLES),),
    )
    found = await cursor.fetchall()
    for name, _ in found:
        await tx.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [statement for _, statement in found]


_PEOPLE: LiteralString = """
WITH provider AS (
    INSERT INTO care_provider (name) VALUES ('Bänkkommunen') RETURNING id
), unit AS (
    INSERT INTO unit (provider_id, name) SELECT id, 'Hemsjukvården' FROM provider RETURNING id
), people AS (
    INSERT INTO patient (identifier_system, identifier_value, given_name, family_name, unit_id)
    SELECT 'urn:hemma:bench', n::text, 'Prov', 'Påhittad', unit.id
    FROM unit, generate_series(1, %(patients)s) AS n
)
INSERT INTO device (name, model)
SELECT 'ble-' || lpad(to_hex(n), 12, '0'), 'bench' FROM generate_series(1, %(patients)s) AS n
"""

# A person's rounds lie 24 h divided by their number apart, each at the person's own minute.
_DAY: LiteralString = """
WITH measured AS (
    INSERT INTO measurement (uid, measured_at, measured_how, kind_id, patient_id, device_id,
                             gateway_id, boot, seq, stored_at, received_seq, flags, raw)
    SELECT gen_random_uuid(), at, 'device', kind, patient, patient, patient, gen_random_uuid(), 1,
           at + INTERVAL '2 seconds', nextval('received_seq'),
           CASE WHEN random() < 0.005 THEN '{retracted}'::text[]
                WHEN random() < 0.005 THEN '{control_solution}'::text[] ELSE '{}'::text[] END,
           '\\x1e8000520060'
    FROM (
        SELECT p.id AS patient, k.kind,
               %(day)s::timestamptz + (r + random()) * (INTERVAL '24 hours' / %(rounds)s) AS at
        FROM generate_series(0, %(rounds)s - 1) AS r
        CROSS JOIN (SELECT DISTINCT kind FROM bench_round) k
        CROSS JOIN (SELECT id FROM patient WHERE id <= %(people)s) p
        ORDER BY 3
    ) s
    RETURNING uid, measured_at, kind_id, patient_id, device_id, received_seq
)
INSERT INTO observation (
    patient_id, measured_at, component_id, value, device_id, received_seq, uid)
SELECT m.patient_id, m.measured_at, b.component,
       round((b.mean * (0.9 + 0.2 * random()))::numeric, 1)::float8, m.device_id, m.received_seq,
       m.uid
FROM measured m JOIN bench_round b ON b.kind = m.kind_id
"""

_LATEST: LiteralString = """
INSERT INTO latest (patient_id, component_id, measured_at, value, uid)
SELECT DISTINCT ON (o.patient_id, o.component_id)
       o.patient_id, o.component_id, o.measured_at, o.value, o.uid
FROM observation o
WHERE o.measured_at > (SELECT max(measured_at) FROM observation) - INTERVAL '2 days'
  AND NOT EXISTS (SELECT FROM measurement m WHERE m.uid = o.uid AND m.measured_at = o.measured_at
                  AND m.flags <> '{}')
ORDER BY o.patient_id, o.component_id, o.measured_at DESC, o.uid DESC
"""
