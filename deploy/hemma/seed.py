"""Twelve invented people and their ninety days, put into the database as real values get there.

Values go through `store.items.keep` and the alert engine one piece of a day after the other, each
with that day's clock, so alerts exist with their evidence and their history. What was open for more
than a few days was taken and closed by an invented nurse. Nothing here runs outside the demo.
"""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from alerts.lifecycle import Outcome
from alerts.limits import Guardrail, Override
from alerts.plan import NATIONAL
from devices.kinds import KINDS
from devices.virtual.designs import DESIGNS
from devices.virtual.home import AT_HOME, addresses
from devices.virtual.people import PEOPLE, SCREEN, Bounds, Person, StoryItem, story_items
from devices.wire import DeviceStatus, Item, Radio, Stamp, Status, item_from, record_uid
from hemma.errors import TakenError
from server.alerting.absence import judge_equipment
from server.alerting.judge import judge_inbox
from server.auth.passwords import hash_password
from server.store import alert_commands, bindings, gateways, limits, patients, people, worklist
from server.store.alerts import Alert
from server.store.counts import row_counts
from server.store.database import Database, Transaction
from server.store.items import ReceivedItem, entered, keep

DAYS: Final = 90
SEED: Final = 20_260_101
LIVE_PERSON: Final = "DEMO-07"  # home from hospital, with all four devices
SILENT: Final = "silent_gateway"
SILENT_FOR: Final = timedelta(days=3)
PIECE: Final = timedelta(hours=6)  # history is stored in pieces this long …
RECENT: Final = timedelta(days=3)  # … but the last days', in which alerts stay open, …
FINE_PIECE: Final = timedelta(minutes=10)  # … in shorter ones
ANSWER_AFTER: Final = timedelta(hours=2)
SOFTWARE: Final = "0.1.0-demo"
PROVIDER: Final = "Demokommunen (påhittad)"
UNITS: Final = (
    ("Hemsjukvården Ekbacken (demo)", "Bemannad dygnet runt i demon. Vid fara för liv: ring 112."),
    ("Hemsjukvården Strandängen (demo)", "Bemannad 07–16 i demon. Annan tid: ring 1177."),
)
SECOND_UNIT_FROM: Final = 9  # people 10–12 belong to the second unit, so that the unit filter shows


@dataclass(frozen=True, slots=True)
class Login:
    """An invented member of staff who may log in, in the demo only."""

    login: str
    display_name: str
    role: str
    unit: int
    start_page: str


LOGINS: Final = (
    Login("sjukskoterska", "Sara Påhitt", "nurse", 0, "/arbetslista"),
    Login("kollega", "Nils Provgren", "nurse", 0, "/arbetslista"),
    Login("strandangen", "Aino Exempel", "nurse", 1, "/arbetslista"),
    Login("lakare", "Doktor Testdal", "physician", 0, "/arbetslista"),
    Login("hemtjanst", "Hanna Demoholm", "home_care", 0, "/patienter"),
    Login("admin", "Adam Provman", "administrator", 0, "/administration"),
)

# What came of alerts that were answered, by lineage; the rest was a call.
OUTCOMES: Final[Mapping[str, Outcome]] = {
    "bp.high": Outcome.CONTACTED_NO_ACTION,
    "bp.low": Outcome.VISIT,
    "spo2.target": Outcome.MEDICATION_CHANGED,
    "tech.gateway": Outcome.TECHNICAL_FIXED,
    "tech.battery": Outcome.TECHNICAL_FIXED,
}


@dataclass(slots=True)
class _Rows:
    """The keys of what was written, as it is written."""

    units: list[int] = field(default_factory=list)
    reaches: list[patients.Reach] = field(default_factory=list)
    staff: dict[str, int] = field(default_factory=dict)
    patients: dict[str, int] = field(default_factory=dict)
    gateways: dict[str, int] = field(default_factory=dict)


def gateway_name(person: Person) -> str:
    """Return the name of a person's gateway."""
    return person.key.lower()


def new_passwords() -> dict[str, str]:
    """Return a random password for every demo account."""
    return {one.login: secrets.token_urlsafe(6) for one in LOGINS}


def live_devices() -> dict[str, str]:
    """Return the wire names of the virtual home's devices, by what they are."""
    names = addresses(SEED)[1:]
    return {
        what: "ble-" + address.replace(":", "").lower()
        for what, address in zip(AT_HOME, names, strict=True)
    }


async def refuse_foreign_data(database: Database) -> None:
    """Raise TakenError unless the database is empty: nobody's data is mixed with invented ones."""
    async with database.transaction() as tx:
        counts = await row_counts(tx)
    if counts["patient"] or counts["measurement"]:
        raise TakenError(
            "The database holds data already; the demo only fills an empty one. "
            "Unset HEMMA_DATABASE_URL, or name an empty database."
        )


async def seed(
    database: Database,
    passwords: Mapping[str, str],
    *,
    now: datetime,
    progress: Callable[[float], None],
) -> None:
    """Write people, accounts, devices and ninety days up to `now`.

    `passwords` are by login; `progress` is told the share that is done, from 0 to 1.
    """
    hashes = await asyncio.gather(
        *(asyncio.to_thread(hash_password, passwords[one.login]) for one in LOGINS)
    )
    rows = _Rows()
    async with database.transaction() as tx:
        await _organisation(tx, rows, hashes)
        for number, person in enumerate(PEOPLE):
            await _person(tx, rows, person, unit=int(number >= SECOND_UNIT_FROM), now=now)
    await _history(database, rows, now=now, progress=progress)
    await note_homes(database, now=now)
    async with database.transaction() as tx:
        await judge_equipment(tx, now=now, listening_since=now - timedelta(days=DAYS))


async def note_homes(database: Database, *, now: datetime) -> None:
    """Let the homes that do not run here be heard, all but the silent one and the live one."""
    stories = story_items(SEED, now, days=14)  # batteries are read once a week
    async with database.transaction() as tx:
        for person in PEOPLE:
            if person.devices and person.key != LIVE_PERSON:
                at = now - SILENT_FOR if person.story == SILENT else now
                status = _status(person, stories[person.key], at)
                await gateways.note_status(tx, gateway_name(person), status, at=at)


async def _organisation(tx: Transaction, rows: _Rows, hashes: Sequence[str]) -> None:
    provider_id = await people.add_provider(tx, PROVIDER)
    for name, watch_text in UNITS:
        unit_id = await people.add_unit(
            tx, provider_id=provider_id, name=name, watch_text=watch_text
        )
        rows.units.append(unit_id)
        rows.reaches.append(patients.Reach(unit_id, provider_id))
    for one, password_hash in zip(LOGINS, hashes, strict=True):
        staff_id = await people.add_staff(
            tx, login=one.login, display_name=one.display_name, password_hash=password_hash
        )
        rows.staff[one.login] = staff_id
        await people.add_assignment(
            tx, staff_id=staff_id, unit_id=rows.units[one.unit], role=one.role
        )


async def _person(
    tx: Transaction, rows: _Rows, person: Person, *, unit: int, now: datetime
) -> None:
    since = now - timedelta(days=DAYS + 1)
    patient = await patients.add(
        tx,
        patients.NewPatient(
            identifier_system=person.identifier_system,
            identifier_value=person.identifier,
            given_name=person.given_name,
            family_name=person.family_name,
            birth_year=now.year - person.age_years,
            unit_id=rows.units[unit],
            matters_text=person.matters,
            matters_date=(now - timedelta(days=40)).date(),
        ),
    )
    rows.patients[person.key] = patient.id
    await _own_limits(tx, patient.id, person, since=since)
    if not person.devices:
        return
    gateway_id = await bindings.register_gateway(
        tx, gateway_name(person), unit_id=rows.units[unit], placement=f"demo-plats-{person.key}"
    )
    rows.gateways[gateway_name(person)] = gateway_id
    names = {device.dev: device.model for device in person.devices}
    if person.key == LIVE_PERSON:
        names |= {dev: DESIGNS[what].model for what, dev in live_devices().items()}
    for dev, model in names.items():
        device_id = await bindings.register_device(tx, dev, model=model)
        await bindings.bind(
            tx, device_id=device_id, patient_id=patient.id, since=since, gateway_id=gateway_id
        )


async def _own_limits(tx: Transaction, patient_id: int, person: Person, *, since: datetime) -> None:
    """Only what differs from the national proposal becomes the person's own."""
    for number, bounds in _numbered(person):
        own = Guardrail(bounds.red_low, bounds.yellow_low, bounds.yellow_high, bounds.red_high)
        if not _differs(own, NATIONAL.get(number)):
            continue
        override = Override(
            number, own, set_by="Doktor Testdal (demo)", reason="Bestämt vid inskrivningen"
        )
        await limits.set_limit(tx, patient_id, override, at=since)


def _numbered(person: Person) -> Iterator[tuple[int, Bounds]]:
    """Give the person's limits by component number, of the kinds that the devices measure."""
    kinds = {kind for device in person.devices for kind in device.kinds} or {"blood_pressure"}
    for kind in sorted(kinds):
        for component in KINDS[kind].components:
            if component.name in person.limits:
                yield component.number, person.limits[component.name]


def _differs(own: Guardrail, national: Guardrail | None) -> bool:
    """Whether a person's bounds move one of the national ones, or stand where there are none."""
    if national is None:
        return True
    names = ("red_low", "yellow_low", "yellow_high", "red_high")
    moved = [getattr(national, name) not in (None, getattr(own, name)) for name in names]
    return any(moved)


async def _history(
    database: Database, rows: _Rows, *, now: datetime, progress: Callable[[float], None]
) -> None:
    """Store what came in, in the order in which it came in, and judge it by the clock of then."""
    stories = story_items(SEED, now, DAYS)
    told = [(item, person) for person in PEOPLE for item in stories[person.key]]
    told.sort(key=lambda pair: (pair[0].received_at, pair[1].key))
    begin = now - timedelta(days=DAYS + 1)
    numbers = _Numbers()
    for _, group in groupby(told, key=lambda pair: _piece(pair[0].received_at, now)):
        piece = list(group)
        at = piece[-1][0].received_at
        received = [_received(item, person, rows, numbers) for item, person in piece]
        async with database.transaction() as tx:
            await keep(tx, received, stored_at=at)
            while (await judge_inbox(tx, now=at)).left:
                pass
            if now - at > RECENT:
                await _answer(tx, rows, at=at + ANSWER_AFTER)
        progress((at - begin) / (now - begin))


def _piece(received_at: datetime, now: datetime) -> int:
    """Return which piece of history a value is stored with; recent ones come in as they came."""
    length = FINE_PIECE if now - received_at < RECENT else PIECE
    return (received_at - now) // length


@dataclass(slots=True)
class _Numbers:
    """The outbox numbers that the invented gateways gave; one boot for each."""

    last: dict[str, int] = field(default_factory=dict)

    def next(self, gateway: str) -> int:
        self.last[gateway] = self.last.get(gateway, 0) + 1
        return self.last[gateway]


def _received(told: StoryItem, person: Person, rows: _Rows, numbers: _Numbers) -> ReceivedItem:
    gateway = gateway_name(person)
    item = _item(told, seq=numbers.next(gateway))
    if told.dev == SCREEN:  # read and written down by the nurse: this home has no gateway
        token = f"{person.key} {told.measured_at.isoformat()}"
        by_hand = Item(
            seq=0,
            uid=item.uid,
            kind=item.kind,
            samples=item.samples,
            t=told.measured_at,
            tq="estimated",
            flags=("manual",),
        )
        return entered(
            by_hand,
            token=token,
            patient_id=rows.patients[person.key],
            entered_by=rows.staff["sjukskoterska"],
        )
    return ReceivedItem(
        item, gateway_id=rows.gateways[gateway], gateway=gateway, boot=_boot(gateway)
    )


def _item(told: StoryItem, *, seq: int) -> Item:
    measurement = told.measurement
    uid = (
        record_uid(told.dev, measurement.characteristic, 0, _distinct(told))
        if told.dev != SCREEN
        else "0" * 32
    )
    stamp = Stamp(
        t=told.measured_at,
        tq="gateway" if measurement.device_time is None else "corrected",
        gw_t=told.received_at,
        gw_q="ntp",
        mono_ms=seq * 60_000,
    )
    return item_from(measurement, seq=seq, uid=uid, device=told.dev, model=told.model, stamp=stamp)


def _distinct(told: StoryItem) -> bytes:
    """Bytes without a device time may repeat; then the time tells the records apart."""
    return told.measurement.raw + told.measured_at.isoformat().encode()


def _boot(gateway: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(gateway.encode()).digest()[:16], version=4))


async def _answer(tx: Transaction, rows: _Rows, *, at: datetime) -> None:
    """Let the unit's nurse take and close what is open, with an outcome that fits the lineage."""
    for reach, login in zip(rows.reaches, ("sjukskoterska", "strandangen"), strict=True):
        staff_id = rows.staff[login]
        for row in await worklist.open_alerts(tx, reach, limit=50):
            taken = await alert_commands.take(
                tx, row.id, staff_id=staff_id, expected_version=row.version, at=at
            )
            if not isinstance(taken, Alert):
                continue
            outcome = OUTCOMES.get(row.rule.split("/")[0], Outcome.CONTACTED_NO_ACTION)
            await alert_commands.close(
                tx,
                row.id,
                staff_id=staff_id,
                outcome=outcome,
                note="Ringde upp. (påhittat)",
                expected_version=taken.state.version,
                at=at + timedelta(minutes=20),
            )


def _status(person: Person, story: Sequence[StoryItem], at: datetime) -> Status:
    is_silent = person.story == SILENT
    return Status(
        v=1,
        t=at,
        state="offline" if is_silent else "online",
        reason="power" if is_silent else None,
        boot=_boot(gateway_name(person)),
        sw=SOFTWARE,
        outbox=0,
        oldest=None,
        quarantine=0,
        radio=Radio(state="ok", last_adv_s=40, resets=0),
        clock="ntp",
        disk_free=24_000_000_000,
        temp_c=47.0,
        power="ok",
        devices=tuple(_batteries(story)),
    )


def _batteries(story: Sequence[StoryItem]) -> Iterator[DeviceStatus]:
    """The last battery level that each of the person's devices told."""
    last: dict[str, StoryItem] = {}
    for item in story:
        if item.measurement.kind == "battery":
            last[item.dev] = item
    for dev, item in sorted(last.items()):
        value = item.measurement.samples[0].value
        yield DeviceStatus(dev, None if value is None else round(value), item.received_at)
