"""Does the ingest role grow while it works? Its memory over a long steady stream."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.bench.ingest.consumers import Consumer
from tests.bench.ingest.database import Tier, query
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.meter import resident_mib
from tests.bench.ingest.stage import Stage, staged

PER_SECOND: Final = 1000
LOOK_S: Final = 5.0
# What a process fills once, such as its caches and pools, it has filled by then.
WARM_SHARE: Final = 1 / 6
DRAIN_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB, one figure each :data:`LOOK_S`.

    ``first_mib`` and ``last_mib`` are medians of the sixth after the first sixth, and of the last;
    ``mib_per_hour`` is the slope of a straight line through all after the first sixth.
    """

    tier: str
    consumer: str
    per_second: int
    seconds: float
    sent: int
    stored: int
    mib: tuple[float, ...]
    first_mib: float
    last_mib: float
    mib_per_hour: float


def measure(
    tier: Tier, consumer: Consumer, ready: Ready, seconds: float, say: Callable[[str], None]
) -> Memory:
    """Send :data:`PER_SECOND` messages a second for ``seconds`` and look at the consumer."""
    traffic = ready.traffic
    each = int(PER_SECOND * seconds) // traffic.gateways
    assert each <= traffic.per_gateway, "as many messages as are asked for"
    sent = each * traffic.gateways
    seen: list[float] = []
    with staged(tier, consumer, ready) as stage:
        stage.homes.tell(f"rate {PER_SECOND} {each}")
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s and not stage.process.has_ended():
            time.sleep(LOOK_S)
            seen.append(resident_mib(stage.process.pid))
            if len(seen) % 24 == 0:
                say(f"  {len(seen) * LOOK_S:,.0f} s: {seen[-1]:.1f} MiB")
        stored = _await_stored(stage, sent)
    warm = seen[int(len(seen) * WARM_SHARE) :]
    sixth = max(1, int(len(seen) * WARM_SHARE))
    return Memory(
        tier.kind,
        consumer.name,
        PER_SECOND,
        len(seen) * LOOK_S,
        sent,
        stored,
        tuple(seen),
        statistics.median(warm[:sixth]),
        statistics.median(warm[-sixth:]),
        slope_per_hour(warm, LOOK_S),
    )


def slope_per_hour(figures: list[float], step_s: float) -> float:
    """Return the slope of the straight line nearest to figures that are ``step_s`` apart."""
    if len(figures) < 2:
        return float("nan")
    return float(np.polyfit(np.arange(len(figures)) * step_s / 3600, figures, 1)[0])


def _await_stored(stage: Stage, wanted: int) -> int:
    """Return how many items are stored, once all are or nothing more is waited for."""
    ends_s = time.monotonic() + DRAIN_MAX_S
    while True:
        (stored,) = query(stage.url, "SELECT count(*) FROM measurement")[0]
        if stored >= wanted or time.monotonic() > ends_s:
            return int(stored)
        time.sleep(LOOK_S)
