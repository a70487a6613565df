"""Do something with the database however long it is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from server.store.errors import DatabaseUnavailable

RETRY_MIN_S = 0.2
RETRY_MAX_S = 5.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Await ``work()``, again with growing pauses while the database is away; other errors pass."""
    pause_s = RETRY_MIN_S
    while True:
        try:
            return await work()
        except DatabaseUnavailable as error:
            log.warning("database_away", error=str(error))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, RETRY_MAX_S)
