"""How long to wait before the next try: growing, bounded, never in step with other homes."""

from __future__ import annotations

from collections.abc import Callable

# Returns a number in [0, 1); injected, so that a test can repeat itself.
Jitter = Callable[[], float]

# Rows go again after 10 s without an ack, then back off to 10 minutes (contract.md 1, Resend).
RESEND_FIRST_S = 10.0
RESEND_MAX_S = 600.0
# What the server refuses for now is tried at most an hour later (contract.md 1, Verdict).
LATER_FIRST_S = 30.0
LATER_MAX_S = 3600.0
RECONNECT_FIRST_S = 1.0
RECONNECT_MAX_S = 300.0


def backoff_s(attempt: int, *, first_s: float, max_s: float, jitter: Jitter) -> float:
    """Return the wait in seconds after try number ``attempt`` (from 1).

    It doubles with each try up to ``max_s``; from the second on up to half of it is taken off at
    random, so that a fleet that lost its broker together does not return together.
    """
    assert attempt >= 1, "tries are counted from 1"
    full = min(max_s, first_s * 2.0 ** min(attempt - 1, 32))
    return full if attempt == 1 else full * (1.0 - 0.5 * jitter())
