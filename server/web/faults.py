"""What a person sees when something cannot be done, in plain words; problem documents for the API.

RFC 9457 gives the API's shape: type, title, status, detail.
"""

from __future__ import annotations

from traceback import extract_tb
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.auth.errors import (
    AlreadyKept,
    Conflicting,
    NotLoggedIn,
    RateLimited,
    Refused,
    Unfit,
    Unreadable,
)
from server.store.access_log import Reason
from server.store.errors import DatabaseUnavailable, RightsMissing, SchemaMissing
from server.web.security import headers
from server.web.site import redirect, site_of
from server.web.words import Words

LOG = structlog.get_logger()
API = "/api/"
# The fields that people write in, in the order in which they are shown again.
TYPED = ("note", "systolic", "diastolic", "pulse", "spo2", "temperature", "weight")
# A password is typed here: it is never shown again.
WITHOUT_TYPING = frozenset({"/logga-in"})


def install(app: FastAPI) -> None:
    """Let the application answer every fault with one of ours."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DatabaseUnavailable, _away)
    app.add_exception_handler(SchemaMissing, _away)
    app.add_exception_handler(RightsMissing, _without_rights)
    app.add_exception_handler(Exception, _broken)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused), "registered for Refused"
    is_page = isinstance(error, NotLoggedIn) and not _is_api(request)
    if isinstance(error, NotLoggedIn) and is_page and not typed_in(request):
        return _to_login(request, error)
    words = site_of(request).pages.words_for(request)
    heading, detail = _heading(error, words), _detail(error, words)
    answer = _answer(request, error.status, detail, heading=heading, problem=error.problem)
    if isinstance(error, RateLimited):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _to_login(request: Request, error: NotLoggedIn) -> Response:
    till = quote(request.url.path) if request.method == "GET" and request.url.path != "/" else "/"
    if error.reason is Reason.NO_ASSIGNMENT:
        return redirect(f"/uppdrag?till={till}")
    return redirect(f"/logga-in?till={till}")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for HTTPException"
    detail = error.detail if _is_api(request) and error.status_code == 422 else None
    return _answer(request, error.status_code, detail)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for RequestValidationError"
    if not _is_api(request):
        # A link or form of ours never asks wrongly; what does is shown as what it is: no page.
        return _answer(request, 404 if request.method == "GET" else 422, None)
    places = sorted({".".join(str(part) for part in one["loc"]) for one in error.errors()})
    words = site_of(request).pages.words_for(request)
    return _answer(request, 422, words.text("Fel i: %(places)s", places=", ".join(places)))


async def _away(request: Request, error: Exception) -> Response:
    LOG.warning("database_away", route=_route(request))
    answer = _answer(request, 503, None)
    answer.headers["Retry-After"] = "5"
    return answer


async def _without_rights(request: Request, error: Exception) -> Response:
    # The sentence names a table and no person; whoever runs Hemma can act on it.
    LOG.error("database_rights_missing", route=_route(request), error=str(error))
    words = site_of(request).pages.words_for(request)
    heading = words.text("Servern saknar rättigheter i databasen")
    said = words.text("Inget är sparat. Säg till den som driver Hemma: %(error)s", error=str(error))
    return _answer(request, 503, said, heading=heading)


async def _broken(request: Request, error: Exception) -> Response:
    # The route and the kind of error only: a message may quote a value or a name.
    where = [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-5:]]
    LOG.error("request_broken", route=_route(request), error=type(error).__name__, where=where)
    answer = _answer(request, 500, None)
    # Starlette sends this one outside every middleware.
    answer.headers.update(headers(is_secure=site_of(request).gate.is_secure))
    return answer


def _route(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "")


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(API)


def typed_in(request: Request) -> str:
    """Return what a person had typed into the form that could not be received, a line a field.

    It is shown again on the page of the fault, so that a note is never lost because a session ended
    or the database was away. It is not kept anywhere.
    """
    form = getattr(request.state, "form", {})
    if request.url.path in WITHOUT_TYPING:
        return ""
    lines = [str(form.get(name, "")).strip() for name in TYPED]
    return "\n".join(line for line in lines if line)


def _answer(
    request: Request, status: int, detail: str | None, *, heading: str = "", problem: str = ""
) -> Response:
    words = site_of(request).pages.words_for(request)
    default_heading, default = _says(status, words)
    heading, detail = heading or default_heading, detail or default
    if not _is_api(request):
        return site_of(request).pages.answer(
            request,
            "error.html",
            status=status,
            heading=heading,
            detail=detail,
            typed=typed_in(request),
        )
    kind = f"urn:hemma:problem:{problem}" if problem else "about:blank"
    document = {"type": kind, "title": heading, "status": status, "detail": detail}
    return JSONResponse(document, status_code=status, media_type="application/problem+json")


def _detail(error: Refused, words: Words) -> str | None:
    if isinstance(error, Conflicting):
        return conflict_text(error, words)
    if isinstance(error, RateLimited):
        return words.text(
            "För många försök. Försök igen om %(seconds)s sekunder.", seconds=error.retry_after_s
        )
    if isinstance(error, AlreadyKept):
        return words.text("Det första som skickades är sparat. Det här är inte sparat.")
    if isinstance(error, Unreadable):
        return words.text(
            "Larmets historik kan inte läsas. Larmet står kvar på listan: handla efter dess text,"
            " och säg till den som driver Hemma."
        )
    if isinstance(error, Unfit):
        return error.detail or None
    return None


def _heading(error: Refused, words: Words) -> str:
    if isinstance(error, AlreadyKept):
        return words.text("Redan sparat med andra uppgifter")
    if isinstance(error, Unreadable):
        return words.text("Larmet kan inte ändras")
    return ""


def conflict_text(error: Conflicting, words: Words) -> str:
    """Say who was first and when, such as "Anna Björk tog larmet 10:42"."""
    values = {"name": error.holder or "", "time": words.clock(error.since) if error.since else ""}
    if error.is_closed and error.holder:
        return words.text("%(name)s avslutade larmet %(time)s", **values)
    if error.is_closed:
        return words.text("Larmet är redan avslutat")
    if error.holder:
        return words.text("%(name)s tog larmet %(time)s", **values)
    return words.text("Larmet har ändrats sedan sidan hämtades. Titta igen och gör om.")


def _says(status: int, words: Words) -> tuple[str, str]:
    said = {
        401: (
            words.text("Du är inte inloggad"),
            words.text("Logga in och försök igen."),
        ),
        403: (
            words.text("Det får du inte göra"),
            words.text(
                "Ditt uppdrag ger inte rätt till sidan, eller så är formuläret för gammalt."
                " Försöket är antecknat i åtkomstloggen."
            ),
        ),
        404: (
            words.text("Sidan finns inte"),
            words.text("Det du söker finns inte, eller hör till en annan enhet."),
        ),
        409: (
            words.text("Någon hann före"),
            words.text("Larmet har ändrats sedan sidan hämtades. Titta igen och gör om."),
        ),
        422: (
            words.text("Något är fel ifyllt"),
            words.text("Gå tillbaka och rätta uppgifterna. Inget är sparat."),
        ),
        429: (
            words.text("För många försök"),
            words.text("Vänta en stund och försök igen."),
        ),
        503: (
            words.text("Databasen svarar inte"),
            words.text("Inget har gått förlorat. Försök igen om en liten stund."),
        ),
    }
    broken = (
        words.text("Något gick fel"),
        words.text("Felet är antecknat. Försök igen. Är det bråttom: ring."),
    )
    return said.get(status, broken)
