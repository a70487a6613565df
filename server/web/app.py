"""The web application: pages, live stream, static files and the API under one gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server.audit.record import record
from server.auth.gate import Gate
from server.auth.passwords import Passwords
from server.settings import Settings
from server.store.database import Database
from server.web import administration, faults, login, static
from server.web.live import Live
from server.web.nurse import patient, value, worklist
from server.web.security import SecurityHeaders
from server.web.site import Pages, Site

KEEP_FOR_EVER = "public, max-age=31536000, immutable"
MakeApi = Callable[[Gate, Passwords], APIRouter]


def now() -> datetime:
    """Return the server's clock."""
    return datetime.now(UTC)


def create_app(
    settings: Settings,
    database: Database,
    *,
    api: MakeApi | None = None,
    clock: Callable[[], datetime] = now,
) -> FastAPI:
    """Return the application.

    ``api`` makes the routes under ``/api/v1``; it is this package's sibling and handed in by
    ``server.main``.
    """
    gate = Gate(database, record=record, clock=clock, base_url=settings.base_url)
    files = static.load()
    passwords = Passwords()
    site = Site(settings, gate, passwords, Pages(files, is_demo=settings.demo), Live())
    app = FastAPI(
        title="Hemma",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.site = site
    app.state.gate = gate
    faults.install(app)
    for pages in (login, worklist, patient, value, administration):
        app.include_router(pages.router, include_in_schema=False)
    if api is not None:
        app.include_router(api(gate, passwords))
    app.include_router(_plain(files), include_in_schema=False)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    app.add_middleware(SecurityHeaders, is_secure=gate.is_secure)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    site: Site = app.state.site
    listener = asyncio.create_task(site.live.listen(site.gate.database), name="live")
    try:
        yield
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


def _plain(files: static.StaticFiles) -> APIRouter:
    router = APIRouter()

    @router.get("/static/{name}")
    async def static_file(request: Request, name: str) -> Response:
        """Return a file whose name holds its digest."""
        found = files.by_name.get(name)
        if found is None:
            raise HTTPException(404)
        is_zipped = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Cache-Control": KEEP_FOR_EVER, "Vary": "Accept-Encoding"}
        if is_zipped:
            headers["Content-Encoding"] = "gzip"
        content = found.gzipped if is_zipped else found.content
        return Response(content, media_type=found.media_type, headers=headers)

    @router.get("/healthz")
    async def healthz() -> Response:
        """Say that the process answers; nothing about what is behind it."""
        return PlainTextResponse("ok\n")

    return router
