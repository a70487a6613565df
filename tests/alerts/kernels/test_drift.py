"""Averages and sums: one by one and all together give the same bytes; plain loops agree."""

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.kernels.drift import (
    Averages,
    AverageState,
    Sums,
    SumState,
    at_rest,
    averages,
    begun_at,
    cumulative_sums,
    unseen,
)
from alerts.kernels.rows import Bools, Floats
from tests.alerts.kernels.fix_series import random_series

_NAN = float("nan")
_DAY_S = 86_400.0
_TAU_S = (3.0 * _DAY_S, 14.0 * _DAY_S)

Cuts: TypeAlias = list[int]


@dataclass(frozen=True)
class Cohort:
    at_s: Floats
    value: Floats


def cohort(seed: int, rows: int, slots: int) -> Cohort:
    at_s, value = random_series(seed, rows, slots)
    order = np.argsort(at_s, axis=1, kind="stable")
    at_s, value = np.take_along_axis(at_s, order, 1), np.take_along_axis(value, order, 1)
    gap = np.random.default_rng(seed).random(at_s.shape) < 0.2
    return Cohort(np.where(gap, np.nan, at_s), value)


def moved(state: AverageState, samples: Cohort) -> tuple[AverageState, Averages]:
    return averages(state, samples.at_s, samples.value, tau_s=_TAU_S, clip=1.5)


def assert_same_bytes(one: object, other: object, parts: type) -> None:
    for field in fields(parts):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert mine.tobytes() == theirs.tobytes(), field.name


def after(one: Averages, other: Averages) -> Averages:
    return Averages(
        *(
            np.concatenate((getattr(one, field.name), getattr(other, field.name)), axis=1)
            for field in fields(Averages)
        )
    )


@given(st.integers(0, 2**32), st.lists(st.integers(0, 25), max_size=6))
def test_averages_in_pieces_are_those_of_the_whole_to_the_bit(seed: int, cuts: Cuts) -> None:
    samples = cohort(seed, 9, 25)
    state, whole = moved(unseen(9), samples)
    edges = [0, *sorted(cuts), 25]
    carried, pieces = moved(unseen(9), Cohort(samples.at_s[:, :0], samples.value[:, :0]))
    for start, end in pairwise(edges):
        piece = Cohort(samples.at_s[:, start:end], samples.value[:, start:end])
        carried, more = moved(carried, piece)
        pieces = after(pieces, more)
    assert_same_bytes(state, carried, AverageState)
    assert_same_bytes(whole, pieces, Averages)


def test_one_person_sample_by_sample_is_a_row_of_the_cohort_to_the_bit() -> None:
    samples = cohort(31, 301, 30)
    _, whole = moved(unseen(301), samples)
    for row in range(0, 301, 10):
        state = unseen(1)
        for slot in range(30):
            here = np.s_[row : row + 1, slot : slot + 1]
            state, now = moved(state, Cohort(samples.at_s[here], samples.value[here]))
            for field in fields(Averages):
                mine, theirs = getattr(now, field.name), getattr(whole, field.name)
                assert mine.tobytes() == theirs[here].tobytes(), (row, slot, field.name)


def test_averages_are_those_of_a_plain_loop() -> None:
    samples = cohort(32, 50, 30)
    state, found = moved(unseen(50), samples)
    for row in range(50):
        last_s, levels = _NAN, [_NAN, _NAN]
        for slot in range(30):
            at_s, value = float(samples.at_s[row, slot]), float(samples.value[row, slot])
            if math.isnan(at_s) or math.isnan(value):
                assert math.isnan(found.fast[row, slot])
                continue
            first = math.isnan(last_s)
            for which, tau in enumerate(_TAU_S):
                step = min(max(value - levels[which], -1.5), 1.5)
                weight = 1.0 - math.exp(-(at_s - last_s) / tau)
                levels[which] = value if first else levels[which] + weight * step
            last_s = at_s
            # math.exp and numpy's may differ in the last digit, and 30 steps add up.
            assert found.fast[row, slot] == pytest.approx(levels[0], rel=1e-13)
            assert found.slow[row, slot] == pytest.approx(levels[1], rel=1e-13)
            assert found.gap[row, slot] == found.fast[row, slot] - found.slow[row, slot]
        np.testing.assert_equal(state.at_s[row], last_s)


def test_memory_fades_by_time_and_not_by_sample() -> None:
    start = begun_at(np.zeros(1), np.array([80.0]))
    step = Cohort(np.array([[_TAU_S[0]]]), np.array([[81.0]]))
    _, found = moved(start, step)
    assert found.fast[0, 0] == pytest.approx(81.0 - math.exp(-1.0))
    often = Cohort(np.linspace(0.0, _TAU_S[0], 31)[None, 1:], np.full((1, 30), 81.0))
    _, found = moved(start, often)
    assert found.fast[0, -1] == pytest.approx(81.0 - math.exp(-1.0))


def test_a_wild_value_moves_an_average_by_no_more_than_the_clip() -> None:
    start = begun_at(np.zeros(2), np.array([80.0, 80.0]))
    wild = Cohort(np.full((2, 1), 1e9), np.array([[50.0], [140.0]]))
    state, found = averages(start, wild.at_s, wild.value, tau_s=_TAU_S, clip=np.array([1.5, 0.5]))
    assert found.fast[:, 0].tolist() == [78.5, 80.5]
    assert state.at_s.tolist() == [1e9, 1e9]


def test_a_rise_shows_as_a_gap_and_a_level_one_as_none() -> None:
    at_s = np.tile(np.arange(30.0) * _DAY_S, (2, 1))
    value = np.stack((np.full(30, 80.0), 80.0 + 0.2 * np.arange(30.0)))
    _, found = moved(unseen(2), Cohort(at_s, value))
    assert not found.gap[0].any()
    assert found.gap[1, -1] > 0.9
    assert (np.diff(found.gap[1]) > 0.0).all()


def test_a_second_sample_of_one_time_changes_nothing() -> None:
    state, found = moved(unseen(1), Cohort(np.array([[5.0, 5.0]]), np.array([[80.0, 90.0]])))
    assert found.fast.tolist() == [[80.0, 80.0]]
    assert state.slow.tolist() == [80.0]


def test_a_row_without_a_baseline_begins_with_its_first_sample() -> None:
    state = begun_at(np.array([0.0, 0.0]), np.array([_NAN, 70.0]))
    assert np.isnan(state.at_s).tolist() == [True, False]
    _, found = moved(state, Cohort(np.full((2, 1), 60.0), np.full((2, 1), 80.0)))
    assert found.fast[0, 0] == 80.0
    assert found.fast[1, 0] < 70.1


@pytest.mark.parametrize("at_s", [[[10.0, 9.0]], [[10.0, _NAN], [10.0, 9.0]], [[4.0, _NAN]]])
def test_a_sample_older_than_the_state_is_refused(at_s: list[list[float]]) -> None:
    times = np.array(at_s)
    start = begun_at(np.full(len(times), 5.0), np.full(len(times), 80.0))
    with pytest.raises(ValueError, match="older than one before it"):
        moved(start, Cohort(times, np.full(times.shape, 80.0)))


def test_the_time_of_a_sample_without_a_value_does_not_count() -> None:
    times, value = np.array([[10.0, 99.0, 11.0]]), np.array([[80.0, _NAN, 80.0]])
    state, _ = moved(unseen(1), Cohort(times, value))
    assert state.at_s.tolist() == [11.0]


@pytest.mark.parametrize(
    ("rows", "tau_s", "clip", "says"),
    [
        (2, _TAU_S, 1.0, "state of 2 rows"),
        (1, (5.0, 5.0), 1.0, "fast < slow"),
        (1, (0.0, 5.0), 1.0, "fast < slow"),
        (1, (1.0, float("inf")), 1.0, "fast < slow"),
        (1, _TAU_S, 0.0, "clip above 0"),
    ],
)
def test_averages_of_impossible_numbers_are_refused(
    rows: int, tau_s: tuple[float, float], clip: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        averages(unseen(rows), np.zeros((1, 1)), np.zeros((1, 1)), tau_s=tau_s, clip=clip)


def test_a_beginning_that_is_no_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="wants"):
        begun_at(np.zeros((2, 1)), np.zeros((2, 1)))


def summed(state: SumState, z: Floats, resets: Bools | None) -> tuple[SumState, Sums]:
    return cumulative_sums(state, z, slack=0.5, clip=3.0, resets=resets)


def z_scores(seed: int, rows: int, slots: int) -> tuple[Floats, Bools]:
    source = np.random.default_rng(seed)
    z = source.normal(0.4, 2.0, (rows, slots))
    z[source.random(z.shape) < 0.25] = np.nan
    return z, source.random(z.shape) < 0.1


def test_sums_are_those_of_a_plain_loop_and_of_pieces_to_the_bit() -> None:
    z, resets = z_scores(41, 60, 40)
    state, whole = summed(at_rest(60), z, resets)
    carried = at_rest(60)
    for slot in range(40):
        here = np.s_[:, slot : slot + 1]
        carried, now = summed(carried, z[here], resets[here])
        assert now.high.tobytes() == whole.high[here].tobytes()
        assert now.low.tobytes() == whole.low[here].tobytes()
    assert_same_bytes(state, carried, SumState)
    for row in range(60):
        high = low = 0.0
        for slot in range(40):
            high, low = (0.0, 0.0) if resets[row, slot] else (high, low)
            one = float(z[row, slot])
            if math.isnan(one):
                assert math.isnan(whole.high[row, slot])
                continue
            one = min(max(one, -3.0), 3.0)
            high, low = max(0.0, high + one - 0.5), max(0.0, low - one - 0.5)
            assert (whole.high[row, slot], whole.low[row, slot]) == (high, low)
        assert (state.high[row], state.low[row]) == (high, low)


def test_one_wild_value_lifts_a_sum_by_no_more_than_the_clip_less_the_slack() -> None:
    _, found = summed(at_rest(2), np.array([[50.0], [-50.0]]), None)
    assert found.high.tolist() == [[2.5], [0.0]]
    assert found.low.tolist() == [[0.0], [2.5]]


def test_a_small_lasting_shift_adds_up_until_it_is_reset() -> None:
    z = np.ones((1, 12))
    resets = np.zeros((1, 12), dtype=np.bool_)
    resets[0, 10] = True
    _, found = summed(at_rest(1), z, resets)
    assert found.high[0].tolist() == [0.5 * n for n in range(1, 11)] + [0.5, 1.0]


def test_a_reset_counts_also_where_no_sample_is() -> None:
    z = np.array([[3.0, _NAN]])
    state, _ = summed(at_rest(1), z, np.array([[False, True]]))
    assert state.high.tolist() == [0.0]


@given(st.integers(0, 2**32))
def test_values_turned_swap_the_sums(seed: int) -> None:
    z, resets = z_scores(seed, 4, 15)
    _, plain = summed(at_rest(4), z, resets)
    _, turned = summed(at_rest(4), -z, resets)
    np.testing.assert_array_equal(plain.high, turned.low)
    np.testing.assert_array_equal(plain.low, turned.high)


@pytest.mark.parametrize(
    ("rows", "slack", "clip", "resets", "says"),
    [
        (2, 0.5, 3.0, None, "differ in shape"),
        (1, -0.1, 3.0, None, "slack"),
        (1, 3.0, 3.0, None, "slack"),
        (1, 0.5, float("inf"), None, "slack"),
        (1, 0.5, 3.0, np.zeros((1, 2), dtype=np.bool_), "differ in shape"),
        (1, 0.5, 3.0, np.zeros((1, 1), dtype=np.int8), "differ in shape"),
    ],
)
def test_sums_of_impossible_numbers_are_refused(
    rows: int, slack: float, clip: float, resets: Bools | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        cumulative_sums(at_rest(rows), np.zeros((1, 1)), slack=slack, clip=clip, resets=resets)
