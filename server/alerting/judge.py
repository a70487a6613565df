"""Judge what waits, exactly once; or one value again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from alerts.decision import Decided, Decision
from server.alerting.stages import STAGES, Work
from server.alerting.unjudged import DATA_ERRORS, Unjudged, set_aside
from server.store import engine_inbox
from server.store.database import Transaction, savepoint


@dataclass(frozen=True, slots=True)
class Judged:
    """What one round did. ``left`` measurements still wait, here or with another engine.

    ``unjudged`` are the people who could not be judged and wait for another try; they are not
    among what is left.
    """

    measurements: int
    decisions: tuple[Decision, ...]
    left: int
    unjudged: tuple[Unjudged, ...] = ()

    @property
    def fired(self) -> int:
        """How many alerts were opened."""
        return sum(decision.decided is Decided.FIRE for decision in self.decisions)


async def judge_inbox(tx: Transaction, *, now: datetime, limit: int = 500) -> Judged:
    """Judge at most ``limit`` waiting measurements as of ``now``, in the caller's transaction.

    Several engines may call this at the same time: a person is one engine's at a time. Whoever
    cannot be judged is set aside, and stops nobody else.
    """
    claimed = await engine_inbox.claim(tx, now=now, limit=limit)
    parts = await _judge(tx, Work(now, tuple(claimed)))
    done = [part for part in parts if isinstance(part, Work)]
    return Judged(
        measurements=sum(len(work.claimed) for work in done),
        decisions=tuple(verdict.decision for work in done for verdict in work.verdicts),
        left=await engine_inbox.count(tx, now=now),
        unjudged=tuple(part for part in parts if isinstance(part, Unjudged)),
    )


async def _judge(tx: Transaction, work: Work) -> list[Work | Unjudged]:
    """Judge all together; where that fails each half, down to the one who cannot be judged."""
    try:
        return [await _through_stages(tx, work)]
    except DATA_ERRORS as error:
        fault = error
    if len(work.people) == 1:
        return [await set_aside(tx, work.claimed, fault, now=work.now)]
    return [part for half in work.halves() for part in await _judge(tx, half)]


async def _through_stages(tx: Transaction, work: Work) -> Work:
    async with savepoint(tx):
        for stage in STAGES:
            work = await stage(tx, work)
    return work


async def re_evaluate(tx: Transaction, uid: UUID, *, at: datetime) -> bool:
    """Put a value back among what waits, such as after its device was bound; False if unknown.

    It is judged by the rules of whom it belongs to now. What already cites it is not changed twice.
    """
    return await engine_inbox.put_back(tx, uid, at=at)
