"""From a home's message to its value committed, one value a message, at a steady rate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.ingest.consumers import Consumer
from tests.bench.ingest.database import Tier, query
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.stage import Stage, staged

PER_SECOND: Final = 1000
WARM_S: Final = 2.0
POLL_S: Final = 0.2
QUIET_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from sending to the commit, and, of ours, to the acknowledgement at home.

    ``missing`` values were not stored when nothing had come for QUIET_S.
    """

    tier: str
    consumer: str
    per_second: int
    values: int
    missing: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None


def measure(tier: Tier, consumer: Consumer, ready: Ready, seconds: float) -> Latency:
    """Send :data:`PER_SECOND` messages a second for ``seconds`` and see when each was committed."""
    traffic = ready.traffic
    each = int(PER_SECOND * (seconds + WARM_S)) // traffic.gateways
    assert each <= traffic.per_gateway
    with staged(tier, consumer, ready) as stage:
        stage.homes.tell(f"rate {PER_SECOND} {each}")
        _await_quiet(stage, each * traffic.gateways)
        told = stage.folder / "times.npz"
        stage.homes.tell(f"end {told}")
        times = np.load(told)
        # A message's number counts through all gateways; the first two seconds are left out.
        sent_ns = times["sent_ns"][:, :each].T.reshape(-1)
        acked_ns = times["acked_ns"][:, :each].T.reshape(-1)
        committed_ns = _commits(stage, len(sent_ns))
    first = int(PER_SECOND * WARM_S)
    took_ms = _took_ms(sent_ns[first:], committed_ns[first:])
    acks_ms = _took_ms(sent_ns[first:], acked_ns[first:])
    return Latency(
        tier.kind,
        consumer.name,
        PER_SECOND,
        len(sent_ns) - first,
        len(sent_ns) - first - len(took_ms),
        _percentile(took_ms, 50),
        _percentile(took_ms, 99),
        _percentile(took_ms, 100),
        _percentile(acks_ms, 50) if len(acks_ms) else None,
        _percentile(acks_ms, 99) if len(acks_ms) else None,
    )


def _await_quiet(stage: Stage, messages: int) -> None:
    seen, since_s = -1, time.monotonic()
    while stage.homes.tell().taken < messages or time.monotonic() - since_s < QUIET_S:
        time.sleep(POLL_S)
        now = stage.progress()
        if now != seen:
            seen, since_s = now, time.monotonic()


def _commits(stage: Stage, messages: int) -> NDArray[np.int64]:
    """Return when each message's value was committed, in ns since 1970; 0: never."""
    statement = _OURS if stage.consumer.is_ours else _THEIRS
    found = np.zeros(messages, np.int64)
    for number, moment_us in query(stage.url, statement):
        found[int(number, 16)] = moment_us * 1000
    return found


def _took_ms(start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    there = (start_ns > 0) & (end_ns > 0)
    took: NDArray[np.float64] = (end_ns[there] - start_ns[there]) / 1e6
    return took


def _percentile(values: NDArray[np.float64], share: int) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")


_OURS: Final = (
    "SELECT right(uid::text, 12),"
    " (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM measurement"
)
_THEIRS: Final = (
    "SELECT right(uid, 12),"
    " (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM reading"
)
