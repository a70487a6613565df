"""Figures as tables of text: pure, from data to lines."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from tests.bench.ingest.compare import Summary, ratios
from tests.bench.ingest.consumers import EVERYBODY

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


def machine() -> str:
    """Return the machine in a few words, no name of it."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


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
