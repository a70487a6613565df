"""One person's page: what matters to the person, 90 days at a glance, every value, every alert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from alerts.absence import BATTERY_LOW
from alerts.plan import Plan
from alerts.standing import is_reading
from server.auth import acts
from server.auth.errors import NotVisible
from server.auth.gate import Visit
from server.auth.roles import Right
from server.store import bound_devices, patients, series, worklist
from server.store.access_log import Action
from server.store.bound_devices import BoundDevice
from server.store.limits import plan_of
from server.store.patients import Patient
from server.store.series import ValueRow, Wanted
from server.store.worklist import AlertRow
from server.web.nurse import flags, home_events, sayings
from server.web.nurse.bounds import Bounds
from server.web.nurse.cards import Told, entry
from server.web.nurse.figures import COMPONENT_IDS, SHOWN, AlertMark, Material, figures
from server.web.nurse.worklist import told_of
from server.web.site import site_of
from server.web.words import Words

router = APIRouter()
PAGE_ROWS = 30
PATIENTS_PAGE = 50
BATTERY_LOW_PERCENT = BATTERY_LOW.levels[0].at


@dataclass(frozen=True, slots=True)
class Pages:
    """Where in a paged list one stands. ``anchor`` is added to the links."""

    number: int
    count: int
    is_time: bool = False
    anchor: str = ""

    @classmethod
    def of(cls, total: int, size: int, wanted: int, **rest: object) -> Pages:
        """Return the wanted page, or the last one when there are fewer."""
        count = max(1, -(-total // size))
        return cls(min(max(1, wanted), count), count, **rest)  # type: ignore[arg-type]  # own fields


@dataclass(frozen=True, slots=True)
class Tag:
    """A word beside a value; ``style`` is none, hand, warn, quiet or empty."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement in the table. ``how`` is how its time is known, ``is_time_doubtful`` when
    that is a guess.
    """

    value: str
    measured_at: datetime
    stored_at: datetime
    how: str
    is_time_doubtful: bool
    source: str
    tags: Sequence[Tag]


@dataclass(frozen=True, slots=True)
class Device:
    """One device in words. ``battery`` is empty where it never told, ``kind`` where it has not
    measured. ``ending`` of its address tells two of the same model apart.
    """

    model: str
    ending: str
    battery: str
    is_battery_low: bool
    battery_at: datetime | None
    kind: str
    measured_at: datetime | None


async def find(visit: Visit, public_id: UUID) -> Patient:
    """Return a patient within reach. Raises NotVisible for another unit's as for none."""
    found = await patients.find(visit.tx, visit.reach, public_id)
    if found is None:
        raise NotVisible
    return found


def listed_name(patient: Patient, words: Words) -> str:
    """Return what a person is called everywhere but on the person's own page."""
    if patient.protected:
        return sayings.protected_name(patient.public_id, words)
    return patient.name


@router.get("/patienter")
async def show_all(request: Request, sida: Annotated[int, Query(ge=1, le=100_000)] = 1) -> Response:
    """Show the unit's people."""
    site = site_of(request)
    async with site.gate.visit(request, Right.LIST_PATIENTS) as visit:
        total = await patients.count(visit.tx, visit.reach)
        pages = Pages.of(total, PATIENTS_PAGE, sida)
        offset = (pages.number - 1) * PATIENTS_PAGE
        found = await patients.page(visit.tx, visit.reach, limit=PATIENTS_PAGE, offset=offset)
        await visit.log(Action.LIST)
        words = site.pages.words_for(request)
        names = {one.public_id: listed_name(one, words) for one in found}
        return site.page(
            request, visit, "patients.html", people=found, names=names, total=total, pages=pages
        )


@router.get("/patient/{public_id}")
async def show(
    request: Request,
    public_id: UUID,
    sida: Annotated[int, Query(ge=1, le=100_000)] = 1,
    klart: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show one person. The values that the page lists are seen by it (contract.md 1, lamps)."""
    site = site_of(request)
    words = site.pages.words_for(request)
    async with site.gate.visit(request, Right.SEE_PATIENT) as visit:
        patient = await find(visit, public_id)
        await visit.log(
            Action.READ_PROTECTED if patient.protected else Action.READ, patient_id=patient.id
        )
        values = await _values(visit, patient, sida, words)
        done = words.text("Värdet är sparat.") if klart == "sparat" else ""
        values["listed_name"] = listed_name(patient, words)
        return site.page(request, visit, "patient.html", patient=patient, done=done, **values)


async def _values(visit: Visit, patient: Patient, sida: int, words: Words) -> dict[str, Any]:
    since = visit.at - SHOWN
    tx, reach = visit.tx, visit.reach
    plan = await plan_of(tx, patient.id, at=visit.at)
    points = await series.points(
        tx, reach, patient.id, component_ids=COMPONENT_IDS, since=since, until=visit.at
    )
    wanted = Wanted(patient.id, since)
    total = await series.count_values(tx, reach, wanted)
    pages = Pages.of(total, PAGE_ROWS, sida, is_time=True, anchor="#varden")
    offset = (pages.number - 1) * PAGE_ROWS
    rows = await series.values_page(tx, reach, wanted, limit=PAGE_ROWS, offset=offset)
    await acts.see(visit, rows)
    devices = await bound_devices.bound_to(tx, reach, patient.id, at=visit.at)
    alerts = await worklist.alerts_of(tx, reach, patient.id, since=since)
    told, marks = await _told(visit, alerts, words)
    entries = [entry(row, visit.identity, words, told[row.id]) for row in alerts]
    return {
        "figures": figures(Material(points, plan.limits, marks, visit.at), words),
        "rows": [_row(row, plan, words) for row in rows],
        "total": total,
        "pages": pages,
        "devices": [_device(one, words) for one in devices],
        "home_events": await home_events.listed(visit, patient.id, words),
        "open_alerts": [one for one in entries if one.closed_at is None],
        "past_alerts": [one for one in entries if one.closed_at is not None],
    }


async def _told(
    visit: Visit, alerts: Sequence[AlertRow], words: Words
) -> tuple[dict[UUID, Told], list[AlertMark]]:
    told = await told_of(visit, [row.id for row in alerts], with_events=True)
    marks = [
        AlertMark(
            sample,
            Bounds.of(row).severity_of(sample, row.severity),
            row.text_sv if words.language == "sv" else row.text_en,
        )
        for row in alerts
        for sample in told[row.id].evidence
    ]
    return told, marks


def _device(one: BoundDevice, words: Words) -> Device:
    percent, kind = one.battery_percent, sayings.kind(one.kind_id)
    return Device(
        model=one.model or words.text("okänd apparat"),
        ending=f"…{one.name[-4:].upper()}",
        battery="" if percent is None else words.number(percent),
        is_battery_low=percent is not None and percent <= BATTERY_LOW_PERCENT,
        battery_at=one.battery_at,
        kind=sayings.kind_name(kind, words).lower() if kind else "",
        measured_at=one.measured_at,
    )


def _row(row: ValueRow, plan: Plan, words: Words) -> Row:
    parts = sayings.parts_of(row.component_ids, row.values, row.absents, frozenset(row.flags))
    is_manual = row.entered_by is not None
    return Row(
        value=sayings.reading(row.kind_id, parts, words),
        measured_at=row.measured_at,
        stored_at=row.stored_at,
        how=sayings.how(row.measured_how, is_manual=is_manual, words=words),
        is_time_doubtful=row.measured_how == sayings.DOUBTFUL_TIME and not is_manual,
        source=_source(row, words),
        tags=_tags(row, plan, words),
    )


def _source(row: ValueRow, words: Words) -> str:
    if row.entered_by is not None:
        note = row.context.get("note")
        said = words.text("inskrivet av %(name)s", name=row.entered_by)
        return f"{said} ({note})" if note else said
    return row.device_model or words.text("okänd apparat")


def _tags(row: ValueRow, plan: Plan, words: Words) -> list[Tag]:
    tags = [
        Tag(flags.saying(one, words), "warn" if one in flags.ALARMING else "")
        for one in row.flags
        if one != "manual"
    ]
    if row.entered_by is not None:
        tags.insert(0, Tag(words.text("inskrivet för hand"), "hand"))
    if not is_reading(frozenset(row.flags)):
        tags.append(Tag(words.text("räknas inte, larmar inte"), "none"))
    uncovered = [n for n in row.component_ids if not plan.covers(n)]
    if uncovered and len(uncovered) == len(row.component_ids):
        tags.append(Tag(words.text("ingen gräns satt"), "none"))
    elif uncovered:
        names = ", ".join(
            sayings.component_name(sayings.component(n), words).lower() for n in uncovered
        )
        tags.append(Tag(words.text("ingen gräns satt: %(names)s", names=names), "quiet"))
    return tags
