"""Falls of known number, depth and length; gaps and artefacts; what must not change the count."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.desaturation import Percents, falls, trace
from alerts.errors import ReadingError
from tests.alerts import fix_slow_desaturation as slow
from tests.alerts.fix_nights import EVENING, count, levels, square, times, traced


@pytest.mark.parametrize(
    ("depth", "seconds", "odi3", "odi4"),
    [
        (2, 5, 0, 0),
        (2, 10, 0, 0),
        (2, 30, 0, 0),
        (2.9, 30, 0, 0),
        (3, 5, 0, 0),
        (3, 9, 0, 0),
        (3, 10, 1, 0),
        (3, 30, 1, 0),
        (3.9, 30, 1, 0),
        (4, 5, 0, 0),
        (4, 9, 0, 0),
        (4, 10, 1, 1),
        (4, 30, 1, 1),
        (4, 120, 1, 1),
    ],
)
def test_a_square_fall_counts_by_depth_and_length(
    depth: float, seconds: int, odi3: int, odi4: int
) -> None:
    values = square(depth, seconds)
    assert (count(values, 3), count(values, 4)) == ((odi3, 0), (odi4, 0))


@pytest.mark.parametrize("base", [88.3, 91.0, 96.3, 99.9, 100.0])
def test_tenths_are_exact(base: float) -> None:
    assert count(square(3.0, 20, base)) == (1, 0)
    assert count(square(2.9, 20, base)) == (0, 0)


def test_an_event_tells_when_how_long_and_how_deep() -> None:
    (event,) = falls(traced(square(4, 30)), 3).events
    assert (event.start_s, event.duration_s) == (300, 30)
    assert (event.baseline_percent, event.lowest_percent) == (96.0, 92.0)


def test_a_slow_return_lasts_from_leaving_the_baseline_to_within_a_point_of_it() -> None:
    # 95 is still within one point; 94, 93 and 94 are not.
    values = levels((96, 60), (95, 5), (94, 6), (93, 3), (94, 4), (95, 60))
    (event,) = falls(traced(values), 3).events
    assert (event.start_s, event.duration_s) == (65, 13)


def test_a_return_is_held_for_three_seconds() -> None:
    blip = levels((96, 300), (92, 20), (96, 2), (92, 20), (96, 300))
    held = levels((96, 300), (92, 20), (96, 3), (92, 20), (96, 300))
    assert (count(blip), count(held)) == ((1, 0), (2, 0))


def test_a_baseline_is_held_for_three_seconds() -> None:
    assert count(levels((93, 300), (96, 2), (93, 300))) == (0, 0)
    assert count(levels((93, 300), (96, 3), (93, 20), (96, 60))) == (1, 0)


def test_a_fall_that_has_not_returned_in_two_minutes_is_told_and_no_event() -> None:
    assert count(square(4, 121)) == (0, 1)
    # The level it stayed at is the baseline of what comes next.
    after = levels((96, 300), (92, 400), (89, 20), (92, 300))
    assert count(after) == (1, 1)


def test_a_slow_drift_is_no_event() -> None:
    assert count(levels(*((96 - 0.1 * step, 10) for step in range(60)))) == (0, 0)


def test_falls_that_follow_one_another_before_the_level_is_regained_are_one_each() -> None:
    # From 96 to 84, up to 90 only, down to 84 again: two falls, the second from 90.
    down = levels((96, 300), (93, 3), (90, 3), (87, 3), (84, 10))
    again = levels((87, 3), (90, 10), (87, 3), (84, 10), (87, 3), (90, 3), (93, 3), (96, 300))
    found = falls(traced(np.concatenate([down, again])), 3).events
    assert [event.baseline_percent for event in found] == [96.0, 90.0]


def test_a_dip_inside_an_event_is_part_of_it() -> None:
    assert count(levels((96, 300), (93, 20), (91, 10), (93, 20), (96, 300))) == (1, 0)


def test_short_dips_leave_the_baseline_as_it_was() -> None:
    values = levels((96, 60), (93, 4), (96, 4), (93, 4), (96, 4), (93, 15), (96, 60))
    assert count(values) == (1, 0)


def test_short_dips_long_after_the_last_event_leave_the_baseline_as_it_was() -> None:
    values = levels((96, 200), (93, 4), (96, 10), (93, 15), (96, 60))
    assert count(values) == (1, 0)


def test_what_has_not_returned_when_the_recording_ends_is_no_event() -> None:
    assert count(levels((96, 300), (92, 60))) == (0, 0)


@pytest.mark.parametrize(("gap", "events"), [(1, 1), (3, 1), (4, 0), (60, 0)])
def test_no_event_reaches_across_a_longer_gap(gap: int, events: int) -> None:
    values = square(4, 40)
    values[315 : 315 + gap] = np.nan
    assert count(values) == (events, 0)


def test_a_gap_outside_an_event_takes_nothing_but_its_own_seconds() -> None:
    values = square(4, 30)
    values[100:150] = np.nan
    recording = traced(values)
    assert count(values) == (1, 0)
    assert int(recording.is_valid.sum()) == len(values) - 50
    assert recording.artefact_s == 0


def test_a_spike_is_artefact_and_splits_nothing() -> None:
    for spike in (60.0, 30.0, 100.0):
        values = square(4, 30)
        values[310] = spike
        recording = traced(values)
        assert (count(values), recording.artefact_s) == ((1, 0), 1), spike
        assert not recording.is_valid[310]


def test_a_level_left_and_regained_by_jumps_is_artefact() -> None:
    values = square(14, 20)
    recording = traced(values)
    assert (count(values), recording.artefact_s) == ((0, 0), 20)
    assert not recording.is_valid[300:320].any()


def test_a_jump_that_stays_is_kept_and_nothing_reaches_across_it() -> None:
    values = levels((96, 300), (88, 100), (85, 20), (88, 100), (96, 300))
    recording = traced(values)
    # It stays for more than a minute: nobody knows which level was wrong.
    assert recording.artefact_s == 0
    assert count(values) == (1, 0)


def test_what_jumps_cut_off_on_any_side_is_artefact() -> None:
    values = levels((70, 10), (96, 300), (91, 20), (86, 20), (91, 300), (70, 20), (np.nan, 90))
    recording = traced(values)
    assert recording.artefact_s == 10 + 20 + 20 + 20
    assert recording.is_valid.nonzero()[0].tolist() == [*range(10, 310), *range(350, 650)]


def test_a_spike_does_not_make_what_lies_before_it_look_short() -> None:
    values = levels((70, 5), (96, 40), (60, 1), (96, 300))
    assert traced(values).is_valid.nonzero()[0].tolist() == [*range(5, 45), *range(46, 346)]


@pytest.mark.parametrize(("seconds", "artefact"), [(60, 60), (61, 0)])
def test_what_is_cut_off_for_more_than_a_minute_is_kept(seconds: int, artefact: int) -> None:
    assert traced(levels((96, 300), (88, seconds), (96, 300))).artefact_s == artefact


@pytest.mark.parametrize("value", [49.9, 0.0, 100.1, 127.0, 8e133, -1.0])
def test_a_value_nobody_has_is_artefact(value: float) -> None:
    values = square(4, 30)
    values[10] = value
    recording = traced(values)
    assert (count(values), recording.artefact_s, recording.is_valid[10]) == ((1, 0), 1, False)


def test_what_is_doubted_does_not_count() -> None:
    values = square(4, 30)
    doubted = np.zeros(len(values), np.bool_)
    doubted[305:325] = True
    recording = trace(times(len(values)), values, doubted)
    assert (len(falls(recording, 3).events), recording.artefact_s) == (0, 20)


def test_of_two_in_a_second_the_undoubted_then_the_later_counts() -> None:
    at = EVENING + np.array([0, 1000, 1000, 1200]).astype("timedelta64[ms]")
    values = np.array([96.0, 90.0, 91.0, 92.0])
    assert trace(at, values).tenths.tolist() == [960, 920]
    doubted = np.array([False, False, False, True])
    assert trace(at, values, doubted).tenths.tolist() == [960, 900]


def test_nothing_at_all() -> None:
    assert count(np.empty(0)) == (0, 0)
    assert count(np.full(100, np.nan)) == (0, 0)
    assert count(levels((20, 100))) == (0, 0)
    assert count(levels((96, 1))) == (0, 0)
    assert count(levels((96, 2))) == (0, 0)


def test_more_than_a_day_is_refused() -> None:
    at = np.array([EVENING, EVENING + np.timedelta64(1, "D")])
    with pytest.raises(ReadingError):
        trace(at, np.array([96.0, 96.0]))


def test_arrays_belong_together() -> None:
    with pytest.raises(AssertionError):
        trace(times(2), np.array([96.0]))


# Steps of up to four points: what blood can do, with gaps, spikes and doubts among them.
_STEPS = st.lists(
    st.tuples(
        st.integers(-40, 40), st.integers(1, 25), st.sampled_from(["", "", "", "gap", "off"])
    ),
    min_size=1,
    max_size=60,
)


def _walk(steps: list[tuple[int, int, str]]) -> Percents:
    level, pieces = 960, []
    for change, seconds, kind in steps:
        level = min(1000, max(520, level + change))
        value = {"gap": np.nan, "off": 0.0}.get(kind, level / 10)
        pieces.append((value, seconds))
    return levels(*pieces)


@settings(deadline=None)
@given(_STEPS, st.integers(-(10**9), 10**9))
def test_a_shift_in_time_changes_nothing(steps: list[tuple[int, int, str]], ms: int) -> None:
    values = _walk(steps)
    shifted = times(len(values), EVENING + np.timedelta64(ms, "ms"))
    assert falls(trace(shifted, values), 3) == falls(traced(values), 3)


@settings(deadline=None)
@given(_STEPS, st.randoms(use_true_random=False))
def test_the_order_given_changes_nothing(steps: list[tuple[int, int, str]], random: Random) -> None:
    values = _walk(steps)
    order = list(range(len(values)))
    random.shuffle(order)
    again = trace(times(len(values))[order], values[order])
    assert falls(again, 3) == falls(traced(values), 3)


@settings(deadline=None)
@given(_STEPS, st.integers(1, 300), st.sampled_from([np.nan, 0.0, 30.0, 120.0]))
def test_samples_that_do_not_count_change_no_event_when_appended(
    steps: list[tuple[int, int, str]], seconds: int, value: float
) -> None:
    values = _walk(steps)
    longer = np.concatenate([values, np.full(seconds, value)])
    recording, longer_recording = traced(values), traced(longer)
    assert falls(longer_recording, 3) == falls(recording, 3)
    assert longer_recording.is_valid.sum() == recording.is_valid.sum()


@settings(deadline=None)
@given(_STEPS)
def test_a_sample_sent_twice_changes_nothing(steps: list[tuple[int, int, str]]) -> None:
    values = _walk(steps)
    at = times(len(values))
    twice = trace(np.concatenate([at, at]), np.concatenate([values, values]))
    assert falls(twice, 3) == falls(traced(values), 3)


# Jumps too: levels as they come.
_LEVELS = st.lists(
    st.tuples(st.sampled_from([880, 900, 920, 930, 940, 950, 960, 970, None]), st.integers(1, 40)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(st.one_of(_LEVELS, _STEPS.map(lambda steps: [(v, 1) for v in _tenths(_walk(steps))])))
def test_it_finds_what_the_definition_read_aloud_finds(
    pieces: list[tuple[int | None, int]],
) -> None:
    given_values = [value for value, seconds in pieces for _ in range(seconds)]
    recording = traced(np.array([np.nan if v is None else v / 10 for v in given_values]))
    first = next((i for i, v in enumerate(given_values) if v is not None), 0)
    kept = slow.without_jumps(given_values[first:])
    assert [v is not None for v in kept][: len(recording.tenths)] == recording.is_valid.tolist()
    for points in (3, 4):
        expected, long_falls = [], 0
        for offset, values in slow.stretches(kept):
            found, unreturned = slow.events(values, 10 * points)
            expected += [(offset + start, duration) for start, duration in found]
            long_falls += unreturned
        fast = falls(recording, points)
        assert [(e.start_s, e.duration_s) for e in fast.events] == expected
        assert fast.long_falls == long_falls


def _tenths(values: Percents) -> list[int | None]:
    return [None if np.isnan(v) or v < 50 else round(10 * v) for v in values]


@settings(deadline=None)
@given(_STEPS)
def test_every_event_is_what_the_definition_says(steps: list[tuple[int, int, str]]) -> None:
    for points in (3, 4):
        found = falls(traced(_walk(steps)), points).events
        for event in found:
            assert 10 <= event.duration_s <= 120
            assert round(10 * (event.baseline_percent - event.lowest_percent)) >= 10 * points
        ends = [event.start_s + event.duration_s for event in found]
        assert all(a <= b.start_s for a, b in zip(ends, found[1:], strict=False))
