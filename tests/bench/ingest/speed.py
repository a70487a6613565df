"""One measured run: a backlog drained, or a stream sustained.

*Drained*: the consumer is subscribed and then frozen (SIGSTOP); everything is published and waits
at the broker; the clock starts when it is let go on, and stops at the last commit. So nobody's
start-up counts, and ours, whose session at the broker ends with its connection, has a backlog like
the others.

*Sustained*: the homes send on, at most BACKLOG messages ahead of what is committed, so that there
is always something waiting and never an ever longer queue; counted is what is committed in a window
that starts after WARM_S. To ours they send as gateways do, which wait for its acknowledgements
(``gateway/uplink.py``), so that far less waits at the broker.

A commit's time is PostgreSQL's own record of it: nothing of a consumer is believed or changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from gateway.uplink import BACKLOG_WINDOW, FRESH_WINDOW
from tests.bench.ingest.consumers import Consumer
from tests.bench.ingest.database import Tier, committed, query
from tests.bench.ingest.messages import Ready
from tests.bench.ingest.publisher import Tally
from tests.bench.ingest.stage import Stage, staged

Work = Literal["drained", "sustained"]

POLL_S: Final = 0.1
WARM_S: Final = 3.0
SETTLE_S: Final = 0.3
STALL_S: Final = 15.0
# More than everybody can commit in the second that the statistics may be old.
BACKLOG: Final = {1: 24_000, 50: 3_000}
# Unanswered messages of each gateway, single and of fifty.
WINDOWS: Final = {1: FRESH_WINDOW, 50: BACKLOG_WINDOW}


@dataclass(frozen=True, slots=True)
class Run:
    """What one run gave. A sample is one component row; processor time is per sample, in µs.

    ``is_fed`` is the share of looks at which the publisher had sent all it was allowed to: the rest
    of the time it, and not the consumer, was what was waited for.
    """

    tier: str
    consumer: str
    items_per_message: int
    work: Work
    samples: int
    seconds: float
    samples_per_s: float
    consumer_us: float
    postgres_us: float
    broker_us: float
    publisher_us: float
    peak_mib: float
    is_complete: bool
    is_fed: float
    kept: dict[str, int]


def drain(tier: Tier, consumer: Consumer, ready: Ready, seconds: float) -> Run:
    """Let ``consumer`` work off about ``seconds`` of messages that wait for it."""
    traffic = ready.traffic
    wanted = consumer.samples_per_s[traffic.items_per_message] * seconds
    cycles = max(1, round(wanted / traffic.samples_per_cycle / traffic.gateways))
    each = min(cycles * traffic.cycle, traffic.per_gateway)
    messages, samples = each * traffic.gateways, traffic.samples(each)
    with staged(tier, consumer, ready, count=messages) as stage:
        time.sleep(SETTLE_S)
        stage.process.freeze()
        stage.homes.tell(f"allow {each}")
        while stage.homes.tell().taken < messages:
            time.sleep(POLL_S / 5)
        time.sleep(SETTLE_S)
        stage.meter.note()
        start_s = time.time()
        stage.process.thaw()
        if consumer.stores:
            stored, end_s = _await_stored(stage, samples)
        else:
            stored, end_s = samples, _await_end(stage)
        return _run(stage, ready, "drained", (start_s, end_s, stored), stored == samples, 1.0)


def sustain(
    tier: Tier, consumer: Consumer, ready: Ready, seconds: float, *, kept_url: str = ""
) -> Run:
    """Let ``consumer`` work for ``seconds`` on a stream that is always a little ahead of it.

    In a new database, or in the one that ``kept_url`` names.
    """
    traffic = ready.traffic
    backlog = BACKLOG[traffic.items_per_message]
    a_message = (
        traffic.items_per_message if consumer.is_ours else traffic.samples_per_cycle / traffic.cycle
    )
    looks = fed = 0
    with staged(tier, consumer, ready, kept_url=kept_url) as stage:
        before = stage.progress()
        if consumer.is_ours:
            window = WINDOWS[traffic.items_per_message]
            stage.unanswered_max = window * traffic.gateways
            stage.homes.tell(f"await {window}")
        stage.meter.note()
        start_s = time.time() + WARM_S
        while time.time() < start_s + seconds:
            done = (stage.progress() - before) / a_message
            each = int(done + backlog) // traffic.gateways
            tally = stage.homes.tell(f"allow {each}")
            looks += 1
            fed += _is_fed(stage, tally, min(each, traffic.per_gateway) * traffic.gateways)
            stage.meter.note()
            if each >= traffic.per_gateway or stage.process.has_ended():
                break
            time.sleep(POLL_S)
        end_s = stage.meter.moments_s[-1]
        stage.process.kill()
        stored = committed(stage.url, consumer.table).between(start_s, end_s)
        is_whole = not stage.process.has_ended() or end_s >= start_s + seconds - 1
        return _run(stage, ready, "sustained", (start_s, end_s, stored), is_whole, fed / looks)


def _is_fed(stage: Stage, tally: Tally, allowed: int) -> bool:
    """Tell whether plenty was sent that is not done: the consumer, not the publisher, is behind."""
    if stage.consumer.is_ours:
        return tally.taken - tally.acks >= stage.unanswered_max / 2
    return tally.taken >= allowed * 0.95


def _await_stored(stage: Stage, samples: int) -> tuple[int, float]:
    """Wait for all rows, or until nothing more comes; return how many, and the last commit."""
    seen, since_s = -1, time.monotonic()
    while True:
        stage.meter.note()
        now = stage.progress()
        if now != seen:
            seen, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > 1.0:
            stored = sum(committed(stage.url, stage.consumer.table).rows)
            if stored >= samples or time.monotonic() - since_s > STALL_S:
                if not stored:
                    return 0, time.time()
                return stored, committed(stage.url, stage.consumer.table).last_s
        time.sleep(POLL_S)


def _await_end(stage: Stage) -> float:
    while not stage.process.has_ended():
        stage.meter.note()
        time.sleep(POLL_S / 10)
    return time.time()


def _run(
    stage: Stage,
    ready: Ready,
    work: Work,
    measured: tuple[float, float, int],
    is_complete: bool,
    is_fed: float,
) -> Run:
    start_s, end_s, stored = measured
    seconds = end_s - start_s
    spent = stage.meter.spent_between(start_s, end_s)
    each = {name: one / max(stored, 1) * 1e6 for name, one in spent.items()}
    return Run(
        tier=stage.tier.kind,
        consumer=stage.consumer.name,
        items_per_message=ready.traffic.items_per_message,
        work=work,
        samples=stored,
        seconds=seconds,
        samples_per_s=stored / seconds,
        consumer_us=each["consumer"],
        postgres_us=each["postgres"],
        broker_us=each["broker"],
        publisher_us=each["publisher"],
        peak_mib=stage.meter.peaks_mib["consumer"],
        is_complete=is_complete,
        is_fed=is_fed,
        kept=_kept(stage),
    )


def _kept(stage: Stage) -> dict[str, int]:
    """Return what else is there of ours: the raw bytes, the latest values, the acknowledgements."""
    if not stage.consumer.is_ours:
        return {}
    items, raw = query(stage.url, "SELECT count(*), count(raw) FROM measurement")[0]
    (latest,) = query(stage.url, "SELECT count(*) FROM latest")[0]
    tally = stage.homes.tell()
    return {
        "items": items,
        "raw": raw,
        "latest": latest,
        "acked_items": tally.acked_items,
        "nacked_items": tally.nacked_items,
    }
