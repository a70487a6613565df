"""The chart keeps its promises: gaps stay gaps, limits are named, alerts are shapes with words."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from server.web import chart
from server.web.chart import Chart, Limit, Mark, Trace
from server.web.words import ZONE

START = datetime(2026, 8, 24, tzinfo=UTC)
END = START + timedelta(days=90)
SVG = "{http://www.w3.org/2000/svg}"
WORDS = chart.Words(
    day=lambda at: at.astimezone(ZONE).strftime("%d/%m %H:%M"),
    number=lambda value: f"{value:g}",
    gap=lambda since, until: f"nothing {since:%m-%d} to {until:%m-%d}",
)


def daily(days: list[int], value: float = 130.0) -> list[tuple[datetime, float]]:
    return [(START + timedelta(days=day, hours=8), value + day % 5) for day in days]


def drawn(
    points: list[tuple[datetime, float]],
    width: int = 1040,
    unplaced: list[datetime] | None = None,
    **rest: object,
) -> ET.Element:
    made = Chart(
        key="bp",
        title="Blood <pressure>",
        description="All & everything",
        since=START,
        until=END,
        traces=[Trace("systolic", "circle", points, unplaced or [])],
        **rest,  # type: ignore[arg-type]  # fields of Chart
    )
    text = chart.draw(made, WORDS, width=width, zone=ZONE)
    assert "style=" not in text
    return ET.fromstring(text)  # noqa: S314 - our own text


def moves(svg: ET.Element) -> int:
    path = svg.find(f"{SVG}path[@class='trace circle']")
    assert path is not None
    return path.attrib["d"].count("M")


def test_a_full_series_is_one_line() -> None:
    svg = drawn(daily(list(range(90))))
    assert moves(svg) == 1
    assert not svg.findall(f"{SVG}rect[@class='gap']")


def test_a_hole_is_hatched_and_crossed_by_no_line() -> None:
    svg = drawn(daily([*range(40), *range(46, 90)]))
    assert moves(svg) == 2
    (band,) = svg.findall(f"{SVG}rect[@class='gap']")
    assert band.findtext(f"{SVG}title") == "nothing 10-02 to 10-09"


def test_silence_at_the_end_is_a_hole_too() -> None:
    svg = drawn(daily(list(range(60))))
    (band,) = svg.findall(f"{SVG}rect[@class='gap']")
    assert band.findtext(f"{SVG}title") == "nothing 10-22 to 11-22"


def test_one_missed_sitting_breaks_the_line_without_a_hatch() -> None:
    times = [START + timedelta(hours=12 * n) for n in range(180) if n != 77]
    svg = drawn([(at, 120.0) for at in times])
    assert moves(svg) == 2
    assert not svg.findall(f"{SVG}rect[@class='gap']")


@pytest.mark.parametrize(
    ("hours", "usual"),
    [
        ([], 24),
        ([0], 24),
        ([0, 24, 48], 24),
        ([0, 0.1, 24, 24.1, 48], 23.9),
        ([0, 48, 96, 168], 48),
    ],
)
def test_usual_interval_ignores_repeats_in_one_sitting(hours: list[float], usual: float) -> None:
    times = [START + timedelta(hours=hour) for hour in hours]
    assert chart.usual_interval(times) / timedelta(hours=1) == pytest.approx(usual, abs=0.11)


def test_limits_are_named_at_the_right_edge_and_do_not_cover_each_other() -> None:
    limits = [
        Limit("syst gult ≤100", "yellow", 100),
        Limit("diast gult ≥100", "yellow", 100),
        Limit("syst rött ≤90", "red", 90),
        Limit("syst rött ≥220", "red", 220),
    ]
    svg = drawn(daily(list(range(90))), limits=limits)
    labels = [e for e in svg.iter(f"{SVG}text") if "limit-label" in e.attrib["class"]]
    assert {label.text for label in labels} == {limit.label for limit in limits}
    heights = sorted(float(label.attrib["y"]) for label in labels)
    assert all(b - a >= chart.LABEL_HEIGHT for a, b in pairwise(heights))
    edge = max(
        float(e.attrib["x2"]) for e in svg.iter(f"{SVG}line") if "limit" in e.attrib["class"]
    )
    assert all(float(label.attrib["x"]) > edge for label in labels)


def test_alert_marks_are_shapes_with_words() -> None:
    mark = Mark(START + timedelta(days=3, hours=8), 133.0, "red", "133 < 200")
    svg = drawn(daily(list(range(90))), marks=[mark])
    (drawn_mark,) = svg.findall(f"{SVG}path[@class='mark red']")
    assert drawn_mark.findtext(f"{SVG}title") == "133 < 200"


@pytest.mark.parametrize("side", [1, -1])
def test_a_mark_without_a_number_stands_at_the_edge_of_its_side(side: int) -> None:
    mark = Mark(START + timedelta(days=3), side * math.inf, "red", "HI")
    svg = drawn(daily([1, 2, 3, 4]), marks=[mark])
    (shape,) = svg.findall(f"{SVG}path[@class='mark red']")
    height = float(shape.attrib["d"].split()[1].partition("l")[0])
    rows = [float(e.attrib["y1"]) for e in svg.iter(f"{SVG}line") if e.attrib["class"] == "grid"]
    assert height <= min(rows) if side > 0 else height > max(rows) - 10


def test_a_result_without_a_number_is_no_gap_and_no_line_goes_through_it() -> None:
    hole = [at for at, _ in daily(list(range(40, 46)))]
    svg = drawn(daily([*range(40), *range(46, 90)]), unplaced=hole)
    assert not svg.findall(f"{SVG}rect[@class='gap']")
    assert moves(svg) == 2


def test_title_and_description_are_read_aloud() -> None:
    svg = drawn(daily([1, 2, 3]))
    assert svg.attrib["role"] == "img"
    ids = svg.attrib["aria-labelledby"].split()
    texts = {e.attrib["id"]: e.text for e in svg if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [texts[one] for one in ids] == ["Blood <pressure>", "All & everything"]


@pytest.mark.parametrize("width", [288, 330, 1040])
def test_everything_stays_on_the_paper(width: int) -> None:
    svg = drawn(daily(list(range(90))), width=width, limits=[Limit("rött ≥220", "red", 220)])
    for point in re.findall(r"[ML]([\d.]+) ([\d.]+)", ET.tostring(svg).decode()):
        assert 0 <= float(point[0]) <= width
        assert 0 <= float(point[1]) <= float(svg.attrib["height"])


def test_days_begin_at_midnight_where_people_live_also_over_the_change_of_clocks() -> None:
    """Summer time ends on 25 October 2026, inside these 90 days."""
    svg = drawn(daily(list(range(90))))
    axis = [e.text or "" for e in svg.iter(f"{SVG}text") if e.attrib["class"] == "axis"]
    ticks = [text for text in axis if "/" in text]
    assert len(ticks) > 8
    assert all(text.endswith("00:00") for text in ticks), ticks


def test_no_values_draw_an_empty_chart() -> None:
    svg = drawn([])
    assert len(svg.findall(f"{SVG}rect[@class='gap']")) == 1
