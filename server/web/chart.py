"""Server-drawn charts: values, limits, alert marks and gaps in, SVG text out. Pure.

What it promises a nurse:

- a line joins two values only when no more than the patient's usual interval lies between them;
- a day or more without values is hatched and says so, so that missing never looks like normal;
- limits are lines named at the right edge, where the newest values are;
- an alert is a shape with its own title, never a colour alone;
- no style attribute and no script, so that it lives under a strict content security policy.

A chart is drawn for one width in CSS pixels; the page shows the narrow one on a phone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape
from itertools import pairwise

# Repeats within the hour are one sitting and say nothing of how often the patient measures.
SITTING = timedelta(hours=1)
# Late by half its usual interval is still usual; a missed one is not.
INTERVAL_SLACK = 1.5
# A hatch means at least a day without values; a shorter hole only breaks the line.
HATCH_MIN = timedelta(hours=36)
LABEL_HEIGHT = 14.0


@dataclass(frozen=True, slots=True)
class Trace:
    """One component's values, oldest first. ``shape`` is circle or square.

    ``unplaced`` are the times of results without a number: no gap, but no line through them.
    """

    name: str
    shape: str
    points: Sequence[tuple[datetime, float]]
    unplaced: Sequence[datetime] = ()

    @property
    def times(self) -> list[datetime]:
        """When it was measured, with a number or without."""
        return [*(at for at, _ in self.points), *self.unplaced]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit line. ``level`` is red or yellow; ``label`` stands at the right edge."""

    label: str
    level: str
    value: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One alert at the value that caused it; ``title`` says in words what a shape cannot.

    An infinite value had no number, only a side: it stands at that edge of the paper.
    """

    at: datetime
    value: float
    level: str
    title: str


@dataclass(frozen=True, slots=True)
class Words:
    """The chart's words in the reader's language; ``gap`` takes the dates of a hole.

    ``day`` gives an axis date and ``number`` a value as the reader writes them.
    """

    day: Callable[[datetime], str]
    number: Callable[[float], str]
    gap: Callable[[datetime, datetime], str]


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything one drawing needs. ``since`` and ``until`` bound the time axis."""

    key: str
    title: str
    description: str
    since: datetime
    until: datetime
    traces: Sequence[Trace]
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    span_min: float = 10.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without values that is longer than the patient's usual interval allows."""

    since: datetime
    until: datetime


def usual_interval(times: Sequence[datetime]) -> timedelta:
    """Return how long the patient usually lets pass between sittings; a day when unknown."""
    steps = [b - a for a, b in pairwise(times) if b - a > SITTING]
    if not steps:
        return timedelta(days=1)
    return timedelta(seconds=statistics.median(step.total_seconds() for step in steps))


def gaps(times: Sequence[datetime], *, since: datetime, until: datetime) -> list[Gap]:
    """Return the holes in [since, until], before the first and after the last value too."""
    longest = usual_interval(times) * INTERVAL_SLACK
    edges = [since, *times, until]
    return [Gap(a, b) for a, b in pairwise(edges) if b - a > longest]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things go on the paper, in CSS pixels."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    since: datetime
    until: datetime
    low: float
    high: float

    def x(self, at: datetime) -> float:
        share = (at - self.since) / (self.until - self.since)
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        share = (value - self.low) / (self.high - self.low)
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


def draw(chart: Chart, words: Words, *, width: int, zone: tzinfo) -> str:
    """Return the chart as an ``<svg>`` element ``width`` CSS pixels wide.

    ``zone`` is where the axis' days begin.
    """
    frame = _frame(chart, width)
    key = f"{chart.key}-{width}"
    times = sorted({at for trace in chart.traces for at in trace.times})
    holes = gaps(times, since=chart.since, until=chart.until)
    parts = [
        (
            f'<svg class="chart" role="img" aria-labelledby="{key}-t {key}-d" '
            f'viewBox="0 0 {width} {frame.height:g}" width="{width}" height="{frame.height:g}" '
            'xmlns="http://www.w3.org/2000/svg">'
        ),
        f'<title id="{key}-t">{escape(chart.title)}</title>',
        f'<desc id="{key}-d">{escape(chart.description)}</desc>',
        (
            f'<defs><pattern id="{key}-h" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="6"/>'
            "</pattern></defs>"
        ),
        *_hole_bands(holes, frame, words, key),
        *_value_axis(frame, words),
        *_day_axis(frame, words, zone),
        *_limit_lines(chart.limits, frame),
    ]
    for trace in chart.traces:
        parts += _trace(trace, holes, frame)
    parts += [_mark(mark, frame) for mark in chart.marks]
    return "".join([*parts, "</svg>"])


def _frame(chart: Chart, width: int) -> _Frame:
    numbers = [value for trace in chart.traces for _, value in trace.points]
    numbers += [limit.value for limit in chart.limits]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, chart.span_min)
    missing = max(0.0, chart.span_min - (high - low))
    margin = (high - low + missing) * 0.08
    is_narrow = width < 600
    return _Frame(
        width=width,
        height=250 if is_narrow else 320,
        left=34,
        # The same with and without limits, so that charts above each other share their days.
        right=106 if is_narrow else 128,
        top=12,
        bottom=28,
        since=chart.since,
        until=chart.until,
        low=low - missing / 2 - margin,
        high=high + missing / 2 + margin,
    )


def _hole_bands(holes: Sequence[Gap], frame: _Frame, words: Words, key: str) -> list[str]:
    parts = []
    for hole in holes:
        if hole.until - hole.since < HATCH_MIN:
            continue
        left, right = frame.x(hole.since), frame.x(hole.until)
        parts.append(
            f'<rect class="gap" x="{left:g}" y="{frame.top:g}" width="{right - left:.1f}" '
            f'height="{frame.height - frame.top - frame.bottom:g}" fill="url(#{key}-h)">'
            f"<title>{escape(words.gap(hole.since, hole.until))}</title></rect>"
        )
    return parts


def _value_axis(frame: _Frame, words: Words) -> list[str]:
    step = _nice_step((frame.high - frame.low) / 5)
    value = step * -(-frame.low // step)
    parts = []
    while value <= frame.high:
        y = frame.y(value)
        parts.append(
            f'<line class="grid" x1="{frame.left:g}" x2="{frame.width - frame.right:g}" '
            f'y1="{y:g}" y2="{y:g}"/><text class="axis" x="{frame.left - 6:g}" y="{y + 4:g}" '
            f'text-anchor="end">{escape(words.number(round(value, 6)))}</text>'
        )
        value += step
    return parts


def _nice_step(rough: float) -> float:
    for step in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
        if step >= rough:
            return step
    return 100.0


def _day_axis(frame: _Frame, words: Words, zone: tzinfo) -> list[str]:
    """Tick Mondays, as many as fit: a week is what a nurse counts in."""
    room = (frame.width - frame.left - frame.right) / 62
    weeks = (frame.until - frame.since) / timedelta(weeks=1)
    every = max(1, -(-int(weeks) // max(1, int(room))))
    local = frame.until.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = local - timedelta(days=local.weekday())
    parts, foot = [], frame.height - frame.bottom
    while monday >= frame.since:
        x = frame.x(monday)
        if x + 30 <= frame.width - 2:
            parts.append(
                f'<line class="tick" x1="{x:g}" x2="{x:g}" y1="{foot:g}" y2="{foot + 5:g}"/>'
                f'<text class="axis" x="{x:g}" y="{foot + 18:g}" text-anchor="middle">'
                f"{escape(words.day(monday))}</text>"
            )
        # Wall-clock arithmetic in the zone keeps midnight at midnight over the change of clocks.
        monday -= timedelta(weeks=every)
    return parts


def _limit_lines(limits: Sequence[Limit], frame: _Frame) -> list[str]:
    """Draw the lines where they belong and the labels where they do not cover each other."""
    parts: list[str] = []
    edge = frame.width - frame.right
    taken = -LABEL_HEIGHT
    for limit in sorted(limits, key=lambda one: -one.value):
        y = frame.y(limit.value)
        label_y = max(y, taken + LABEL_HEIGHT)
        taken = label_y
        parts.append(
            f'<line class="limit {limit.level}" x1="{frame.left:g}" x2="{edge:g}" '
            f'y1="{y:g}" y2="{y:g}"/>'
            f'<path class="leader {limit.level}" d="M{edge:g} {y:g}L{edge + 6:g} {label_y:g}"/>'
            f'<text class="limit-label {limit.level}" x="{edge + 9:g}" y="{label_y + 4:g}">'
            f"{escape(limit.label)}</text>"
        )
    return parts


def _trace(trace: Trace, holes: Sequence[Gap], frame: _Frame) -> list[str]:
    breaks = {hole.until for hole in holes} | set(trace.unplaced)
    path, last = "", None
    for at, value in trace.points:
        starts = last is None or any(last < b <= at for b in breaks)
        path += f"{'M' if starts else 'L'}{frame.x(at):g} {frame.y(value):g}"
        last = at
    parts = [f'<path class="trace {trace.shape}" d="{path}"/>'] if path else []
    # A stroke of no length draws its cap, so that all dots of a trace are one short path.
    dots = "".join(f"M{frame.x(at):g} {frame.y(value):g}h0" for at, value in trace.points)
    return [*parts, f'<path class="dots {trace.shape}" d="{dots}"/>'] if dots else parts


def _mark(mark: Mark, frame: _Frame) -> str:
    x, y = frame.x(mark.at), frame.y(mark.value)
    shape = (
        f"M{x:g} {y - 8:g}l8 14h-16z"
        if mark.level == "red"
        else f"M{x:g} {y - 8:g}l7.5 8l-7.5 8l-7.5 -8z"
    )
    title = escape(mark.title)
    return f'<path class="mark {mark.level}" d="{shape}"><title>{title}</title></path>'
