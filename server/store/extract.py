"""Everything that is stored of one patient, part by part: for the extract the law promises.

Rows are given as the database writes them in JSON: times in UTC, bytes in hex. Of the access log
the patient gets when, which unit, in which role and what was done (HSLF-FS 2016:40 ch. 4), not who.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from server.store import access_log
from server.store.access_log import Action, Entry
from server.store.database import Transaction

FETCHED_ROWS = 2_000
TARGET = "hemma server extract"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an extract: its name and the statement; ``as_table``: also as CSV."""

    name: str
    statement: str
    as_table: bool = False


async def rows(tx: Transaction, part: Part, patient_id: int) -> AsyncIterator[dict[str, Any]]:
    """Give the part's rows, as JSON has them, without holding all of them."""
    statement = f"SELECT to_jsonb(x) AS row FROM ({part.statement}) x"
    async with tx.cursor(name="hemma_extract", row_factory=dict_row) as cursor:
        cursor.itersize = FETCHED_ROWS
        await cursor.execute(statement.encode(), {"patient": patient_id})
        async for found in cursor:
            yield found["row"]


async def log_extract(tx: Transaction, patient_id: int, *, by: str, at: datetime) -> None:
    """Write in the access log who took the extract, in the transaction that takes it."""
    cursor = await tx.execute("SELECT protected FROM patient WHERE id = %s", (patient_id,))
    is_protected = (await cursor.fetchone()) == (True,)
    await access_log.append(
        tx,
        Entry(
            at=at,
            staff_id=None,
            login=by,
            assignment_id=None,
            unit_id=None,
            role="operator",
            address="",
            action=Action.READ_PROTECTED if is_protected else Action.READ,
            target=TARGET,
            patient_id=patient_id,
            outcome="granted",
            reason="",
        ),
    )


PARTS = (
    Part("patient", "SELECT p.*, u.name AS unit FROM patient p JOIN unit u ON u.id = p.unit_id"
         " WHERE p.id = %(patient)s"),
    Part("values", """
        SELECT o.measured_at, k.name AS kind, c.code, o.value, c.unit, o.absent, d.name AS device,
               o.uid
        FROM observation o JOIN component c ON c.id = o.component_id
        JOIN kind k ON k.id = c.kind_id LEFT JOIN device d ON d.id = o.device_id
        WHERE o.patient_id = %(patient)s ORDER BY o.measured_at, o.uid, o.component_id""",
         as_table=True),
    Part("measurements", """
        SELECT m.*, k.name AS kind, d.name AS device, g.name AS gateway FROM measurement m
        LEFT JOIN kind k ON k.id = m.kind_id LEFT JOIN device d ON d.id = m.device_id
        LEFT JOIN gateway g ON g.id = m.gateway_id
        WHERE m.patient_id = %(patient)s ORDER BY m.measured_at, m.received_seq"""),
    Part("recordings", "SELECT * FROM recording WHERE patient_id = %(patient)s"
         " ORDER BY measured_at, component_id"),
    Part("alerts", "SELECT * FROM alert WHERE patient_id = %(patient)s ORDER BY opened_at, id"),
    Part("alert_events", """
        SELECT e.* FROM alert_event e JOIN alert a ON a.id = e.alert_id
        WHERE a.patient_id = %(patient)s ORDER BY e.id"""),
    Part("alert_evidence", """
        SELECT e.* FROM alert_evidence e JOIN alert a ON a.id = e.alert_id
        WHERE a.patient_id = %(patient)s ORDER BY e.added_at, e.uid, e.component_id"""),
    Part("decisions", "SELECT * FROM decision WHERE patient_id = %(patient)s ORDER BY id"),
    Part("limits", "SELECT * FROM patient_limit WHERE patient_id = %(patient)s ORDER BY id"),
    Part("devices", """
        SELECT d.name AS device, d.model, b.user_index, b.valid FROM binding b
        JOIN device d ON d.id = b.device_id WHERE b.patient_id = %(patient)s ORDER BY b.id"""),
    Part("seen", """
        SELECT r.uid, r.seen_at, u.name AS unit FROM receipt r JOIN unit u ON u.id = r.unit_id
        WHERE r.uid IN (SELECT uid FROM measurement WHERE patient_id = %(patient)s)
        ORDER BY r.seen_at"""),
    Part("erasures", "SELECT at, reference, decided_by, reason FROM erasure"
         " WHERE patient_id = %(patient)s ORDER BY id"),
    Part("access_log", """
        SELECT l.at, u.name AS unit, l.role, l.action, l.target, l.outcome, l.reason
        FROM access_log l LEFT JOIN unit u ON u.id = l.unit_id
        WHERE l.patient_id = %(patient)s ORDER BY l.id""", as_table=True),
)  # fmt: skip
