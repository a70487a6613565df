"""Whether a request that changes something comes from our own page.

Two locks: the browser's own word on where the request comes from (Sec-Fetch-Site, else Origin), and
the session's token in the form or in the ``X-CSRF-Token`` header. A client that is no browser sends
neither of the first two and still needs the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from server.auth.errors import BadCsrf

FIELD = "csrf"
HEADER = "x-csrf-token"


def check_origin(headers: Mapping[str, str], *, origins: frozenset[str]) -> None:
    """Raise BadCsrf when the browser says that another site made the request.

    ``origins`` are ours, as ``scheme://host[:port]``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise BadCsrf
        return
    origin = headers.get("origin")
    if origin is not None and origin not in origins:
        raise BadCsrf


def check_token(expected: str, given: str | None) -> None:
    """Raise BadCsrf unless the token is the session's; compared in constant time."""
    if given is None or not hmac.compare_digest(expected.encode(), given.encode()):
        raise BadCsrf
