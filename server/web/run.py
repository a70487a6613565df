"""The web role: pages on one port, readiness and figures on a loopback port of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from server.settings import Settings
from server.store import people
from server.store.database import Database
from server.store.errors import DatabaseUnavailable, RightsMissing, SchemaMissing
from server.store.vital_signs import VitalSigns, vital_signs
from server.web.app import MakeApi, create_app, now
from server.web.live import Live
from server.web.metrics import Counted, Figures

LOOPBACK = "127.0.0.1"
POOL_SIZE = 8
# Who asks whether all is well does not wait longer; no answer in time is an answer, too.
INNER_MAX_S = 1.5
# An open work list never ends by itself; it fetches everything again when the server is back.
SHUTDOWN_MAX_S = 3


def create_inner(database: Database, figures: Figures, live: Live) -> Starlette:
    """Return what operators ask: ``/readyz`` and ``/metrics``, for a loopback listener only."""

    async def signs() -> VitalSigns | None:
        try:
            async with database.transaction(within_s=INNER_MAX_S) as tx:
                return await vital_signs(tx, now=now())
        except (DatabaseUnavailable, SchemaMissing, RightsMissing):
            return None

    async def readyz(request: Request) -> Response:
        try:
            async with database.transaction(within_s=INNER_MAX_S) as tx:
                await people.count_staff(tx)
        except (DatabaseUnavailable, SchemaMissing):
            return PlainTextResponse("the database is away or not migrated\n", status_code=503)
        except RightsMissing as error:
            return PlainTextResponse(f"{error}\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        text = figures.show(await signs(), lookers=live.lookers())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/readyz", readyz), Route("/metrics", metrics)])


async def run(settings: Settings, stop: asyncio.Event, *, api: MakeApi | None = None) -> None:
    """Serve until ``stop`` is set; then finish within ``SHUTDOWN_MAX_S`` seconds.

    Raises OSError when a port is taken.
    """
    figures = Figures.new()
    url = settings.database_url
    async with Database.connect(url, name="hemma-web", size=POOL_SIZE) as database:
        app = create_app(settings, database, api=api)
        servers = [_server(app, figures, settings)]
        if settings.metrics_port:
            inner = create_inner(database, figures, app.state.site.live)
            servers.append(_quiet(inner, LOOPBACK, settings.metrics_port))
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(_serve(server), name="web")
            group.create_task(_end(servers, stop), name="web-stop")


def _server(app: FastAPI, figures: Figures, settings: Settings) -> uvicorn.Server:
    is_behind_proxy = settings.base_url.startswith("https://")
    return _quiet(
        Counted(app, figures, time_s=time.monotonic),
        settings.web_host,
        settings.web_port,
        proxy=is_behind_proxy,
    )


def _quiet(app: ASGIApp, host: str, port: int, *, proxy: bool = False) -> uvicorn.Server:
    """Return a server without an access log: its lines would hold links to people."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        # Only a proxy's word on the caller's address counts; else anybody could choose one and
        # slip past the login limit.
        proxy_headers=proxy,
        timeout_graceful_shutdown=SHUTDOWN_MAX_S,
        lifespan="on",
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves the signals to the process: ``server.main`` stops every role in its own order."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


async def _serve(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit as taken:
        # uvicorn ends the process when the port is taken; a role says so instead.
        where = f"{server.config.host}:{server.config.port}"
        raise OSError(f"the web server cannot listen on {where}: taken?") from taken


async def _end(servers: list[uvicorn.Server], stop: asyncio.Event) -> None:
    await stop.wait()
    for server in servers:
        server.should_exit = True
