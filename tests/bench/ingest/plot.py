"""The comparison as a picture: bars of samples a second on a scale of tens, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from tests.bench.ingest.compare import Summary
from tests.bench.ingest.report import LABELS

WIDTH: Final = 900
LABEL_WIDTH: Final = 270
BAR: Final = 18
GAP: Final = 6
HEAD: Final = 34
LEAST: Final = 1000.0
INK: Final = "#1b2733"
OURS: Final = "#0b6e4f"
THEIRS: Final = "#8aa0b3"
CEILING: Final = "#d9dee3"


def draw(summed: Sequence[Summary], title: str) -> str:
    """Return an SVG document with a group of bars for each thing that may be compared."""
    most = max((one.rate[2] for one in summed), default=LEAST * 10)
    parts = [_text(10, 22, title, bold=True)]
    y = 44
    for what in dict.fromkeys(one.what for one in summed):
        tier, items, work = what
        y += HEAD
        parts.append(_text(10, y - 10, f"{tier}, {items} an envelope, {work}", bold=True))
        for one in (one for one in summed if one.what == what):
            parts += _bar(one, y, most)
            y += BAR + GAP
    height = y + 20
    note = "samples (component rows) a second, scale of tens; line: least to most of the rounds"
    parts.append(_text(10, height - 6, note))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def line(figures: Sequence[float], step_s: float) -> str:
    """Return an SVG document with resident memory in MiB over minutes, on an axis from zero."""
    width, height, left, foot = WIDTH, 260, 60, 30
    most = max(figures, default=1.0) * 1.1
    across = (width - left - 20) / max(len(figures) - 1, 1)
    rise = (height - foot - 20) / most
    points = " ".join(
        f"{left + n * across:.1f},{height - foot - one * rise:.1f}" for n, one in enumerate(figures)
    )
    minutes = len(figures) * step_s / 60
    labels = [
        _text(left - 8, height - foot - level * rise, f"{level:.0f}", anchor="end")
        for level in (0.0, max(figures, default=0.0))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<polyline points="{points}" fill="none" stroke="{OURS}" stroke-width="1.5"/>'
        f"{''.join(labels)}"
        f"{_text(left, height - 8, f'resident MiB of the ingest role over {minutes:.0f} minutes')}"
        "</svg>\n"
    )


def _bar(one: Summary, y: int, most: float) -> list[str]:
    median, least, greatest = (_x(rate, most) for rate in one.rate)
    colour = OURS if one.consumer == "ours" else THEIRS
    if LABELS[one.consumer].startswith("ceiling"):
        colour = CEILING
    middle = y + BAR / 2
    incomplete = "" if one.is_complete else " (not all stored)"
    size = f'width="{median - LABEL_WIDTH:.1f}" height="{BAR}"'
    return [
        _text(LABEL_WIDTH - 8, y + 13, LABELS[one.consumer] + incomplete, anchor="end"),
        f'<rect x="{LABEL_WIDTH}" y="{y}" {size} fill="{colour}"/>',
        f'<line x1="{least:.1f}" x2="{greatest:.1f}" y1="{middle}" y2="{middle}" stroke="{INK}"/>',
        _text(greatest + 6, y + 13, f"{one.rate[0]:,.0f}"),
    ]


def _x(rate: float, most: float) -> float:
    span = WIDTH - LABEL_WIDTH - 90
    share = math.log(max(rate, LEAST) / LEAST) / math.log(max(most, LEAST * 10) / LEAST)
    return LABEL_WIDTH + span * share


def _text(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )
