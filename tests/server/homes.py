"""An invented home for tests: one unit, two patients, one gateway, one cuff."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from devices.wire import Item, WireSample

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOOT = "6f1c0a52-0000-4000-8000-000000000001"
GATEWAY = "gw-1"
CUFF = "ble-001122334455"


@dataclass(frozen=True, slots=True)
class Home:
    """Keys of what :func:`settle` wrote."""

    unit: int
    staff: int
    patient: int
    neighbour: int
    gateway: int
    cuff: int


def settle(url: str) -> Home:
    """Write the home; the cuff is the patient's from ten days before noon on."""
    with psycopg.connect(url) as db:
        return Home(
            unit=_add(
                db,
                "WITH p AS (INSERT INTO care_provider (name) VALUES ('Provkommunen') RETURNING id) "
                "INSERT INTO unit (provider_id, name) SELECT id, 'Hemsjukvården' FROM p RETURNING id",  # noqa: E501
            ),
            staff=_add(
                db,
                "INSERT INTO staff (login, display_name, password_hash) "
                "VALUES ('prov', 'Prov Provsson', '-') RETURNING id",
            ),
            patient=_add(db, _PATIENT, "DEMO-01"),
            neighbour=_add(db, _PATIENT, "DEMO-02"),
            gateway=_add(
                db,
                "INSERT INTO gateway (name, unit_id) SELECT %s, id FROM unit RETURNING id",
                GATEWAY,
            ),
            cuff=_add(
                db,
                "WITH d AS (INSERT INTO device (name, model) VALUES (%s, 'UA-651BLE') RETURNING id) "  # noqa: E501
                "INSERT INTO binding (device_id, patient_id, valid) "
                "SELECT d.id, patient.id, tstzrange(%s, NULL) FROM d, patient "
                "WHERE identifier_value = 'DEMO-01' RETURNING device_id",
                CUFF,
                NOON - timedelta(days=10),
            ),
        )


_PATIENT = (
    "INSERT INTO patient (identifier_system, identifier_value, given_name, family_name, unit_id) "
    "SELECT 'urn:hemma:demo', %s, 'Prov', 'Påhittad', id FROM unit RETURNING id"
)


def _add(db: psycopg.Connection[Any], statement: str, *values: object) -> int:
    row = db.execute(statement, values).fetchone()
    assert row is not None
    number: int = row[0]
    return number


def pressure(seq: int, *, at: datetime = NOON, systolic: float = 128.0, **changes: Any) -> Item:
    """Make a blood pressure item; its uid follows from ``seq`` unless given."""
    item = Item(
        seq=seq,
        uid=hashlib.sha256(f"{changes.pop('salt', '')}{seq}".encode()).hexdigest()[:32],
        dev=CUFF,
        model="UA-651BLE",
        kind="blood_pressure",
        samples=(
            WireSample("150021", systolic, "mm[Hg]"),
            WireSample("150022", 82.0, "mm[Hg]"),
            WireSample("149546", 71.0, "/min"),
        ),
        t=at,
        tq="device",
        dev_t=at.replace(tzinfo=None),
        gw_t=at,
        gw_q="ntp",
        mono_ms=seq * 1000,
        char="2A35",
        raw="1e8000520060",
    )
    return msgspec.structs.replace(item, **changes)


def rows(url: str, query: str, *values: object, fetch: bool = True) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with psycopg.connect(url) as db:
        cursor = db.execute(query, values)
        return cursor.fetchall() if fetch else []
