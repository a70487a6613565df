"""The work list, its live stream, and what is done from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.auth import acts
from server.auth.acts import Act, Done
from server.auth.errors import Conflicting, Refused
from server.auth.gate import Visit
from server.auth.roles import Right
from server.auth.routes import GatedRoute, asks
from server.store import worklist
from server.store.access_log import Action
from server.store.errors import DatabaseUnavailable, RightsMissing
from server.web.faults import conflict_text
from server.web.live import HEARTBEAT_S, REFRESH_S, next_change
from server.web.nurse import sayings
from server.web.nurse.cards import Told, cards, entry, title
from server.web.site import Site, own_path, redirect, site_of
from server.web.words import Words

router = APIRouter(route_class=GatedRoute)
SHOWN_MAX = 100
NOTE_MAX_CHARS = 2000
STREAM_MAX_S = 3600.0


@router.get("/arbetslista")
async def show(request: Request, klart: Annotated[str, Query(max_length=20)] = "") -> Response:
    """Show the whole list."""
    site = site_of(request)
    async with site.gate.visit(request, Right.SEE_WORKLIST) as visit:
        return await _page(request, site, visit, done=_done(klart, site.pages.words_for(request)))


@router.get("/handelser")
async def stream(request: Request) -> Response:
    """Send the list again whenever it may have changed, and a heartbeat when it has not."""
    site = site_of(request)
    async with site.gate.visit(request, Right.SEE_WORKLIST, touch=False) as visit:
        unit_id = visit.identity.assignment.unit_id
        await visit.log(Action.LIST)
    return StreamingResponse(
        _events(request, site, unit_id),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(request: Request, site: Site, unit_id: int) -> AsyncIterator[str]:
    """Yield the list at once (also after every reconnection), then at each change."""
    loop = asyncio.get_running_loop()
    end, refresh_at = loop.time() + STREAM_MAX_S, 0.0
    with site.live.waiting(unit_id) as changed:
        while loop.time() < end:
            if changed.is_set() or loop.time() >= refresh_at:
                changed.clear()
                refresh_at = loop.time() + REFRESH_S
                sent = await _list_event(request, site)
                yield sent
                if sent.startswith("event: ended"):
                    return
            if not await next_change(changed, HEARTBEAT_S):
                yield "event: heartbeat\ndata: .\n\n"


async def _list_event(request: Request, site: Site) -> str:
    """Return the list as one event; each is a read like any other, of a session that must live."""
    try:
        async with site.gate.visit(request, Right.SEE_WORKLIST, touch=False) as visit:
            values = await _values(request, site, visit)
    except Refused:
        return "event: ended\ndata: .\n\n"
    except (DatabaseUnavailable, RightsMissing):
        # The page keeps what it has and says from when it is.
        return ": the database is away\n\n"
    text = site.pages.text(request, "_worklist.html", who=visit.identity, now=visit.at, **values)
    lines = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
    return f"event: worklist\n{lines}\n"


@router.post("/larm/{alert_id}/ta")
@asks(Right.HANDLE_ALERTS)
async def take(request: Request, alert_id: UUID, version: Annotated[int, Form()]) -> Response:
    """Take an alert; whoever comes second is told who has it."""
    return await _act(request, alert_id, Done(Act.TAKE, version), done="tagit")


@router.post("/larm/{alert_id}/slapp")
@asks(Right.HANDLE_ALERTS)
async def release(request: Request, alert_id: UUID, version: Annotated[int, Form()]) -> Response:
    """Let go of an alert."""
    return await _act(request, alert_id, Done(Act.RELEASE, version), done="slappt")


@router.get("/larm/{alert_id}/avsluta")
async def close_form(request: Request, alert_id: UUID) -> Response:
    """Show the form that closes an alert."""
    return await _form(request, alert_id, Act.CLOSE)


@router.post("/larm/{alert_id}/avsluta")
@asks(Right.HANDLE_ALERTS)
async def close(
    request: Request,
    alert_id: UUID,
    version: Annotated[int, Form()],
    outcome: Annotated[str, Form(max_length=40)] = "",
    note: Annotated[str, Form(max_length=NOTE_MAX_CHARS)] = "",
) -> Response:
    """Close an alert with what came of it."""
    words = site_of(request).pages.words_for(request)
    wanted = Done(Act.CLOSE, version, note=note.strip(), outcome=outcome)
    if outcome not in dict(sayings.outcomes(words)):
        fault = words.text("Välj vad det blev.")
        return await _form(request, alert_id, Act.CLOSE, wanted=wanted, fault=fault)
    return await _act(request, alert_id, wanted, done="avslutat")


@router.get("/larm/{alert_id}/anteckna")
async def note_form(request: Request, alert_id: UUID) -> Response:
    """Show the form for a note."""
    return await _form(request, alert_id, Act.NOTE)


@router.post("/larm/{alert_id}/anteckna")
@asks(Right.HANDLE_ALERTS)
async def note_alert(
    request: Request,
    alert_id: UUID,
    version: Annotated[int, Form()],
    note: Annotated[str, Form(max_length=NOTE_MAX_CHARS)] = "",
) -> Response:
    """Write a note on an alert."""
    wanted = Done(Act.NOTE, version, note=note.strip())
    if not wanted.note:
        fault = site_of(request).pages.words_for(request).text("Skriv något först.")
        return await _form(request, alert_id, Act.NOTE, wanted=wanted, fault=fault)
    return await _act(request, alert_id, wanted, done="antecknat")


async def _act(request: Request, alert_id: UUID, wanted: Done, *, done: str) -> Response:
    site = site_of(request)
    try:
        async with site.gate.visit(request, Right.HANDLE_ALERTS) as visit:
            await acts.perform(visit, alert_id, wanted)
    except Conflicting as conflict:
        words = site.pages.words_for(request)
        async with site.gate.visit(request, Right.SEE_WORKLIST) as visit:
            return await _page(
                request,
                site,
                visit,
                status=409,
                conflict=conflict_text(conflict, words),
                typed=wanted.note,
            )
    return redirect(own_path(f"/arbetslista?klart={done}"))


async def _page(
    request: Request,
    site: Site,
    visit: Visit,
    *,
    status: int = 200,
    conflict: str = "",
    typed: str = "",
    done: str = "",
) -> Response:
    values = await _values(request, site, visit)
    said = {"conflict": conflict, "typed": typed, "done": done}
    return site.page(request, visit, "worklist.html", status=status, **said, **values)


async def _values(request: Request, site: Site, visit: Visit) -> dict[str, Any]:
    rows = await worklist.open_alerts(visit.tx, visit.reach, limit=SHOWN_MAX)
    total = await worklist.count_open(visit.tx, visit.reach)
    await visit.log(Action.LIST)
    words = site.pages.words_for(request)
    told = await told_of(visit, [row.id for row in rows])
    people, technical = cards(rows, told, visit.identity, words)
    return {"people": people, "technical": technical, "more": total - len(rows)}


async def told_of(visit: Visit, ids: list[UUID], *, with_events: bool = False) -> dict[UUID, Told]:
    """Return what is told beside each of those alerts; its history only where it is shown."""
    tx, reach = visit.tx, visit.reach
    evidence = await worklist.evidence_of(tx, reach, ids)
    own = await worklist.own_limits_of(tx, reach, ids)
    events = await worklist.events_of(tx, reach, ids) if with_events else {}
    return {one: Told(evidence[one], events.get(one, ()), own[one]) for one in ids}


async def _form(
    request: Request,
    alert_id: UUID,
    act: Act,
    *,
    wanted: Done | None = None,
    fault: str = "",
) -> Response:
    site = site_of(request)
    words = site.pages.words_for(request)
    async with site.gate.visit(request, Right.HANDLE_ALERTS) as visit:
        row = await acts.find_alert(visit, alert_id)
        told = await told_of(visit, [row.id])
        await visit.log(Action.READ, patient_id=row.patient_id)
        is_closing = act is Act.CLOSE
        heading = words.text("Avsluta larmet") if is_closing else words.text("Anteckna")
        return site.page(
            request,
            visit,
            "alert_form.html",
            status=422 if fault else 200,
            one=entry(row, visit.identity, words, told[row.id]),
            name=title(row, words),
            link=f"/patient/{row.public_id}" if row.public_id else None,
            birth_year=row.birth_year,
            heading=heading,
            button=heading if is_closing else words.text("Spara anteckningen"),
            action=f"/larm/{alert_id}/{'avsluta' if is_closing else 'anteckna'}",
            outcomes=sayings.outcomes(words) if is_closing else [],
            outcome=wanted.outcome if wanted else "",
            note=wanted.note if wanted else "",
            fault=fault,
        )


def _done(code: str, words: Words) -> str:
    return {
        "tagit": words.text("Du har tagit larmet."),
        "slappt": words.text("Du har släppt larmet. Det väntar på någon annan."),
        "avslutat": words.text("Larmet är avslutat."),
        "antecknat": words.text("Anteckningen är sparad."),
    }.get(code, "")
