"""One ingest worker: take what has arrived, judge it, keep it, and only then answer.

The order is the safety property (contract.md 1): commit, then the acknowledgement to the home, then
the one to the broker. Whatever dies in between, the home still has the row and sends it again.

A batch is what has arrived while the one before was committed: at rest a value waits for nothing,
under load batches grow by themselves to their bounds. Two are in hand at a time: while the database
works on one, the next is read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from devices import wire
from server.broker import BrokerClient, Message
from server.ingest.verdict import NAME_MAX, Refusal, Verdict, acknowledgement, judge
from server.store import gateways, ledger, quarantine
from server.store.database import Database, Transaction
from server.store.errors import DatabaseUnavailable, DataRefused
from server.store.items import UID_TAKEN, Kept, Outcome, ReceivedItem, keep

RETRY_MIN_S = 0.1
RETRY_MAX_S = 5.0
# Batches in hand at once. Two keep one processor here and one at the database busy.
HANDS = 2
# About two thousand items: what a batch and each of its COPYs cost whatever they hold is shared by
# as many; more would hold up the fresh values of the other worker, a thousand take some 15 ms here.
BATCH_MAX_BYTES = 1024 * 1024
# The database refused the item although the verdict passed it: the culprit of a halved batch.
REFUSED_BY_DATABASE = "refused_by_database"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """A message with its verdict and its gateway's id (None: unknown, nothing was accepted)."""

    message: Message
    verdict: Verdict
    gateway_id: int | None

    def received(self) -> list[ReceivedItem]:
        """Return the accepted items with where they came from."""
        verdict = self.verdict
        return [
            ReceivedItem(item, self.gateway_id, verdict.gateway, verdict.boot)
            for item in verdict.accepted
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was committed of one message: ready to be told."""

    judged: Judged
    stored: tuple[int, ...]
    refused: tuple[Refusal, ...]


class Worker:
    """Works for one broker connection until cancelled; ``now`` gives the server's time."""

    def __init__(
        self,
        database: Database,
        broker: BrokerClient,
        *,
        batch_max: int,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._broker = broker
        self._batch_max = batch_max
        self._now = now

    async def work(self) -> None:
        """Handle batches for ever, :data:`HANDS` at a time."""
        async with asyncio.TaskGroup() as tasks:
            for hand in range(HANDS):
                tasks.create_task(self._work_on(), name=f"hand-{hand}")

    async def _work_on(self) -> None:
        while True:
            await self.handle(await self._broker.take(self._batch_max, BATCH_MAX_BYTES))

    async def handle(self, messages: Sequence[Message]) -> None:
        """Commit one batch and answer it; while the database is away, hold it and try again."""
        messages = [message for message in messages if self._is_ours(message)]
        pause_s = RETRY_MIN_S
        while messages:
            try:
                answers = await self._commit(messages)
                break
            except DatabaseUnavailable as error:
                log.warning("database_away", error=str(error), held=len(messages))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, RETRY_MAX_S)
        else:
            return
        for answer in answers:
            self._tell(answer)

    def _is_ours(self, message: Message) -> bool:
        """Let go of what is under no gateway's name: only the server's own user can write such."""
        try:
            wire.gateway_of(message.topic)
        except wire.WireError:
            self._broker.confirm(message)
            return False
        return True

    async def _commit(self, messages: Sequence[Message]) -> list[Answer]:
        started_s = time.monotonic()
        try:
            async with self._database.transaction() as tx:
                judged = await self._judge(tx, messages)
                items = [one for j in judged for one in j.received()]
                kept: list[Kept | None] = []
                if items:
                    kept.extend(await keep(tx, items, stored_at=self._now()))
                await self._put_aside(tx, judged)
                await ledger.note(tx, items, kept, refused=_refused(judged), at=self._now())
        except DataRefused:
            judged, kept = await self._commit_apart(messages)
        log.info(
            "batch_committed",
            messages=len(messages),
            stored=_count(kept, Outcome.STORED),
            duplicates=_count(kept, Outcome.DUPLICATE),
            refused=sum(len(j.verdict.refused) for j in judged)
            + sum(_why_refused(one) is not None for one in kept),
            milliseconds=round((time.monotonic() - started_s) * 1000, 1),
        )
        return _answers(judged, kept)

    async def _judge(self, tx: Transaction, messages: Sequence[Message]) -> list[Judged]:
        names = {wire.gateway_of(message.topic)[0] for message in messages}
        known = await gateways.ids_of(tx, names)
        if unknown := names - known.keys():
            log.warning("unknown_gateway", gateways=sorted(unknown))
        await gateways.heard(tx, known.values(), at=self._now())
        judged = []
        for message in messages:
            verdict = judge(
                message.topic, message.payload, correlation=message.correlation, known=known
            )
            judged.append(Judged(message, verdict, known.get(verdict.gateway)))
        return judged

    async def _put_aside(self, tx: Transaction, judged: Sequence[Judged]) -> None:
        aside = [_aside(j.verdict, refusal) for j in judged for refusal in j.verdict.refused]
        await quarantine.put(tx, [one for one in aside if one], at=self._now())

    async def _commit_apart(
        self, messages: Sequence[Message]
    ) -> tuple[list[Judged], list[Kept | None]]:
        """Commit the batch's items in halves, down to the ones that the database refuses (None)."""
        async with self._database.transaction() as tx:
            judged = await self._judge(tx, messages)
            await self._put_aside(tx, judged)
            await ledger.note(tx, (), (), refused=_refused(judged), at=self._now())
        items = [one for j in judged for one in j.received()]
        culprits: dict[int, str] = {}
        kept = await self._keep_halves(items, 0, culprits)
        async with self._database.transaction() as tx:
            aside = [_culprit(items[i], detail) for i, detail in culprits.items()]
            await quarantine.put(tx, aside, at=self._now())
            await ledger.note(tx, [items[i] for i in culprits], None, at=self._now())
        log.error("items_refused_by_database", count=len(culprits))
        return judged, kept

    async def _keep_halves(
        self, items: Sequence[ReceivedItem], offset: int, culprits: dict[int, str]
    ) -> list[Kept | None]:
        if not items:
            return []
        try:
            async with self._database.transaction() as tx:
                kept = await keep(tx, items, stored_at=self._now())
                await ledger.note(tx, items, kept, at=self._now())
                return [*kept]
        except DataRefused as error:
            if len(items) == 1:
                culprits[offset] = str(error)
                return [None]
        middle = len(items) // 2
        return [
            *await self._keep_halves(items[:middle], offset, culprits),
            *await self._keep_halves(items[middle:], offset + middle, culprits),
        ]

    def _tell(self, answer: Answer) -> None:
        verdict = answer.judged.verdict
        ack = acknowledgement(verdict, answer.stored, answer.refused)
        correlation = (answer.judged.message.correlation or b"")[:NAME_MAX] or None
        topic = wire.topic(verdict.gateway, "ack")
        self._broker.publish(topic, wire.encode(ack), correlation=correlation)
        self._broker.confirm(answer.judged.message)


def _answers(judged: Sequence[Judged], kept: Sequence[Kept | None]) -> list[Answer]:
    """Give each message its part; ``kept`` has one entry for each accepted item, in order."""
    answers = []
    outcomes = iter(kept)
    for one in judged:
        stored, refused = [], list(one.verdict.refused)
        for item, outcome in zip(one.verdict.accepted, outcomes, strict=False):
            reason = _why_refused(outcome)
            if reason is None:
                stored.append(item.seq)
            else:
                refused.append(Refusal(wire.Nack(item.seq, reason, "never")))
        answers.append(Answer(one, tuple(stored), tuple(refused)))
    return answers


def _why_refused(kept: Kept | None) -> str | None:
    if kept is None:
        return REFUSED_BY_DATABASE
    return UID_TAKEN if kept.outcome is Outcome.CONFLICT else None


def _count(kept: Sequence[Kept | None], outcome: Outcome) -> int:
    return sum(one is not None and one.outcome is outcome for one in kept)


def _aside(verdict: Verdict, refusal: Refusal) -> quarantine.Rejected | None:
    if refusal.payload is None:
        return None
    return quarantine.Rejected(
        gateway=verdict.gateway,
        topic=verdict.leaf,
        boot=verdict.boot or None,
        seq=refusal.nack.seq,
        reason=refusal.nack.reason,
        detail=refusal.detail,
        payload=refusal.payload,
    )


def _refused(judged: Sequence[Judged]) -> list[ledger.Refused]:
    """Return the numbers that are refused for ever, as far as they could be read."""
    return [
        ledger.Refused(j.gateway_id, j.verdict.boot, refusal.nack.seq)
        for j in judged
        for refusal in j.verdict.refused
        if j.gateway_id is not None and refusal.payload is not None and refusal.nack.seq is not None
    ]


def _culprit(received: ReceivedItem, detail: str) -> quarantine.Rejected:
    return quarantine.Rejected(
        gateway=received.gateway or "",
        topic="measurements",
        boot=received.boot,
        seq=received.item.seq,
        reason=REFUSED_BY_DATABASE,
        detail=detail,
        payload=wire.encode(received.item),
    )
