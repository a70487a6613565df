"""Headers on every answer: what the browser may load, keep and tell others."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No unsafe-*, no nonce, no external address. Referrer stays same-origin, because with no-referrer
# browsers send "Origin: null" and the check against forged requests loses its second lock.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
TWO_YEARS_S = 63_072_000


def headers(*, is_secure: bool) -> dict[str, str]:
    """Return the headers of an answer that says nothing itself about being kept."""
    found = {**HEADERS, "Cache-Control": "no-store"}
    if is_secure:
        found["Strict-Transport-Security"] = f"max-age={TWO_YEARS_S}"
    return found


class SecurityHeaders:
    """Puts the headers on every answer; what says nothing else about caching is not kept."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        self._headers = headers(is_secure=is_secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back, with the headers added."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                kept = given.get("Cache-Control")
                given.update(self._headers)
                if kept is not None:
                    given["Cache-Control"] = kept
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
