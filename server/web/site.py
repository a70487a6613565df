"""What every page needs, made once when the process starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from server.auth.gate import Gate, Visit
from server.auth.passwords import Passwords
from server.auth.roles import Right
from server.auth.sessions import Identity
from server.settings import Settings
from server.web import static, words
from server.web.live import Live
from server.web.words import Language, Words

LANGUAGE_COOKIE = "sprak"


class Pages:
    """The templates in each language."""

    def __init__(self, files: static.StaticFiles, *, is_demo: bool) -> None:
        self.files = files
        self.books: Mapping[Language, Words] = words.load()
        self._environments = {
            language: _environment(book, files, is_demo=is_demo)
            for language, book in self.books.items()
        }

    def words_for(self, request: Request) -> Words:
        """Return the language the reader has chosen."""
        return self.books[words.language_of(request.cookies.get(LANGUAGE_COOKIE))]

    def text(self, request: Request, template: str, **values: object) -> str:
        """Return a filled-in template as text, for a live update."""
        book = self.words_for(request)
        return self._environments[book.language].get_template(template).render(**values)

    def answer(
        self,
        request: Request,
        template: str,
        *,
        who: Identity | None = None,
        status: int = 200,
        **values: Any,
    ) -> Response:
        """Return a page. ``who`` is the logged-in person, shown in the header."""
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        here = path if request.method == "GET" else "/"
        content = self.text(request, template, who=who, here=here, **values)
        return HTMLResponse(content, status_code=status)


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that routes use."""

    settings: Settings
    gate: Gate
    passwords: Passwords
    pages: Pages
    live: Live

    def page(
        self, request: Request, visit: Visit, template: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Return a page for a logged-in person."""
        return self.pages.answer(
            request, template, who=visit.identity, status=status, now=visit.at, **values
        )


def site_of(request: Request) -> Site:
    """Return the parts of the application that serves this request."""
    return cast("Site", request.app.state.site)


def redirect(path: str) -> RedirectResponse:
    """Send the browser on with a GET. ``path`` is ours."""
    return RedirectResponse(path, status_code=303)


def own_path(given: str | None, default: str = "/") -> str:
    """Return ``given`` when it is a path on this site, else ``default``.

    No page sends people away.
    """
    if not given or not given.startswith("/") or given.startswith(("//", "/\\")):
        return default
    parts = urlsplit(given)
    return default if parts.scheme or parts.netloc else given


def _environment(book: Words, files: static.StaticFiles, *, is_demo: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("server.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(  # type: ignore[attr-defined]  # the extension's
        book.translations, newstyle=True
    )
    environment.globals.update(words=book, static=files.url, is_demo=is_demo, Right=Right)
    return environment
