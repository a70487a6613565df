"""A value by hand, when Bluetooth fails or somebody calls: marked as such wherever it is shown."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from alerts.plan import Plan
from devices.kinds import Kind
from server.auth.errors import NotVisible
from server.auth.gate import Visit
from server.auth.roles import Right
from server.auth.routes import GatedRoute, asks
from server.store import manual
from server.store.access_log import Action
from server.store.limits import plan_of
from server.store.manual import Fault, ManualValue
from server.store.patients import Patient
from server.web.nurse import sayings
from server.web.nurse.patient import find, listed_name
from server.web.site import Site, redirect, site_of
from server.web.words import ZONE, Words

router = APIRouter(route_class=GatedRoute)
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
    """The form as it was sent, to be shown again when something is wrong with it.

    ``asked`` are the unusual numbers that it asks about; ``stopped`` says why nothing was kept.
    """

    typed: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    stopped: str = ""
    status: int = 200
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
@asks(Right.ENTER_VALUE)
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
        asked = _unusual(numbers, faults)
        if sent.get("confirm") and sent.get("asked") == asked:
            # Exactly the numbers that were asked about: another slip is asked about, too.
            faults = {one: why for one, why in faults.items() if why is not Fault.IMPLAUSIBLE}
        await visit.log(Action.WRITE, patient_id=patient.id)
        note = sent.get("note", "").strip()[: manual.NOTE_MAX_CHARS]
        once = sent.get("once", "")[:TOKEN_MAX_CHARS] or secrets.token_urlsafe(24)
        if faults or measured_at is None:
            said = {name: _fault(name, fault, kind, words) for name, fault in faults.items()}
            is_asking = set(faults.values()) == {Fault.IMPLAUSIBLE}
            filled = _again(sent, note, once, faults=said, asked=asked if is_asking else "")
            return await _form(request, site, visit, patient, kind, filled)
        kept = await manual.keep_manual(
            visit.tx,
            ManualValue(kind, numbers, measured_at, note),
            token=once,
            patient_id=patient.id,
            entered_by=visit.identity.staff_id,
            at=visit.at,
        )
        if kept.outcome is manual.Outcome.OTHER_VALUES:
            filled = _again(sent, note, secrets.token_urlsafe(24), stopped=_already(words))
            return await _form(request, site, visit, patient, kind, filled)
        may_look = visit.identity.may(Right.SEE_PATIENT)
    page = f"/patient/{public_id}" if may_look else f"/patient/{public_id}/varde"
    return redirect(f"{page}?klart=sparat")


def _again(sent: Mapping[str, str], note: str, once: str, **told: Any) -> Filled:
    status = 409 if told.get("stopped") else 422
    return Filled(
        sent, measured=sent.get("measured", ""), note=note, once=once, status=status, **told
    )


def _already(words: Words) -> str:
    return words.text(
        "Det du skrev först i det här formuläret är redan sparat. Det som står här nu är inte"
        " sparat. Ska det också sparas: välj Spara värdet."
    )


def _unusual(numbers: Mapping[str, float], faults: Mapping[str, Fault]) -> str:
    """Return the numbers to ask about, as the form carries them back."""
    names = sorted(one for one, fault in faults.items() if fault is Fault.IMPLAUSIBLE)
    return " ".join(f"{name}={numbers[name]:g}" for name in names)


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
        status=filled.status,
        patient=patient,
        name=listed_name(patient, words),
        kind=kind,
        kinds=_kinds(words),
        fields=_fields(kind, plan, filled.typed, words),
        faults=filled.faults,
        measured=filled.measured,
        note=filled.note,
        once=filled.once,
        asked=filled.asked,
        stopped=filled.stopped,
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
    if fault is Fault.IMPLAUSIBLE:
        low, high = (words.number(one) for one in kind.named(name).plausible)
        return words.text(
            "Värdet är ovanligt: det brukar ligga mellan %(low)s och %(high)s. Stämmer det?",
            low=low,
            high=high,
        )
    if fault is Fault.IMPOSSIBLE:
        low, high = (words.number(one) for one in manual.POSSIBLE[name])
        return words.text(
            "Värdet ska ligga mellan %(low)s och %(high)s. Kontrollera siffrorna.",
            low=low,
            high=high,
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
