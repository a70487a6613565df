"""A value by hand, when Bluetooth fails or somebody calls: marked as such wherever it is shown."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from alerts.plan import Plan
from devices.kinds import Kind
from server.auth.errors import NotVisible
from server.auth.gate import Visit
from server.auth.roles import Right
from server.store import manual
from server.store.access_log import Action
from server.store.limits import plan_of
from server.store.manual import Fault, ManualValue
from server.store.patients import Patient
from server.web.nurse import sayings
from server.web.nurse.patient import find, listed_name
from server.web.site import Site, redirect, site_of
from server.web.words import ZONE, Words

router = APIRouter()
TOKEN_MAX_CHARS = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One number to type."""

    name: str
    label: str
    value: str
    is_needed: bool
    is_uncovered: bool


@dataclass(frozen=True, slots=True)
class Filled:
    """The form as it was sent, to be shown again when something is wrong with it."""

    typed: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    measured: str = ""
    note: str = ""
    once: str = ""


@router.get("/patient/{public_id}/varde")
async def show(
    request: Request,
    public_id: UUID,
    matt: Annotated[str, Query(max_length=40)] = "blood_pressure",
    klart: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the form for one kind of value."""
    site = site_of(request)
    async with site.gate.visit(request, Right.ENTER_VALUE) as visit:
        patient = await find(visit, public_id)
        await visit.log(Action.READ, patient_id=patient.id)
        filled = Filled(measured=_local(visit.at), once=secrets.token_urlsafe(24))
        words = site.pages.words_for(request)
        done = words.text("Värdet är sparat.") if klart == "sparat" else ""
        return await _form(request, site, visit, patient, _kind(matt), filled, done=done)


@router.post("/patient/{public_id}/varde")
async def enter(
    request: Request,
    public_id: UUID,
    matt: Annotated[str, Query(max_length=40)] = "blood_pressure",
) -> Response:
    """Keep the value, or show the form again with what is wrong."""
    site = site_of(request)
    words = site.pages.words_for(request)
    sent = {key: str(value) for key, value in (await request.form()).items()}
    async with site.gate.visit(request, Right.ENTER_VALUE) as visit:
        patient = await find(visit, public_id)
        kind = _kind(matt)
        measured_at = _time(sent.get("measured", ""))
        numbers, faults = manual.examine(kind, sent, measured_at, now=visit.at)
        await visit.log(Action.WRITE, patient_id=patient.id)
        note = sent.get("note", "").strip()[: manual.NOTE_MAX_CHARS]
        once = sent.get("once", "")[:TOKEN_MAX_CHARS] or secrets.token_urlsafe(24)
        if faults or measured_at is None:
            said = {name: _fault(name, fault, kind, words) for name, fault in faults.items()}
            filled = Filled(sent, said, sent.get("measured", ""), note, once)
            return await _form(request, site, visit, patient, kind, filled)
        await manual.keep_manual(
            visit.tx,
            ManualValue(kind, numbers, measured_at, note),
            token=once,
            patient_id=patient.id,
            entered_by=visit.identity.staff_id,
            at=visit.at,
        )
        may_look = visit.identity.may(Right.SEE_PATIENT)
    page = f"/patient/{public_id}" if may_look else f"/patient/{public_id}/varde"
    return redirect(f"{page}?klart=sparat")


def _kind(name: str) -> Kind:
    kind = manual.kind_named(name)
    if kind is None:
        raise NotVisible
    return kind


async def _form(
    request: Request,
    site: Site,
    visit: Visit,
    patient: Patient,
    kind: Kind,
    filled: Filled,
    *,
    done: str = "",
) -> Response:
    words = site.pages.words_for(request)
    plan = await plan_of(visit.tx, patient.id, at=visit.at)
    return site.page(
        request,
        visit,
        "value.html",
        status=422 if filled.faults else 200,
        patient=patient,
        name=listed_name(patient, words),
        kind=kind,
        kinds=_kinds(words),
        fields=_fields(kind, plan, filled.typed, words),
        faults=filled.faults,
        measured=filled.measured,
        note=filled.note,
        once=filled.once,
        done=done,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """One kind to choose."""

    name: str
    label: str


def _kinds(words: Words) -> Sequence[Choice]:
    kinds = [manual.kind_named(name) for name in manual.MANUAL_KINDS]
    return [Choice(kind.name, sayings.kind_name(kind, words)) for kind in kinds if kind]


def _fields(kind: Kind, plan: Plan, typed: Mapping[str, str], words: Words) -> list[Field]:
    fields = []
    for component in manual.fields_of(kind):
        is_needed = component.name in manual.NEEDED
        name = sayings.component_name(component, words)
        label = f"{name}, {sayings.unit(component, words)}"
        if not is_needed:
            label = words.text("%(label)s (kan lämnas tomt)", label=label)
        uncovered = not plan.covers(component.number)
        value = typed.get(component.name, "")
        fields.append(Field(component.name, label, value, is_needed, uncovered))
    return fields


def _local(at: datetime) -> str:
    return at.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M")


def _time(text: str) -> datetime | None:
    """Read the browser's local time; the hour that comes twice in October is taken as the first."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return None
    return local.replace(tzinfo=local.tzinfo or ZONE).astimezone(UTC)


def _fault(name: str, fault: Fault, kind: Kind, words: Words) -> str:
    if fault is Fault.IMPOSSIBLE:
        low, high = kind.named(name).plausible
        return words.text(
            "Värdet ska ligga mellan %(low)s och %(high)s. Kontrollera siffrorna.",
            low=words.number(low),
            high=words.number(high),
        )
    return {
        Fault.MISSING: words.text("Fyll i ett datum och en tid.")
        if name == "measured"
        else words.text("Fyll i värdet."),
        Fault.NOT_A_NUMBER: words.text("Skriv bara siffror, till exempel 128 eller 36,8."),
        Fault.REVERSED: words.text("Undertrycket ska vara lägre än övertrycket."),
        Fault.FUTURE: words.text("Tiden ligger i framtiden."),
        Fault.TOO_OLD: words.text("Mätningen är äldre än 14 dagar."),
    }[fault]
