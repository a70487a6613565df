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

from alerts.plan import Plan
from server.auth.errors import NotVisible
from server.auth.gate import Visit
from server.auth.roles import Right
from server.store import patients, receipts, series, worklist
from server.store.access_log import Action
from server.store.limits import plan_of
from server.store.patients import Patient
from server.store.series import ValueRow
from server.store.worklist import AlertRow
from server.web.nurse import sayings
from server.web.nurse.cards import Told, entry, level_of
from server.web.nurse.figures import COMPONENT_IDS, SHOWN, AlertMark, Material, figures
from server.web.site import site_of
from server.web.words import Words

router = APIRouter()
PAGE_ROWS = 30
PATIENTS_PAGE = 50


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
    """A word beside a value; ``style`` is none, hand, warn or empty."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement in the table."""

    kind: str
    value: str
    measured_at: datetime
    stored_at: datetime
    how: str
    source: str
    tags: Sequence[Tag]


async def find(visit: Visit, public_id: UUID) -> Patient:
    """Return a patient within reach. Raises NotVisible for another unit's as for none."""
    found = await patients.find(visit.tx, visit.reach, public_id)
    if found is None:
        raise NotVisible
    return found


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
        return site.page(request, visit, "patients.html", people=found, total=total, pages=pages)


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
        await visit.log(Action.READ, patient_id=patient.id)
        values = await _values(visit, patient, sida, words)
        done = words.text("Värdet är sparat.") if klart == "sparat" else ""
        return site.page(request, visit, "patient.html", patient=patient, done=done, **values)


async def _values(visit: Visit, patient: Patient, sida: int, words: Words) -> dict[str, Any]:
    since = visit.at - SHOWN
    tx, reach = visit.tx, visit.reach
    plan = await plan_of(tx, patient.id, at=visit.at)
    points = await series.points(
        tx, reach, patient.id, component_ids=COMPONENT_IDS, since=since, until=visit.at
    )
    total = await series.count_values(tx, reach, patient.id, since=since)
    pages = Pages.of(total, PAGE_ROWS, sida, is_time=True, anchor="#varden")
    offset = (pages.number - 1) * PAGE_ROWS
    rows = await series.values_page(
        tx, reach, patient.id, since=since, limit=PAGE_ROWS, offset=offset
    )
    await _mark_seen(visit, rows)
    alerts = await worklist.alerts_of(tx, reach, patient.id, since=since)
    told, marks = await _told(visit, alerts, words)
    entries = [entry(row, visit.identity, words, told[row.id]) for row in alerts]
    return {
        "figures": figures(Material(points, plan.limits, marks, visit.at), words),
        "rows": [_row(row, plan, words) for row in rows],
        "total": total,
        "pages": pages,
        "open_alerts": [one for one in entries if one.closed_at is None],
        "past_alerts": [one for one in entries if one.closed_at is not None],
    }


async def _mark_seen(visit: Visit, rows: Sequence[ValueRow]) -> None:
    """Tell the homes which of the listed values a person in care has now looked at."""
    await receipts.mark_seen(
        visit.tx,
        [row.uid for row in rows if row.gateway_id is not None],
        staff_id=visit.identity.staff_id,
        unit_id=visit.identity.assignment.unit_id,
        at=visit.at,
    )


async def _told(
    visit: Visit, alerts: Sequence[AlertRow], words: Words
) -> tuple[dict[UUID, Told], list[AlertMark]]:
    ids = [row.id for row in alerts]
    evidence = await worklist.evidence_of(visit.tx, visit.reach, ids)
    events = await worklist.events_of(visit.tx, visit.reach, ids)
    marks = [
        AlertMark(
            sample, level_of(row, sample), row.text_sv if words.language == "sv" else row.text_en
        )
        for row in alerts
        for sample in evidence[row.id]
    ]
    return {one: Told(evidence[one], events[one]) for one in ids}, marks


def _row(row: ValueRow, plan: Plan, words: Words) -> Row:
    kind = sayings.kind(row.kind_id)
    parts = sayings.parts_of(row.component_ids, row.values, row.absents)
    is_manual = row.entered_by is not None
    return Row(
        kind=sayings.kind_name(kind, words) if kind else "",
        value=sayings.reading(row.kind_id, parts, words),
        measured_at=row.measured_at,
        stored_at=row.stored_at,
        how=sayings.how(row.measured_how, is_manual=is_manual, words=words),
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
        Tag(sayings.flag(one, words), "warn" if one in sayings.ALARMING_FLAGS else "")
        for one in row.flags
        if one != "manual"
    ]
    if row.entered_by is not None:
        tags.insert(0, Tag(words.text("inskrivet för hand"), "hand"))
    uncovered = [n for n in row.component_ids if not plan.covers(n)]
    if uncovered and len(uncovered) == len(row.component_ids):
        tags.append(Tag(words.text("ingen gräns satt"), "none"))
    elif uncovered:
        names = ", ".join(
            sayings.component_name(sayings.component(n), words).lower() for n in uncovered
        )
        tags.append(Tag(words.text("ingen gräns satt: %(names)s", names=names), "none"))
    return tags
