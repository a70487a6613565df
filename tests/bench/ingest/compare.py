"""The comparison: everybody, interleaved and in shuffled order, on the same messages."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.ingest.consumers import OURS_CONSUMER, Consumer
from tests.bench.ingest.database import Tier
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.speed import BACKLOG, Run, Work, drain, sustain

DRAIN_S: Final = 4.0
MARGIN: Final = 1.5
WORKS: Final[tuple[Work, ...]] = ("drained", "sustained")


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure. ``seconds`` is how long the sustained runs are counted."""

    consumers: Sequence[Consumer]
    items_per_message: tuple[int, ...]
    works: tuple[Work, ...]
    seconds: float
    drain_s: float
    rounds: int
    seed: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Median, least and most of the rounds, for one consumer at one kind of work."""

    tier: str
    consumer: str
    items_per_message: int
    work: Work
    rate: tuple[float, float, float]
    consumer_us: float
    postgres_us: float
    broker_us: float
    publisher_us: float
    peak_mib: float
    is_complete: bool
    is_fed: float

    @property
    def what(self) -> tuple[str, int, Work]:
        """What may be compared with each other."""
        return self.tier, self.items_per_message, self.work


def messages_needed(asked: Asked, items_per_message: int) -> int:
    """Return how many messages the longest run can take."""
    fastest = max(one.samples_per_s[items_per_message] for one in asked.consumers)
    stores = [one.samples_per_s[items_per_message] for one in asked.consumers if one.stores]
    drained = fastest * asked.drain_s
    sustained = max(stores, default=0) * (asked.seconds + 4) if "sustained" in asked.works else 0
    samples = max(drained, sustained * MARGIN)
    return int(samples / items_per_message / 2) + BACKLOG[items_per_message]


def runs(
    asked: Asked, tiers: Sequence[Tier], ready: dict[int, Ready], say: Callable[[str], None]
) -> Iterator[Run]:
    """Yield each run as it is done; each round has everything once, in its own order."""
    shuffled = random.Random(asked.seed)
    for number in range(asked.rounds):
        work = [
            (tier, consumer, items, kind)
            for tier in tiers
            for consumer in asked.consumers
            for items in asked.items_per_message
            for kind in asked.works
            if kind == "drained" or consumer.stores
        ]
        shuffled.shuffle(work)
        for tier, consumer, items, kind in work:
            say(f"round {number + 1}: {consumer.name}, {items} a message, {kind}, {tier.kind}")
            if kind == "drained":
                run = drain(tier, consumer, ready[items], asked.drain_s)
            else:
                run = sustain(tier, consumer, ready[items], asked.seconds)
            say(
                f"  {run.samples_per_s:,.0f} samples/s, "
                f"{run.consumer_us + run.postgres_us + run.broker_us:.1f} µs a sample"
                + ("" if run.is_complete else ", NOT COMPLETE")
            )
            yield run


def summaries(found: Sequence[Run]) -> list[Summary]:
    """Sum the rounds up, in the order: tier, items a message, work, fastest first."""
    groups: dict[tuple[str, str, int, Work], list[Run]] = {}
    for run in found:
        key = run.tier, run.consumer, run.items_per_message, run.work
        groups.setdefault(key, []).append(run)
    summed = [_summary(key, group) for key, group in groups.items()]
    return sorted(summed, key=lambda one: (one.tier, one.items_per_message, one.work, -one.rate[0]))


def ratios(summed: Sequence[Summary]) -> list[tuple[Summary, float, float]]:
    """Return, for everybody else, ours divided by theirs: rate, and processor time per sample.

    Processor time is that of consumer, database and broker together.
    """
    ours = {one.what: one for one in summed if one.consumer == OURS_CONSUMER.name}
    return [
        (one, ours[one.what].rate[0] / one.rate[0], cost_us(ours[one.what]) / cost_us(one))
        for one in summed
        if one.consumer != OURS_CONSUMER.name and one.what in ours and one.rate[0]
    ]


def cost_us(one: Summary) -> float:
    """Return the processor time per sample of consumer, database and broker."""
    return one.consumer_us + one.postgres_us + one.broker_us


def _summary(key: tuple[str, str, int, Work], group: Sequence[Run]) -> Summary:
    tier, consumer, items, work = key
    rates = [run.samples_per_s for run in group]
    return Summary(
        tier,
        consumer,
        items,
        work,
        (statistics.median(rates), min(rates), max(rates)),
        statistics.median(run.consumer_us for run in group),
        statistics.median(run.postgres_us for run in group),
        statistics.median(run.broker_us for run in group),
        statistics.median(run.publisher_us for run in group),
        max(run.peak_mib for run in group),
        all(run.is_complete for run in group),
        statistics.median(run.is_fed for run in group),
    )
