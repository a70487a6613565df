"""A patient's three curves: which components, which limits, which alert marks, and their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from alerts.limits import EffectiveLimit
from alerts.plan import levels_of
from alerts.rules import Direction
from alerts.standing import beyond_range
from devices.kinds import COMPONENTS
from server.store.cited import EvidenceRow
from server.store.series import Point
from server.web import chart
from server.web.nurse import sayings
from server.web.words import ZONE, Words

SHOWN = timedelta(days=90)
NARROW_PX, WIDE_PX = 330, 1040
SHAPES = ("circle", "square")


@dataclass(frozen=True, slots=True)
class Subject:
    """One figure: its components, and the least height of its axis in the components' unit."""

    key: str
    components: tuple[int, ...]
    span_min: float


SUBJECTS = (
    Subject("blodtryck", (101, 102), 60.0),
    Subject("vikt", (401,), 4.0),
    Subject("syremattnad", (201,), 8.0),
)
COMPONENT_IDS = tuple(number for subject in SUBJECTS for number in subject.components)


@dataclass(frozen=True, slots=True)
class AlertMark:
    """A sample that an alert cites, to be marked where it was measured."""

    evidence: EvidenceRow
    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawn figure; ``narrow`` and ``wide`` are None when there is nothing to draw."""

    key: str
    heading: str
    latest: str
    narrow: Markup | None
    wide: Markup | None
    legend: Sequence[tuple[str, str]]
    has_limits: bool


@dataclass(frozen=True, slots=True)
class Material:
    """What the figures are drawn from. ``now`` is their right edge."""

    points: Sequence[Point]
    limits: Mapping[int, EffectiveLimit]
    marks: Sequence[AlertMark]
    now: datetime


def figures(material: Material, words: Words) -> list[Figure]:
    """Return the figures, each drawn for a phone and for a desk."""
    return [_figure(subject, material, words) for subject in SUBJECTS]


def _figure(subject: Subject, material: Material, words: Words) -> Figure:
    components = [COMPONENTS[number] for number in subject.components]
    is_pressure = len(components) == 2
    kind = sayings.kind(components[0].number // 100)
    heading = (
        sayings.kind_name(kind, words)
        if is_pressure and kind
        else (sayings.component_name(components[0], words))
    )
    heading = f"{heading}, {sayings.unit(components[0], words)}"
    points = [p for p in material.points if p.component_id in subject.components]
    legend = [(sayings.component_name(one, words), SHAPES[i]) for i, one in enumerate(components)]
    has_limits = any(number in material.limits for number in subject.components)
    if not points:
        return Figure(subject.key, heading, "", None, None, legend, has_limits)
    drawing = _chart(subject, heading, points, material, words)
    said = _chart_words(components[0].decimals, words)
    narrow, wide = (
        # The chart escapes every text it is given.
        Markup(chart.draw(drawing, said, width=width, zone=ZONE))  # noqa: S704
        for width in (NARROW_PX, WIDE_PX)
    )
    latest = _latest(subject, points, material.now, words)
    return Figure(subject.key, heading, latest, narrow, wide, legend, has_limits)


def _chart(
    subject: Subject, heading: str, points: Sequence[Point], material: Material, words: Words
) -> chart.Chart:
    since = material.now - SHOWN
    marks = [
        chart.Mark(m.evidence.measured_at, m.evidence.height, m.severity, _mark_title(m, words))
        for m in material.marks
        if m.evidence.component_id in subject.components and m.evidence.measured_at >= since
    ]
    return chart.Chart(
        key=subject.key,
        title=words.text("%(what)s, 90 dagar", what=heading),
        description=_description(subject, points, len(marks), words),
        since=since,
        until=material.now,
        traces=[
            _trace(SHAPES[i], number, points, words) for i, number in enumerate(subject.components)
        ],
        limits=list(_limits(subject, material.limits, words)),
        marks=marks,
        span_min=subject.span_min,
    )


def _trace(shape: str, number: int, points: Sequence[Point], words: Words) -> chart.Trace:
    own = [p for p in points if p.component_id == number]
    return chart.Trace(
        sayings.component_name(COMPONENTS[number], words),
        shape,
        [(p.measured_at, p.value) for p in own if p.value is not None],
        [p.measured_at for p in own if p.value is None],
    )


def _limits(
    subject: Subject, limits: Mapping[int, EffectiveLimit], words: Words
) -> Iterable[chart.Limit]:
    for number in subject.components:
        if number not in limits:
            continue
        component = COMPONENTS[number]
        side_name = {101: words.text("syst"), 102: words.text("diast")}.get(number, "")
        for severity, direction, value in levels_of(limits[number]):
            level = words.text("rött") if severity == "red" else words.text("gult")
            sign = "≥" if direction is Direction.HIGH else "≤"
            bound = words.number(value, component.decimals)
            yield chart.Limit(f"{side_name} {level} {sign}{bound}".strip(), severity, value)


def _latest(subject: Subject, points: Sequence[Point], now: datetime, words: Words) -> str:
    newest = max(point.measured_at for point in points)
    parts = [
        sayings.Part(
            COMPONENTS[p.component_id], p.value, p.absent, beyond_range(p.absent, frozenset())
        )
        for p in points
        if p.measured_at == newest
    ]
    said = sayings.reading(subject.components[0] // 100, parts, words)
    return words.text("Senast %(value)s, %(when)s", value=said, when=words.when(newest, now))


def _description(subject: Subject, points: Sequence[Point], marks: int, words: Words) -> str:
    said = []
    for number in subject.components:
        own = [p.value for p in points if p.component_id == number]
        values = [value for value in own if value is not None]
        if values:
            component = COMPONENTS[number]
            said.append(
                words.text(
                    "%(name)s: %(count)s värden, lägst %(low)s, högst %(high)s.",
                    name=sayings.component_name(component, words),
                    count=len(values),
                    low=words.number(min(values), component.decimals),
                    high=words.number(max(values), component.decimals),
                )
            )
        if len(values) < len(own):
            name = sayings.component_name(COMPONENTS[number], words)
            count = len(own) - len(values)
            said.append(
                words.text(
                    "%(name)s: %(count)s utanför mätarens mätområde.", name=name, count=count
                )
            )
    said.append(
        words.text("%(count)s larmmarkeringar. Alla värden står i tabellen nedan.", count=marks)
    )
    return " ".join(said)


def _mark_title(mark: AlertMark, words: Words) -> str:
    at = mark.evidence.measured_at
    return f"{words.day(at)} {words.clock(at)}: {mark.text}"


def _chart_words(decimals: int, words: Words) -> chart.Words:
    def gap(since: datetime, until: datetime) -> str:
        return words.text(
            "Inga värden %(since)s – %(until)s", since=words.day(since), until=words.day(until)
        )

    def number(value: float) -> str:
        return words.number(value, 0 if value == int(value) else max(1, decimals))

    return chart.Words(day=words.axis_day, number=number, gap=gap)
