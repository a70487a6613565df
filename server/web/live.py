"""Who is looking at a work list right now, and waking them when their unit's list has changed.

One listener for the process. A page that falls behind is woken once, not once for each change: it
always fetches the whole list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from server.store.database import Database

CHANNEL = "hemma_alert"
HEARTBEAT_S = 15.0
# A change can reach a unit without being notified to it (a patient has moved); a page is never
# older.
REFRESH_S = 60.0


class Live:
    """Wakes the open work lists of a unit."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}

    @contextmanager
    def waiting(self, unit_id: int) -> Iterator[asyncio.Event]:
        """Give an event that is set when the unit's list may have changed

        Clear it before reading.
        """
        event = asyncio.Event()
        self._waiting.setdefault(unit_id, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[unit_id].discard(event)

    def wake(self, unit_id: int | None = None) -> None:
        """Wake the pages of one unit, or of all."""
        units = self._waiting.values() if unit_id is None else [self._waiting.get(unit_id, set())]
        for events in units:
            for event in events:
                event.set()

    def lookers(self) -> int:
        """Return how many work lists are open."""
        return sum(len(events) for events in self._waiting.values())

    async def listen(self, database: Database) -> None:
        """Pass on what the engine and other web processes notify, until cancelled."""
        async with aclosing(database.notifications(CHANNEL)) as notes:
            async for payload in notes:
                self.wake(int(payload) if payload.isdecimal() else None)


async def next_change(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for a change; False when only the time for a heartbeat has come."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
