"""Medians of windows, flags of what lies far, repeats made one: against plain loops and scipy."""

import statistics
from dataclasses import fields
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alerts.kernels.baseline import (
    MAD_FLOORS,
    MAD_TO_SIGMA,
    REPEATS_S,
    Baselines,
    baselines,
    collapse_repeats,
    hampel_flags,
)
from alerts.kernels.rows import Bools, Floats
from alerts.rules import REPEATS_S as RULES_REPEATS_S
from devices.kinds import COMPONENTS
from tests.alerts.kernels.fix_series import present, random_series

_NAN = float("nan")
_DAY_S = 86_400.0

samples = st.lists(st.tuples(st.integers(0, 4000), st.integers(-40, 40)), max_size=14)


def arrays(given_: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    pairs = np.array(given_, dtype=np.float64).reshape(-1, 2)
    return pairs[None, :, 0].copy(), pairs[None, :, 1] / 8.0


def one(at_s: list[float], value: list[float], since: float, until: float) -> Baselines:
    both = np.array([at_s]), np.array([value])
    return baselines(*both, (since, until), floor=0.3, count_min=3)


def flagged(at_s: list[float], value: list[float], *, after_s: float = 0.0) -> list[bool]:
    both = np.array([at_s]), np.array([value])
    found = hampel_flags(
        *both, before_s=100.0, after_s=after_s, threshold=3.0, floor=0.3, count_min=3
    )
    return [bool(flag) for flag in found[0]]


def far_by_loops(at_s: Floats, value: Floats, before_s: float, after_s: float) -> Bools:
    far = np.zeros(at_s.shape, dtype=np.bool_)
    for row, slot in zip(*np.nonzero(~np.isnan(at_s) & ~np.isnan(value)), strict=True):
        when, worth = present(at_s[row], value[row])
        t = at_s[row, slot]
        near = worth[(when - t >= -before_s) & (when - t <= after_s)]
        middle = statistics.median(near.tolist())
        mad = max(statistics.median(np.abs(near - middle).tolist()), 0.3)
        away = abs(value[row, slot] - middle)
        far[row, slot] = len(near) >= 3 and away > 3.0 * (MAD_TO_SIGMA * mad)
    return far


def test_median_and_mad_are_numpys_and_scipys_to_the_bit() -> None:
    at_s, value = random_series(21, 600, 40)
    at_s -= np.nanmin(at_s, axis=1, keepdims=True)
    since = np.random.default_rng(22).uniform(-_DAY_S, 20.0 * _DAY_S, 600)
    found = baselines(at_s, value, (since, since + 9.0 * _DAY_S), floor=0.3, count_min=4)
    assert (found.count < 4).any()
    for row in range(600):
        when, worth = present(at_s[row], value[row])
        inside = worth[(when >= since[row]) & (when < since[row] + 9.0 * _DAY_S)]
        assert found.count[row] == len(inside)
        if len(inside) < 4:
            assert np.isnan([found.median[row], found.mad[row], found.spread[row]]).all()
            continue
        mad = stats.median_abs_deviation(inside)
        assert (found.median[row], found.mad[row]) == (np.median(inside), mad)
        assert found.spread[row] == max(mad, 0.3)


def test_the_start_of_a_window_belongs_to_it_and_the_end_does_not() -> None:
    found = one([100.0, 150.0, 199.0, 200.0, 99.0], [1.0, 2.0, 3.0, 50.0, 50.0], 100.0, 200.0)
    assert (found.count[0], found.median[0], found.mad[0]) == (3, 2.0, 1.0)


@pytest.mark.parametrize(("count", "known"), [(2, False), (3, True)])
def test_too_few_values_are_no_baseline(count: int, known: bool) -> None:
    found = one([1.0, 2.0, 3.0][:count], [80.0] * count, 0.0, 10.0)
    assert found.count[0] == count
    assert bool(~np.isnan(found.median[0])) is known


def test_equal_readings_get_the_floor_and_keep_their_mad_of_zero() -> None:
    found = one([1.0, 2.0, 3.0], [80.1, 80.1, 80.1], 0.0, 10.0)
    assert (found.median[0], found.mad[0], found.spread[0]) == (80.1, 0.0, 0.3)


def test_each_row_may_have_a_floor_of_its_own() -> None:
    at_s, value = np.tile(np.arange(3.0), (2, 1)), np.full((2, 3), 80.0)
    floors = np.array([0.3, 5.0])
    found = baselines(at_s, value, (0.0, 9.0), floor=floors, count_min=1)
    assert found.spread.tolist() == [0.3, 5.0]


def test_no_slots_are_no_baseline() -> None:
    nothing = np.empty((2, 0))
    found = baselines(nothing, nothing, (0.0, 1.0), floor=0.3, count_min=1)
    assert np.isnan(found.median).all()


def test_every_floor_is_of_a_component_of_the_catalogue() -> None:
    assert set(MAD_FLOORS) <= {component.name for component in COMPONENTS.values()}
    assert min(MAD_FLOORS.values()) > 0.0


def test_the_time_of_repeats_is_that_of_the_rules() -> None:
    assert REPEATS_S == RULES_REPEATS_S


@given(samples, st.integers(-5000, 5000), st.randoms(use_true_random=False))
def test_a_baseline_moves_with_time_and_not_with_order(
    given_: list[tuple[int, int]], shift: int, source: Random
) -> None:
    shuffled = list(given_)
    source.shuffle(shuffled)
    (at_s, value), (later_s, other) = arrays(given_), arrays(shuffled)
    here = baselines(at_s, value, (500.0, 3000.0), floor=0.3, count_min=2)
    window = (500.0 + shift, 3000.0 + shift)
    there = baselines(later_s + shift, other, window, floor=0.3, count_min=2)
    for field in fields(Baselines):
        np.testing.assert_array_equal(getattr(here, field.name), getattr(there, field.name))


def test_a_value_far_from_those_before_it_is_flagged() -> None:
    assert flagged([0.0, 10.0, 20.0, 30.0], [80.0, 80.1, 79.9, 84.0]) == [False] * 3 + [True]


def test_three_scaled_mads_are_not_yet_far() -> None:
    edge = 80.0 + 3.0 * (MAD_TO_SIGMA * 0.3)
    assert flagged([0.0, 1.0, 2.0], [80.0, 80.0, edge]) == [False] * 3
    assert flagged([0.0, 1.0, 2.0], [80.0, 80.0, np.nextafter(edge, 99.0)])[2]


def test_too_few_in_the_window_flag_nothing_and_its_edges_belong_to_it() -> None:
    assert flagged([0.0, 1.0, 100.0], [80.0, 80.0, 99.0]) == [False, False, True]
    assert flagged([0.0, 1.0, 100.1], [80.0, 80.0, 99.0]) == [False, False, False]
    assert flagged([0.0, 50.0, 100.0], [99.0, 80.0, 80.0], after_s=100.0)[0]


def test_without_a_look_ahead_later_values_change_no_flag() -> None:
    at_s, value = random_series(23, 200, 30)
    order = np.argsort(at_s, axis=1)
    at_s, value = np.take_along_axis(at_s, order, 1), np.take_along_axis(value, order, 1)
    whole = flags(at_s, value, after_s=0.0)
    for known in (1, 10, 20):
        np.testing.assert_array_equal(
            whole[:, :known], flags(at_s[:, :known], value[:, :known], after_s=0.0)
        )


def flags(at_s: Floats, value: Floats, *, after_s: float) -> Bools:
    reach = {"before_s": 9.0 * _DAY_S, "after_s": after_s}
    return hampel_flags(at_s, value, threshold=3.0, floor=0.3, count_min=3, **reach)


@pytest.mark.parametrize("after_s", [0.0, 4.0 * _DAY_S])
def test_flags_are_those_of_plain_loops(after_s: float) -> None:
    at_s, value = random_series(24, 120, 20, ties_in_time=True)
    value[np.random.default_rng(25).random(value.shape) < 0.1] += 5.0
    found = flags(at_s, value, after_s=after_s)
    assert found.any()
    np.testing.assert_array_equal(found, far_by_loops(at_s, value, 9.0 * _DAY_S, after_s))


def test_repeats_become_their_median_at_the_time_of_the_last() -> None:
    at_s = np.array([[1200.0, 0.0, 600.0, _NAN, 300.0, 1201.0]])
    value = np.array([[90.0, 80.0, 86.0, 70.0, 82.0, 91.0]])
    found = collapse_repeats(at_s, value)
    np.testing.assert_array_equal(found.at_s, [[600.0, 1201.0, *[_NAN] * 4]])
    np.testing.assert_array_equal(found.value, [[82.0, 90.5, *[_NAN] * 4]])
    assert found.count.tolist() == [[3, 2, 0, 0, 0, 0]]


@pytest.mark.parametrize(("second_s", "groups"), [(600.0, 1), (600.001, 2)])
def test_ten_minutes_are_still_a_repeat(second_s: float, groups: int) -> None:
    found = collapse_repeats(np.array([[0.0, second_s]]), np.array([[80.0, 82.0]]))
    assert (found.count[0] > 0).sum() == groups


@given(samples, st.randoms(use_true_random=False))
def test_groups_are_those_of_a_plain_loop_in_whatever_order(
    given_: list[tuple[int, int]], source: Random
) -> None:
    groups: list[list[tuple[int, int]]] = []
    for sample in sorted(given_):
        if not groups or sample[0] - groups[-1][0][0] > 600:
            groups.append([])
        groups[-1].append(sample)
    source.shuffle(given_)
    found = collapse_repeats(*arrays(given_))
    many = len(groups)
    assert found.count[0, :many].tolist() == [len(group) for group in groups]
    assert found.at_s[0, :many].tolist() == [group[-1][0] for group in groups]
    medians = [statistics.median(v for _, v in group) / 8.0 for group in groups]
    assert found.value[0, :many].tolist() == medians
    assert np.isnan(found.at_s[0, many:]).all()
    assert np.isnan(found.value[0, many:]).all()


def test_a_row_alone_and_among_others_is_the_same_to_the_bit() -> None:
    at_s, value = random_series(26, 100, 20, ties_in_time=True)
    groups, far = collapse_repeats(at_s, value, within_s=_DAY_S), flags(at_s, value, after_s=0.0)
    for row in range(100):
        only = slice(row, row + 1)
        alone = collapse_repeats(at_s[only], value[only], within_s=_DAY_S)
        assert alone.value.tobytes() == groups.value[only].tobytes()
        assert alone.at_s.tobytes() == groups.at_s[only].tobytes()
        assert flags(at_s[only], value[only], after_s=0.0).tobytes() == far[only].tobytes()


_SOME = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("window_s", "floor", "count_min", "says"),
    [
        ((0.0, 1.0), -0.1, 3, "negative floor"),
        ((0.0, 1.0), 0.3, 0, "count_min"),
        ((2.0, 1.0), 0.3, 3, "ends before"),
        ((_NAN, 1.0), 0.3, 3, "start wants one finite number"),
        ((0.0, np.zeros(3)), 0.3, 3, "end wants one finite number"),
    ],
)
def test_windows_that_are_none_are_refused(
    window_s: tuple[float, float | Floats], floor: float, count_min: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        baselines(_SOME, _SOME, window_s, floor=floor, count_min=count_min)


@pytest.mark.parametrize(
    ("before_s", "threshold", "count_min", "says"),
    [
        (-1.0, 3.0, 3, "negative"),
        (_NAN, 3.0, 3, "not finite"),
        (1.0, float("inf"), 3, "not finite"),
        (1.0, 3.0, 0, "count_min"),
    ],
)
def test_flags_by_impossible_numbers_are_refused(
    before_s: float, threshold: float, count_min: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        hampel_flags(
            _SOME,
            _SOME,
            before_s=before_s,
            after_s=0.0,
            threshold=threshold,
            floor=0.3,
            count_min=count_min,
        )


def test_a_negative_time_for_repeats_is_refused() -> None:
    with pytest.raises(ValueError, match="within_s"):
        collapse_repeats(_SOME, _SOME, within_s=-1.0)
