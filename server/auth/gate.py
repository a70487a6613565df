"""The one door that every page and every API call goes through.

One request is one transaction: who asks, what they may, the read itself and the line in the access
log are kept or lost together. A refused try rolls its transaction back and is written in one of its
own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.requests import Request

from server.auth import csrf, sessions
from server.auth.errors import Refused, WrongRole
from server.auth.roles import Right
from server.auth.sessions import Identity
from server.store import people
from server.store.access_log import Action, Entry, Reason
from server.store.database import Database, Transaction
from server.store.patients import Reach

SAFE_METHODS = frozenset({"GET", "HEAD"})
# A nurse who waits longer than this believes that nothing works: she is told instead.
WORK_MAX_S = 8.0


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a try before anybody is let in.

    ``target`` is the path and holds no personal data.
    """

    at: datetime
    address: str
    target: str


Record = Callable[[Transaction, Entry], Awaitable[None]]
"""How a line gets into the access log (``server.audit`` gives it)."""


def entry_of(
    circumstances: Circumstances,
    identity: Identity | None,
    *,
    action: Action,
    patient_id: int | None = None,
    reason: Reason | None = None,
) -> Entry:
    """Return the line for one read, one act or, with a reason, one refused try."""
    assignment = identity.assignment if identity else None
    return Entry(
        at=circumstances.at,
        staff_id=identity.staff_id if identity else None,
        login=identity.login if identity else "",
        assignment_id=assignment.id if assignment else None,
        unit_id=assignment.unit_id if assignment else None,
        role=assignment.role if assignment else "",
        address=circumstances.address,
        action=action,
        target=circumstances.target,
        patient_id=patient_id,
        outcome="refused" if reason else "granted",
        reason=reason or "",
    )


@dataclass(slots=True)
class Visit:
    """One request that was let in."""

    tx: Transaction
    identity: Identity
    circumstances: Circumstances
    record: Record
    recorded: int = 0

    @property
    def reach(self) -> Reach:
        """Return what the visitor may see."""
        return self.identity.reach

    @property
    def at(self) -> datetime:
        """Return the time of the request, on the server's clock."""
        return self.circumstances.at

    async def log(self, action: Action, *, patient_id: int | None = None) -> None:
        """Write what was read or done. Every visit does this at least once."""
        entry = entry_of(self.circumstances, self.identity, action=action, patient_id=patient_id)
        await self.record(self.tx, entry)
        self.recorded += 1


class Gate:
    """Lets requests in, or refuses them and says so in the access log."""

    def __init__(
        self,
        database: Database,
        *,
        record: Record,
        clock: Callable[[], datetime],
        base_url: str,
    ) -> None:
        self.database = database
        self.clock = clock
        self.is_secure = base_url.startswith("https://")
        self.cookie = "__Host-hemma" if self.is_secure else "hemma"
        self._record = record
        self._origins = frozenset({base_url.rstrip("/")})

    @asynccontextmanager
    async def visit(
        self, request: Request, right: Right, *, touch: bool = True
    ) -> AsyncIterator[Visit]:
        """Let a logged-in person with that right in; commits when the block ends without an error.

        Raises a Refused, after writing it down. The block must log what it reads or does.
        """
        action = Action.READ if request.method in SAFE_METHODS else Action.WRITE
        async with self.watch(request, action=action) as seen:
            given = await csrf_given(request)
            async with self.transaction() as tx:
                identity = await sessions.resume(
                    tx, request.cookies.get(self.cookie), at=seen.circumstances.at, touch=touch
                )
                seen.identity = identity
                if request.method not in SAFE_METHODS:
                    self.check_origin(request)
                    csrf.check_token(identity.csrf, given)
                if not identity.may(right):
                    raise WrongRole
                visit = Visit(tx, identity, seen.circumstances, self._record)
                yield visit
                assert visit.recorded, "every visit is in the access log"

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction of one's own, for what happens before anybody is let in.

        It ends within ``WORK_MAX_S`` seconds, like every visit.
        """
        return self.database.transaction(within_s=WORK_MAX_S)

    @asynccontextmanager
    async def watch(self, request: Request, *, action: Action) -> AsyncIterator[Watched]:
        """Write down a Refused that leaves the block, in its own transaction, and pass it on."""
        seen = Watched(self._circumstances(request))
        try:
            yield seen
        except Refused as refused:
            async with self.transaction() as tx:
                entry = entry_of(
                    seen.circumstances,
                    seen.identity,
                    action=action,
                    patient_id=refused.patient_id,
                    reason=refused.reason,
                )
                await self._record(tx, entry)
            raise

    def check_origin(self, request: Request) -> None:
        """Raise BadCsrf when the browser says that another site made the request."""
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        csrf.check_origin(request.headers, origins=self._origins | {own})

    async def log_login(
        self,
        tx: Transaction,
        seen: Watched,
        staff: people.Staff,
        assignment: people.Assignment | None,
    ) -> None:
        """Write a granted login: the session's own identity does not exist yet."""
        entry = entry_of(seen.circumstances, None, action=Action.LOGIN)
        await self._record(
            tx,
            replace(
                entry,
                staff_id=staff.id,
                login=staff.login,
                assignment_id=assignment.id if assignment else None,
                unit_id=assignment.unit_id if assignment else None,
                role=assignment.role if assignment else "",
            ),
        )

    async def log(
        self, tx: Transaction, seen: Watched, action: Action, *, identity: Identity | None = None
    ) -> None:
        """Write a granted line for what happens before anybody is let in: login and logout."""
        await self._record(tx, entry_of(seen.circumstances, identity, action=action))

    def _circumstances(self, request: Request) -> Circumstances:
        address = request.client.host if request.client else ""
        return Circumstances(self.clock(), address, request.url.path[:200])


@dataclass(slots=True)
class Watched:
    """What is known so far of the one who tries."""

    circumstances: Circumstances
    identity: Identity | None = None


async def csrf_given(request: Request) -> str | None:
    """Return the token that came with a request: the header, else the form's field."""
    header = request.headers.get(csrf.HEADER)
    if header is not None or request.method in SAFE_METHODS:
        return header
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return None
    form = await request.form()
    # For the page of a fault, which is made outside the route and could not read the body again.
    request.state.form = form
    value = form.get(csrf.FIELD)
    return value if isinstance(value, str) else None
