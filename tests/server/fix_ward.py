"""An invented ward for the tests of pages and interface: two units, their people, one red alert.

Everything goes through the store and the engine, as in life.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from devices.kinds import KINDS
from devices.wire import Item, WireSample
from devices.wire.shapes import AbsentReason
from server.alerting.judge import judge_inbox
from server.api.router import build
from server.auth.passwords import hash_password
from server.settings import Settings
from server.store import access_log, bindings, patients, people
from server.store.access_log import Entry
from server.store.database import Database
from server.store.items import ReceivedItem, keep
from server.store.patients import NewPatient, Patient
from server.web.app import create_app

Tq = Literal["device", "corrected", "gateway", "estimated"]
NOW = datetime(2026, 11, 22, 9, 42, tzinfo=UTC)
PASSWORD = "en lång mening som ingen gissar"
BASE = "http://ward.test"
GATEWAY = "gw-nord-1"
CUFF = "ble-001122334455"
BOOT = "6f1c0a52-0000-4000-8000-000000000001"
STAFF = (
    ("anna", "Anna Björk", (("nord", "nurse"),)),
    ("bo", "Bo Lind", (("nord", "nurse"),)),
    ("cilla", "Cilla Ek", (("syd", "nurse"),)),
    ("eva", "Eva Tvådelad", (("nord", "nurse"), ("syd", "nurse"))),
    ("lars", "Lars Läkare", (("nord", "physician"),)),
    ("hanna", "Hanna Hemtjänst", (("nord", "home_care"),)),
    ("dag", "Dag Förvaltare", (("nord", "administrator"),)),
)


@dataclass
class Clock:
    """A clock that the test moves."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, time: timedelta) -> None:
        self.at += time


@dataclass
class Ward:
    """The running application, its database and what is in it."""

    database: Database
    app: FastAPI
    clock: Clock
    units: dict[str, int]
    patient: Patient
    gateway_id: int
    clients: AsyncExitStack
    seq: list[int] = field(default_factory=lambda: [0])

    async def client(self, address: str = "10.0.0.1") -> httpx.AsyncClient:
        """Return a browser without cookies."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 5000))
        return await self.clients.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=BASE)
        )

    async def logged_in(self, login: str) -> httpx.AsyncClient:
        """Return a browser in which that person is logged in."""
        browser = await self.client()
        answer = await log_in(browser, login)
        assert answer.status_code == 303, answer.text
        return browser

    async def measure(self, systolic: float, diastolic: float, *, at: datetime) -> str:
        """Let the patient's cuff measure, and let the engine judge it; return the uid."""
        numbers = {"systolic": systolic, "diastolic": diastolic, "pulse": 71.0}
        return await self.receive("blood_pressure", numbers, at=at)

    async def receive(
        self,
        kind_name: str,
        numbers: Mapping[str, float | AbsentReason],
        *,
        at: datetime,
        tq: Tq = "device",
        late: timedelta = timedelta(seconds=1),
        dev: str = CUFF,
        flags: tuple[str, ...] = (),
    ) -> str:
        """Let any value come from the patient's one device, or another, ``late`` after it was
        measured, and be judged; return the uid. A component without a number has the reason.
        """
        self.seq[0] += 1
        kind = KINDS[kind_name]
        item = Item(
            seq=self.seq[0],
            uid=hashlib.sha256(f"{at}{self.seq[0]}".encode()).hexdigest()[:32],
            dev=dev,
            model="UA-651BLE",
            kind=kind.name,
            samples=tuple(
                WireSample(
                    code=kind.named(name).code,
                    value=None if isinstance(value, str) else value,
                    unit=kind.named(name).unit,
                    absent=value if isinstance(value, str) else None,
                )
                for name, value in numbers.items()
            ),
            t=at,
            tq=tq,
            gw_t=at,
            gw_q="ntp",
            flags=flags,
            char="2A35",
            raw="00",
        )
        received = ReceivedItem(item, self.gateway_id, GATEWAY, BOOT)
        async with self.database.transaction() as tx:
            await keep(tx, [received], stored_at=at + late)
        async with self.database.transaction() as tx:
            await judge_inbox(tx, now=at + late)
        return item.uid

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        async with self.database.transaction() as tx:
            cursor = await tx.execute(f"SELECT count(*) FROM {table}".encode())  # noqa: S608 - ours
            row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def protect(self) -> str:
        """Give the patient a protected identity; return the handle."""
        async with self.database.transaction() as tx:
            await tx.execute("UPDATE patient SET protected = true")
        return self.patient.handle

    async def alert_id(self) -> UUID:
        """Return the newest alert's id."""
        async with self.database.transaction() as tx:
            cursor = await tx.execute("SELECT id FROM alert ORDER BY opened_at DESC LIMIT 1")
            row = await cursor.fetchone()
        assert row is not None
        found: UUID = row[0]
        return found

    async def log(self, limit: int = 100) -> list[Entry]:
        """Return the newest lines of the access log, newest first."""
        async with self.database.transaction() as tx:
            return await access_log.newest(tx, limit=limit)


async def log_in(
    browser: httpx.AsyncClient, login: str, password: str = PASSWORD
) -> httpx.Response:
    """Send the login form."""
    return await browser.post("/logga-in", data={"login": login, "password": password})


def token_of(page: httpx.Response) -> str:
    """Return the form token of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text[:500]
    return found[1]


@cache
def password_hash() -> str:
    """Return one hash for everybody: it takes a quarter of a second."""
    return hash_password(PASSWORD)


async def fill(database: Database) -> tuple[dict[str, int], Patient, int]:
    """Write units, staff, one patient with a cuff."""
    async with database.transaction() as tx:
        provider = await people.add_provider(tx, "Provkommunen")
        units = {
            name: await people.add_unit(tx, provider_id=provider, name=f"Hemsjukvården {name}")
            for name in ("nord", "syd")
        }
        for login, name, assignments in STAFF:
            staff = await people.add_staff(
                tx, login=login, display_name=name, password_hash=password_hash()
            )
            for unit, role in assignments:
                await people.add_assignment(tx, staff_id=staff, unit_id=units[unit], role=role)
        patient = await patients.add(
            tx,
            NewPatient(
                identifier_system="urn:hemma:demo",
                identifier_value="DEMO-01",
                given_name="Maj-Britt",
                family_name="Påhittsson",
                birth_year=1938,
                unit_id=units["nord"],
                matters_text="Att kunna sova hemma.",
                matters_date=(NOW - timedelta(days=20)).date(),
            ),
        )
        gateway = await bindings.register_gateway(tx, GATEWAY, unit_id=units["nord"])
        device = await bindings.register_device(tx, CUFF, model="UA-651BLE")
        await bindings.bind(
            tx,
            device_id=device,
            patient_id=patient.id,
            since=NOW - timedelta(days=120),
            gateway_id=gateway,
        )
    return units, patient, gateway


@pytest.fixture
async def ward(database_url: str) -> AsyncIterator[Ward]:
    """The application over a database of its own, with a red alert six minutes old."""
    async with (
        Database.connect(database_url, name="test-web") as database,
        AsyncExitStack() as clients,
    ):
        units, patient, gateway = await fill(database)
        clock = Clock()
        settings = Settings(database_url=database_url, base_url=BASE)
        app = create_app(settings, database, api=build, clock=clock)
        made = Ward(database, app, clock, units, patient, gateway, clients)
        await made.measure(132, 78, at=NOW - timedelta(days=2))
        await made.measure(128, 76, at=NOW - timedelta(days=1))
        await made.measure(224, 96, at=NOW - timedelta(minutes=6))
        yield made
