"""What must not change a trend, and what must change it in a known way.

Times are whole seconds and values eighths, so that shifting and doubling round nothing and the
answers must agree to the bit.
"""

from dataclasses import fields
from random import Random
from typing import TypeAlias

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alerts.kernels.baseline import collapse_repeats
from alerts.kernels.rows import Floats
from alerts.kernels.trend import Trends, trends
from tests.alerts.kernels.fix_series import random_series

Series: TypeAlias = list[tuple[int, int]]

series = st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(-400, 400)), max_size=20)
once_a_time = st.lists(
    st.tuples(st.integers(0, 5_000_000), st.integers(-400, 400)),
    max_size=20,
    unique_by=lambda sample: sample[0],
)


def arrays(samples: Series) -> tuple[Floats, Floats]:
    pairs = np.array(samples, dtype=np.float64).reshape(-1, 2)
    return pairs[None, :, 0].copy(), pairs[None, :, 1] / 8.0


def assert_same(one: Trends, other: Trends, *but: str) -> None:
    for field in fields(Trends):
        if field.name not in but:
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)


def assert_turned(one: Trends, other: Trends) -> None:
    np.testing.assert_array_equal(one.slope_per_s, -other.slope_per_s)
    np.testing.assert_array_equal(one.score, -other.score)
    np.testing.assert_array_equal(one.z, -other.z)
    assert_same(one, other, "slope_per_s", "low_per_s", "high_per_s", "intercept", "score", "z")


@given(series, st.integers(-(10**9), 10**9))
def test_a_shift_in_time_moves_the_intercept_only(samples: Series, shift_s: int) -> None:
    at_s, value = arrays(samples)
    assert_same(trends(at_s, value), trends(at_s + shift_s, value), "intercept")


@given(series, st.integers(-800, 800))
def test_a_shift_in_value_changes_no_slope(samples: Series, shift: int) -> None:
    at_s, value = arrays(samples)
    assert_same(trends(at_s, value), trends(at_s, value + shift), "intercept")


@given(series, st.sampled_from((0.25, 2.0, 1024.0)))
def test_another_unit_of_value_scales_the_slope_and_leaves_the_test(
    samples: Series, factor: float
) -> None:
    at_s, value = arrays(samples)
    plain, scaled = trends(at_s, value), trends(at_s, value * factor)
    sized = ("slope_per_s", "low_per_s", "high_per_s", "intercept")
    assert_same(plain, scaled, *sized)
    for name in sized:
        np.testing.assert_array_equal(getattr(plain, name) * factor, getattr(scaled, name))


@given(series, st.sampled_from((0.25, 2.0, 1024.0)))
def test_another_unit_of_time_divides_the_slope(samples: Series, factor: float) -> None:
    at_s, value = arrays(samples)
    plain, scaled = trends(at_s, value), trends(at_s * factor, value)
    assert_same(plain, scaled, "slope_per_s", "low_per_s", "high_per_s")
    for name in ("slope_per_s", "low_per_s", "high_per_s"):
        np.testing.assert_array_equal(getattr(plain, name) / factor, getattr(scaled, name))


@given(series)
def test_time_backwards_turns_the_trend(samples: Series) -> None:
    at_s, value = arrays(samples)
    plain, turned = trends(at_s, value), trends(-at_s, value)
    assert_turned(plain, turned)
    np.testing.assert_array_equal(plain.intercept, turned.intercept)


@given(series)
def test_a_fall_is_a_rise_turned(samples: Series) -> None:
    at_s, value = arrays(samples)
    plain, turned = trends(at_s, value), trends(at_s, -value)
    assert_turned(plain, turned)
    np.testing.assert_array_equal(plain.intercept, -turned.intercept)


@given(series)
def test_the_slope_lies_in_its_interval(samples: Series) -> None:
    found = trends(*arrays(samples))
    if not np.isnan(found.low_per_s[0]):
        assert found.low_per_s[0] <= found.slope_per_s[0] <= found.high_per_s[0]


@given(series, st.randoms(use_true_random=False))
def test_the_order_given_changes_nothing(samples: Series, source: Random) -> None:
    shuffled = list(samples)
    source.shuffle(shuffled)
    assert_same(trends(*arrays(samples)), trends(*arrays(shuffled)))


@given(series, st.lists(st.tuples(st.integers(0, 20), st.sampled_from("tvb")), max_size=8))
def test_where_gaps_are_changes_nothing(samples: Series, gaps: list[tuple[int, str]]) -> None:
    at_s, value = arrays(samples)
    plain = trends(at_s, value)
    for where, what in gaps:
        slot = min(where, at_s.shape[1])
        at_s = np.insert(at_s, slot, np.nan if what in "tb" else 77.0, axis=1)
        value = np.insert(value, slot, np.nan if what in "vb" else 77.0, axis=1)
    assert_same(plain, trends(at_s, value))


@given(once_a_time, st.lists(st.integers(0, 19), max_size=10))
def test_duplicates_that_are_dropped_change_nothing(samples: Series, again: list[int]) -> None:
    twice = samples + [samples[n] for n in again if n < len(samples)]
    once = collapse_repeats(*arrays(twice), within_s=0.0)
    assert_same(trends(*arrays(samples)), trends(once.at_s, once.value))


def test_a_row_alone_and_among_others_is_the_same_to_the_bit() -> None:
    at_s, value = random_series(11, 400, 40, ties_in_time=True)
    together = trends(at_s, value)
    for row in range(len(at_s)):
        alone = trends(at_s[row : row + 1], value[row : row + 1])
        for field in fields(Trends):
            one, among = getattr(alone, field.name), getattr(together, field.name)
            assert one.tobytes() == among[row : row + 1].tobytes(), (row, field.name)
