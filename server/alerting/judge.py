"""Judge what waits, exactly once; or one value again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from alerts.decision import Decided, Decision
from server.alerting.stages import STAGES, Work
from server.store import engine_inbox
from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Judged:
    """What one round did. ``left`` measurements still wait, here or with another engine."""

    measurements: int
    decisions: tuple[Decision, ...]
    left: int

    @property
    def fired(self) -> int:
        """How many alerts were opened."""
        return sum(decision.decided is Decided.FIRE for decision in self.decisions)


async def judge_inbox(tx: Transaction, *, now: datetime, limit: int = 500) -> Judged:
    """Judge at most ``limit`` waiting measurements as of ``now``, in the caller's transaction.

    Several engines may call this at the same time: a person is one engine's at a time.
    """
    work = Work(now=now, limit=limit)
    for stage in STAGES:
        work = await stage(tx, work)
    left = await engine_inbox.count(tx)
    return Judged(len(work.claimed), tuple(v.decision for v in work.verdicts), left)


async def re_evaluate(tx: Transaction, uid: UUID, *, at: datetime) -> bool:
    """Put a value back among what waits, such as after its device was bound; False if unknown.

    It is judged by the rules of whom it belongs to now. What already cites it is not changed twice.
    """
    return await engine_inbox.put_back(tx, uid, at=at)
