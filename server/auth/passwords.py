"""Password hashes: argon2id with the library's defaults (RFC 9106, low-memory profile: 64 MiB,
three passes).

One verification takes about 65 MiB and a quarter of a second, so only a few run at a time; the rest
wait their turn and are told to come back when the queue does not move.
"""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.auth.errors import RateLimited

PARALLEL_MAX = 2
WAIT_MAX_S = 10

_HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """Return an argon2id PHC string.

    Takes about a quarter of a second: call it outside the event loop.
    """
    return _HASHER.hash(password)


class Passwords:
    """Verifies passwords in threads, a few at a time; no account costs the same work as one."""

    def __init__(self, *, parallel_max: int = PARALLEL_MAX) -> None:
        self._turns = asyncio.Semaphore(parallel_max)
        self._nobody = hash_password("nobody has this password")

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password fits; None (no such account) costs the same and never fits.

        Raises RateLimited when no turn came within ``WAIT_MAX_S`` seconds.
        """
        try:
            await asyncio.wait_for(self._turns.acquire(), WAIT_MAX_S)
        except TimeoutError:
            raise RateLimited(WAIT_MAX_S) from None
        try:
            fits = await asyncio.to_thread(_verify, password_hash or self._nobody, password)
        finally:
            self._turns.release()
        return fits and password_hash is not None


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
