"""Figures as tables of text: pure, from data to lines."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from tests.bench.ingest.compare import Summary, ratios
from tests.bench.ingest.consumers import EVERYBODY
from tests.bench.ingest.growth import Step
from tests.bench.ingest.latency import Latency
from tests.bench.ingest.loss import FAULTS, Loss
from tests.bench.ingest.memory import Memory

LABELS = {one.name: one.label for one in EVERYBODY}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned; the first is text, the rest numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * width if i == 0 else "-" * (width - 1) + ":") for i, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def comparison(summed: Sequence[Summary]) -> str:
    """Return a table for each thing that may be compared, with ours divided by theirs."""
    divided = {id(one): (rate, cost) for one, rate, cost in ratios(summed)}
    parts = []
    for what in dict.fromkeys(one.what for one in summed):
        tier, items, work = what
        rows = [_row(one, divided.get(id(one))) for one in summed if one.what == what]
        parts.append(f"### {tier}, {items} an envelope, {work}\n\n{table(_HEAD, rows)}")
    return "\n\n".join(parts)


def losses(found: Sequence[Loss]) -> str:
    """Return who lost what: for each run acknowledged and not stored, and doubled rows."""
    faults = [fault for fault in FAULTS if any(one.fault == fault for one in found)]
    rows = []
    for tier, consumer in dict.fromkeys((one.tier, one.consumer) for one in found):
        mine = [one for one in found if (one.tier, one.consumer) == (tier, consumer)]
        cells = [_cell([one for one in mine if one.fault == fault]) for fault in faults]
        rows.append([f"{LABELS[consumer]} ({tier})", *cells])
    text = table(("acknowledged and not stored", *(FAULTS[fault] for fault in faults)), rows)
    return f"{text}\n\n{_LOSS_NOTE}"


def latencies(found: Sequence[Latency]) -> str:
    """Return how long one value takes, in ms."""
    rows = [
        [
            f"{LABELS[one.consumer]} ({one.tier})",
            *(f"{ms:,.1f}" for ms in (one.p50_ms, one.p99_ms, one.most_ms)),
            "–" if one.ack_p50_ms is None else f"{one.ack_p50_ms:,.1f}",
            "–" if one.ack_p99_ms is None else f"{one.ack_p99_ms:,.1f}",
            f"{one.missing:,} of {one.values:,}",
        ]
        for one in found
    ]
    head = ("to committed, ms", "p50", "p99", "most", "ack p50", "ack p99", "not stored")
    return table(head, rows)


def growth(found: Sequence[Step]) -> str:
    """Return what a row costs by how many there are."""
    rows = [
        [
            f"{one.rows_before:,}",
            f"{one.samples_per_s:,.0f}",
            f"{one.rate_ratio:.2f}",
            f"{one.consumer_us:.1f}",
            f"{one.postgres_us:.1f}",
            f"{one.cost_ratio:.2f}",
            f"{one.wal_bytes_per_row:,.0f}",
            f"{one.index_pages_per_row:.1f}",
            f"{one.uid_pages_share:.0%}",
            f"{one.uid_bytes_share:.0%}",
        ]
        for one in found
    ]
    head = (
        "rows before", "samples/s", "slower by", "ours µs", "PostgreSQL µs", "dearer by",
        "WAL bytes", "index pages", "of them uid", "uid index of all bytes",
    )  # fmt: skip
    return table(head, rows)


def memories(found: Sequence[Memory]) -> str:
    """Return how a consumer's memory went over a long run."""
    rows = [
        [
            f"{LABELS[one.consumer]} ({one.tier})",
            f"{one.per_second:,}",
            f"{one.seconds:,.0f}",
            f"{one.first_mib:.1f}",
            f"{one.last_mib:.1f}",
            f"{max(one.mib):.1f}",
            f"{one.mib_per_hour:+.1f}",
            f"{one.sent - one.stored:,} of {one.sent:,}",
        ]
        for one in found
    ]
    head = (
        "memory", "messages/s", "seconds", "MiB early", "MiB late", "most", "MiB an hour",
        "not stored",
    )  # fmt: skip
    return table(head, rows)


def _cell(runs: Sequence[Loss]) -> str:
    return ", ".join(
        f"{one.lost:,}"
        + (f", {one.warned:,} warned" if one.warned else "")
        + (f" ({one.doubled:,} twice)" if one.doubled else "")
        for one in runs
    )


def machine() -> str:
    """Return the machine in a few words, no name of it."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


_LOSS_NOTE = (
    "One figure a run. *warned*: of them, so many had a PUBACK that said that nobody listened. "
    "In brackets, rows stored twice, where there were any."
)
_HEAD = (
    "consumer",
    "samples/s [range]",
    "consumer µs",
    "PostgreSQL µs",
    "broker µs",
    "peak MiB",
    "ours ÷ it",
    "cost ours ÷ it",
)


def _row(one: Summary, divided: tuple[float, float] | None) -> list[str]:
    median, least, most = one.rate
    notes = ""
    if not one.is_complete:
        notes += " (not all stored)"
    if one.is_fed < 0.5 and one.work == "sustained":
        notes += " (waited for the publisher)"
    return [
        LABELS[one.consumer] + notes,
        f"{median:,.0f} [{least:,.0f}–{most:,.0f}]",
        f"{one.consumer_us:.1f}",
        f"{one.postgres_us:.1f}",
        f"{one.broker_us:.1f}",
        f"{one.peak_mib:.0f}",
        f"{divided[0]:.2f}" if divided else "",
        f"{divided[1]:.2f}" if divided else "",
    ]
