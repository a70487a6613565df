"""A campaign: stages beside each other, each with its share of the faults, and what came of all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Final

import psycopg

from hemma.cluster import Installation
from hemma.errors import HemmaError
from tests.chaos.count import Count
from tests.chaos.faults import KINDS, Blow, plan
from tests.chaos.parts import Stuck
from tests.chaos.stage import staged

# Everything drains and is counted after so many faults; then the same stage goes on.
BLOCK: Final = 10
# Of each four stages: how many ingest workers share the subscription, and whether an engine judges.
CASTS: Final = ((2, False), (2, True), (1, False), (3, False))
# Every so many-th stage has the plain server, the others TimescaleDB where it is.
PLAIN_OF: Final = 3


@dataclass(frozen=True, slots=True)
class Cast:
    """What one stage is made of, and its part of the plan."""

    seed: str
    database: str
    workers: int
    with_engine: bool
    blows: Sequence[Blow]

    @property
    def faults(self) -> int:
        """How many faults it gets."""
        return sum(len(blow.strikes) for blow in self.blows)


@dataclass
class Outcome:
    """What came of one stage: ``count`` of all its values, ``wrong`` in words, with the block."""

    cast: Cast
    count: Count = field(default_factory=Count)
    struck: dict[str, int] = field(default_factory=dict)
    pairs: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All stages of a campaign."""

    seed: int
    faults: int
    seconds: float
    outcomes: list[Outcome]

    @property
    def wrong(self) -> list[str]:
        """Everything that may not be, with the stage it was seen on."""
        return [f"{one.cast.seed}: {what}" for one in self.outcomes for what in one.wrong]

    def total(self, name: str) -> int:
        """Return the sum of one of the numbers of :class:`Count` over all stages."""
        return sum(int(getattr(one.count, name)) for one in self.outcomes)

    def struck(self) -> Counter[str]:
        """Return how many faults of each kind there were."""
        return sum((Counter(one.struck) for one in self.outcomes), Counter[str]())

    def as_data(self) -> dict[str, object]:
        """Return the report for programs."""
        return {"struck": dict(self.struck()), "wrong": self.wrong, **asdict(self)}


def casts(seed: int, faults: int, stages: int, databases: Sequence[str]) -> list[Cast]:
    """Divide ``faults`` among ``stages``; the same arguments give the same plans.

    ``databases`` are the kinds that can run here, the plain one first.
    """
    shares = [faults // stages + (number < faults % stages) for number in range(stages)]
    made = []
    for number, share in enumerate(shares):
        workers, with_engine = CASTS[number % len(CASTS)]
        database = databases[-1] if number % PLAIN_OF == PLAIN_OF - 1 else databases[0]
        one = f"{seed}-{number}"
        made.append(
            Cast(one, database, workers, with_engine, plan(one, share, with_engine=with_engine))
        )
    return made


def run(
    seed: int,
    played: Sequence[Cast],
    installations: Mapping[str, Installation],
    *,
    at_once: int,
    say: Callable[[str], None],
) -> Report:
    """Play the stages, ``at_once`` beside each other."""
    began_s = time.monotonic()
    # A stage begins and ends in one thread: its servers end with that.
    with ThreadPoolExecutor(at_once, thread_name_prefix="stage") as pool:
        outcomes = list(pool.map(lambda one: _play(one, installations[one.database], say), played))
    faults = sum(sum(one.struck.values()) for one in outcomes)
    return Report(seed, faults, time.monotonic() - began_s, outcomes)


def _play(cast: Cast, installation: Installation, say: Callable[[str], None]) -> Outcome:
    outcome = Outcome(cast)
    began_s = time.monotonic()
    try:
        with staged(
            installation, cast.seed, workers=cast.workers, with_engine=cast.with_engine
        ) as stage:
            for number, blows in enumerate(blocks(cast.blows), 1):
                try:
                    outcome.count = stage.block(blows)
                finally:
                    outcome.struck = dict(stage.struck)
                found = outcome.count
                say(
                    f"{cast.seed} {cast.database}, block {number}: {stage.struck.total()} faults,"
                    f" {found.stored} stored, {found.duplicates} again, {found.lost} lost,"
                    f" {found.doubled} doubled"
                )
                outcome.wrong += [f"block {number}: {fault}" for fault in found.faults]
    except (Stuck, HemmaError, psycopg.Error, OSError) as error:
        # The other stages go on.
        outcome.wrong.append(f"{type(error).__name__}: {error}")
    outcome.pairs = sum(len(blow.strikes) == 2 for blow in cast.blows)
    outcome.seconds = time.monotonic() - began_s
    return outcome


def blocks(blows: Sequence[Blow]) -> list[list[Blow]]:
    """Cut a stage's blows into blocks of about :data:`BLOCK` faults."""
    made: list[list[Blow]] = [[]]
    count = 0
    for blow in blows:
        if count >= BLOCK:
            made.append([])
            count = 0
        made[-1].append(blow)
        count += len(blow.strikes)
    return made


def told(report: Report) -> str:
    """Return the report for people."""
    struck = report.struck()
    width = max(len(name) for name in KINDS)
    lines = [f"| {'fault':{width}} | times |", f"| {'-' * width} | ----: |"]
    lines += [f"| {name:{width}} | {struck[name]:5} |" for name in KINDS]
    pairs = sum(one.pairs for one in report.outcomes)
    lines += [
        f"| {'all':{width}} | {struck.total():5} |",
        "",
        f"{pairs} times two of them overlapped. {len(report.outcomes)} stages: {_stages(report)}.",
        "",
        _values(report),
        "",
        f"**{report.total('lost')} lost, {report.total('doubled')} doubled.**",
    ]
    return "\n".join([*lines, *(["", *report.wrong] if report.wrong else [])])


def _stages(report: Report) -> str:
    kinds = Counter(
        f"{one.cast.workers} ingest{' and an engine' if one.cast.with_engine else ''}"
        f" on {one.cast.database}"
        for one in report.outcomes
    )
    return ", ".join(f"{times} × {kind}" for kind, times in sorted(kinds.items()))


def _values(report: Report) -> str:
    return (
        f"{report.total('measured'):,} values measured, {report.total('stored'):,} stored with"
        f" {report.total('components'):,} components, {report.total('acknowledged'):,}"
        f" acknowledged; {report.total('late'):,} of them came after ten minutes or more,"
        f" {report.total('duplicates'):,} items came again and were known,"
        f" {report.total('judged'):,} were judged, with {report.total('decisions'):,} decisions."
        f" {report.seconds:.0f} s."
    )
