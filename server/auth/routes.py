"""Routes that say who may use them, so that the gate is asked before what was sent is judged.

The framework reads and checks path, form and body before it calls an endpoint, and answers what it
cannot use by itself. Here it does not get to: whoever may not write is refused and written down
first, and what cannot be used is a refused try in the access log, too.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.auth import csrf, sessions
from server.auth.errors import Unfit
from server.auth.gate import SAFE_METHODS, Gate, csrf_given
from server.auth.roles import Right
from server.store.access_log import Action

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])
_ASKS = "asks"
# A form or body that cannot even be taken apart; no endpoint of ours answers with it.
_NO_FORM = 400


def asks(right: Right | None) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint with the right that it asks for; None: a session is enough.

    An endpoint that changes something and has no mark is open to everybody who comes from our own
    page: logging in.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)[_ASKS] = right
        return endpoint

    return mark


class GatedRoute(APIRoute):
    """A route whose validation errors are answered only to those who may use it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that the router calls."""
        handle = super().get_route_handler()

        async def gated(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException) as error:
                is_unread = isinstance(error, RequestValidationError)
                if is_unread or getattr(error, "status_code", None) == _NO_FORM:
                    await self._refuse(request)
                raise

        return gated

    async def _refuse(self, request: Request) -> None:
        """Raise what the gate says; return after writing down that what was sent was unusable."""
        if request.method in SAFE_METHODS:
            return
        gate = cast("Gate", request.app.state.gate)
        # Inside the gate it is a refusal like any other, and written down; outside it is the
        # framework's own error that is answered, which says where the fault is.
        with suppress(Unfit):
            if _ASKS not in vars(self.endpoint):
                await _from_our_page(gate, request)
            elif (right := vars(self.endpoint)[_ASKS]) is None:
                await _with_session(gate, request)
            else:
                await _with_right(gate, request, right)


async def _from_our_page(gate: Gate, request: Request) -> None:
    async with gate.watch(request, action=Action.LOGIN):
        gate.check_origin(request)
        raise Unfit


async def _with_session(gate: Gate, request: Request) -> None:
    async with gate.watch(request, action=Action.WRITE) as seen:
        given = await csrf_given(request)
        async with gate.transaction() as tx:
            token = request.cookies.get(gate.cookie)
            session = await sessions.find(tx, token, at=seen.circumstances.at)
        gate.check_origin(request)
        csrf.check_token(session.csrf, given)
        raise Unfit


async def _with_right(gate: Gate, request: Request, right: Right) -> None:
    async with gate.visit(request, right):
        raise Unfit
