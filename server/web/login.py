"""Logging in, choosing an assignment, logging out, choosing a language."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from server.auth import csrf, login, sessions
from server.auth.errors import NotVisible, RateLimited, Refused, WrongCredentials
from server.auth.gate import csrf_given
from server.auth.roles import HOME
from server.auth.routes import GatedRoute, asks
from server.store import people
from server.store.access_log import Action
from server.web.site import LANGUAGE_COOKIE, Site, own_path, redirect, site_of
from server.web.words import Words, language_of

router = APIRouter(route_class=GatedRoute)
YEAR_S = 31_536_000


@router.get("/")
async def start(request: Request) -> Response:
    """Send a person to the page that the role starts at."""
    site = site_of(request)
    async with site.gate.watch(request, action=Action.READ) as seen:
        async with site.gate.transaction() as tx:
            who = await sessions.resume(
                tx, request.cookies.get(site.gate.cookie), at=seen.circumstances.at
            )
        return redirect(HOME[who.assignment.role])


@router.get("/logga-in")
async def show(request: Request, till: Annotated[str, Query(max_length=300)] = "/") -> Response:
    """Show the form."""
    return _form(request, onward=own_path(till))


@router.post("/logga-in")
async def log_in(
    request: Request,
    name: Annotated[str, Form(alias="login", max_length=1000)] = "",
    password: Annotated[str, Form(max_length=10_000)] = "",
    till: Annotated[str, Form(max_length=300)] = "/",
) -> Response:
    """Check a try; send the person on, or show the form with what was wrong."""
    site = site_of(request)
    onward = own_path(till)
    try:
        async with site.gate.watch(request, action=Action.LOGIN) as seen:
            site.gate.check_origin(request)
            attempt = login.Try(name, password, seen.circumstances.address)
            staff, attempt_id = await login.log_in(
                site.gate.transaction, attempt, passwords=site.passwords, clock=site.gate.clock
            )
            async with site.gate.transaction() as tx:
                opened = await login.open_session(tx, staff, attempt_id, at=seen.circumstances.at)
                await site.gate.log_login(tx, seen, staff, opened.session.assignment)
    except (WrongCredentials, RateLimited) as refused:
        fault = _fault(refused, site.pages.words_for(request))
        answer = _form(request, onward=onward, name=name, fault=fault, status=refused.status)
        if isinstance(refused, RateLimited):
            answer.headers["Retry-After"] = str(refused.retry_after_s)
        return answer
    answer = redirect(onward if opened.session.assignment else f"/uppdrag?till={onward}")
    _set_cookie(answer, site, opened.session.token)
    return answer


@router.get("/uppdrag")
async def choices(request: Request, till: Annotated[str, Query(max_length=300)] = "/") -> Response:
    """Show the assignments of a person who has several."""
    site = site_of(request)
    async with (
        site.gate.watch(request, action=Action.CHOOSE) as seen,
        site.gate.transaction() as tx,
    ):
        token = request.cookies.get(site.gate.cookie)
        session = await sessions.find(tx, token, at=seen.circumstances.at)
        assignments = await people.assignments_of(tx, session.staff_id)
    words = site.pages.words_for(request)
    return site.pages.answer(
        request,
        "choose.html",
        assignments=assignments,
        csrf=session.csrf,
        onward=own_path(till),
        role_name=lambda role: _role_name(role, words),
    )


@router.post("/uppdrag")
@asks(None)
async def choose(
    request: Request,
    assignment: Annotated[int, Form()],
    till: Annotated[str, Form(max_length=300)] = "/",
) -> Response:
    """Keep the choice; a session's assignment is chosen once."""
    site = site_of(request)
    async with site.gate.watch(request, action=Action.CHOOSE) as seen:
        given = await csrf_given(request)
        async with site.gate.transaction() as tx:
            token = request.cookies.get(site.gate.cookie)
            session = await sessions.find(tx, token, at=seen.circumstances.at)
            site.gate.check_origin(request)
            csrf.check_token(session.csrf, given)
            own = await people.assignments_of(tx, session.staff_id)
            if assignment not in [one.id for one in own]:
                raise NotVisible
            await people.choose_assignment(tx, session.token_hash, assignment)
            who = await sessions.resume(tx, token, at=seen.circumstances.at)
            await site.gate.log(tx, seen, Action.CHOOSE, identity=who)
    return redirect(own_path(till))


@router.post("/logga-ut")
@asks(None)
async def log_out(request: Request) -> Response:
    """End the session here and in the database."""
    site = site_of(request)
    try:
        async with site.gate.watch(request, action=Action.LOGOUT) as seen:
            given = await csrf_given(request)
            async with site.gate.transaction() as tx:
                token = request.cookies.get(site.gate.cookie)
                who = await sessions.resume(tx, token, at=seen.circumstances.at)
                site.gate.check_origin(request)
                csrf.check_token(who.csrf, given)
                await people.end_session(tx, who.token_hash, at=seen.circumstances.at)
                await site.gate.log(tx, seen, Action.LOGOUT, identity=who)
    except Refused as refused:
        if refused.status != 401:
            raise
    answer = redirect("/logga-in")
    answer.delete_cookie(site.gate.cookie, path="/", secure=site.gate.is_secure, httponly=True)
    return answer


@router.get("/sprak")
async def choose_language(
    request: Request,
    sprak: Annotated[str, Query(max_length=5)] = "sv",
    till: Annotated[str, Query(max_length=300)] = "/",
) -> Response:
    """Remember the reader's language and go back."""
    answer = redirect(own_path(till))
    answer.set_cookie(
        LANGUAGE_COOKIE,
        language_of(sprak),
        max_age=YEAR_S,
        path="/",
        secure=site_of(request).gate.is_secure,
        httponly=True,
        samesite="lax",
    )
    return answer


def _form(
    request: Request, *, onward: str, name: str = "", fault: str | None = None, status: int = 200
) -> Response:
    pages = site_of(request).pages
    return pages.answer(
        request, "login.html", status=status, onward=onward, login=name, fault=fault
    )


def _fault(refused: Refused, words: Words) -> str:
    if isinstance(refused, RateLimited):
        if refused.retry_after_s < 60:
            return words.text(
                "Många försöker logga in just nu. Försök igen om %(seconds)s sekunder.",
                seconds=refused.retry_after_s,
            )
        return words.text(
            "För många misslyckade försök. Försök igen om %(minutes)s minuter.",
            minutes=-(-refused.retry_after_s // 60),
        )
    return words.text("Användarnamnet eller lösenordet stämmer inte.")


def _role_name(role: str, words: Words) -> str:
    return {
        "nurse": words.text("Sjuksköterska"),
        "physician": words.text("Läkare"),
        "home_care": words.text("Hemtjänst"),
        "administrator": words.text("Administratör"),
    }[role]


def _set_cookie(answer: Response, site: Site, token: str) -> None:
    answer.set_cookie(
        site.gate.cookie,
        token,
        path="/",
        secure=site.gate.is_secure,
        httponly=True,
        samesite="lax",
    )
