"""The administrator's page: equipment and what could not be placed. No person and no value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.auth.roles import Right
from server.store import oversight
from server.store.access_log import Action
from server.store.oversight import GatewayRow, UnassignedRow
from server.web.nurse import home_events, sayings
from server.web.site import site_of
from server.web.words import Words

router = APIRouter()
SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway in words."""

    name: str
    unit_name: str
    state: str
    state_text: str
    reason: str
    state_since: datetime | None
    last_heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unassigned:
    """One value or event without a person, in words."""

    measured_at: datetime
    kind: str
    device: str
    gateway: str
    reason: str


@router.get("/administration")
async def show(request: Request) -> Response:
    """Show gateways, values without a person, and quarantine."""
    site = site_of(request)
    words = site.pages.words_for(request)
    async with site.gate.visit(request, Right.ADMINISTER) as visit:
        gateways = await oversight.gateways(visit.tx, visit.reach)
        unassigned = await oversight.unassigned(visit.tx, visit.reach, limit=SHOWN_MAX)
        quarantine = await oversight.quarantined(visit.tx, visit.reach, limit=SHOWN_MAX)
        await visit.log(Action.LIST)
        return site.page(
            request,
            visit,
            "administration.html",
            gateways=[_gateway(row, words) for row in gateways],
            unassigned=[_unassigned(row, words) for row in unassigned],
            quarantine=quarantine,
        )


def _gateway(row: GatewayRow, words: Words) -> Gateway:
    states = {
        "online": words.text("i kontakt"),
        "offline": words.text("tyst"),
        "never_seen": words.text("aldrig hörd"),
    }
    reasons = {
        "will": words.text("kontakten bröts"),
        "shutdown": words.text("avstängd"),
        "update": words.text("uppdateras"),
        "power": words.text("strömmen bröts"),
    }
    reason = row.state_reason or ""
    return Gateway(
        row.name,
        row.unit_name,
        row.state,
        states[row.state],
        reasons.get(reason, reason),
        row.state_since,
        row.last_heard_at,
    )


def _unassigned(row: UnassignedRow, words: Words) -> Unassigned:
    reasons = {
        "unbound_device": words.text("apparaten är inte kopplad till någon"),
        "outside_binding": words.text("uppmätt utanför tiden då apparaten var kopplad"),
        "other_user": words.text("annan användare på apparaten"),
        "no_device": words.text("ingen apparat angiven"),
    }
    return Unassigned(
        row.measured_at,
        _what(row, words),
        row.device,
        row.gateway,
        reasons.get(row.reason, row.reason),
    )


def _what(row: UnassignedRow, words: Words) -> str:
    if row.event is not None:
        return home_events.what(row.event, words)
    kind = sayings.kind(row.kind_id)
    return sayings.kind_name(kind, words) if kind else ""
