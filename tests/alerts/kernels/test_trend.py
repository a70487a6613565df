"""Theil–Sen, its interval and Mann–Kendall against scipy, pymannkendall and full enumeration.

"The same" means the same float64. Where only the last digits may differ, the test says why.
"""

import itertools
import math

import numpy as np
import pymannkendall
import pytest
from scipy import stats

from alerts.kernels.rows import Floats
from alerts.kernels.trend import VALUES_MAX, Trends, trends
from tests.alerts.kernels.fix_series import present, random_series

_EPS = float(np.finfo(np.float64).eps)


def one(at_s: list[float], value: list[float]) -> Trends:
    return trends(np.array([at_s]), np.array([value]))


def scipys(at_s: Floats, value: Floats, confidence: float) -> tuple[float, float, float, float]:
    with np.errstate(invalid="ignore"):  # the square root of a negative sigma²: NaN for both
        found = stats.theilslopes(value, at_s, confidence)
    return found.slope, found.intercept, found.low_slope, found.high_slope


@pytest.mark.parametrize(
    ("seed", "slots", "ties_in_time", "confidence"),
    [(1, 60, False, 0.95), (2, 30, False, 0.9), (3, 30, True, 0.95), (4, 8, True, 0.99)],
)
def test_slope_intercept_and_interval_are_scipys_to_the_bit(
    seed: int, slots: int, ties_in_time: bool, confidence: float
) -> None:
    at_s, value = random_series(seed, 600, slots, ties_in_time=ties_in_time)
    # scipy warns of rows that hold one time only; what those give stands in a test below.
    several = [len(set(present(t, v)[0])) > 1 for t, v in zip(at_s, value, strict=True)]
    at_s, value = at_s[several], value[several]
    ours = trends(at_s, value, confidence=confidence)
    theirs = [scipys(*present(t, v), confidence) for t, v in zip(at_s, value, strict=True)]
    mine = (ours.slope_per_s, ours.intercept, ours.low_per_s, ours.high_per_s)
    np.testing.assert_array_equal(np.stack(mine, axis=1), np.array(theirs))


@pytest.mark.parametrize(("seed", "rows", "slots"), [(5, 800, 14), (6, 500, 30), (7, 200, 60)])
def test_score_variance_and_z_are_pymannkendalls_to_the_bit(
    seed: int, rows: int, slots: int
) -> None:
    at_s, value = random_series(seed, rows, slots)
    ours = trends(at_s, value)
    theirs = [
        pymannkendall.original_test(present(t, v)[1]) for t, v in zip(at_s, value, strict=True)
    ]
    for mine, name in ((ours.score, "s"), (ours.variance, "var_s"), (ours.z, "z")):
        np.testing.assert_array_equal(mine, [getattr(found, name) for found in theirs])
    # It takes 1 - cdf, where a small p has lost its digits: one unit in the last place of 1, twice.
    np.testing.assert_allclose(ours.p, [found.p for found in theirs], rtol=0.0, atol=4 * _EPS)
    # Two ways to the tail of the normal distribution: a rounding of z there weighs z² as much in p,
    # once on each side.
    tail = 2.0 * stats.norm.sf(np.abs(ours.z))
    assert (np.abs(ours.p - tail) <= (8.0 + 2.0 * ours.z**2) * _EPS * tail).all()


def test_with_ties_in_time_score_and_variance_are_those_of_kendalls_tau() -> None:
    at_s, value = random_series(8, 500, 24, ties_in_time=True)
    ours = trends(at_s, value)
    for row, (t, v) in enumerate(zip(at_s, value, strict=True)):
        when, worth = present(t, v)
        rises = np.sign(when[:, None] - when) * np.sign(worth[:, None] - worth)
        assert ours.score[row] == rises.sum() / 2
        tau = stats.kendalltau(when, worth, method="asymptotic")
        if math.isnan(tau.pvalue):  # all of one time, or all of one value
            assert (ours.score[row], ours.variance[row], ours.p[row]) == (0.0, 0.0, 1.0)
            continue
        # scipy's has no continuity correction, and sums the same terms in another order.
        plain = math.erfc(abs(ours.score[row]) / math.sqrt(2.0 * ours.variance[row]))
        assert plain == pytest.approx(tau.pvalue, rel=1e-12)


@pytest.mark.parametrize("times", ["012345", "001122", "000112", "000011", "011111", "000000"])
@pytest.mark.parametrize("values", ["012345", "001122", "000111", "011111", "000012"])
def test_the_variance_is_that_over_all_orders_of_the_values(times: str, values: str) -> None:
    when, worth = [float(t) for t in times], [float(v) for v in values]
    orders = np.array(list(itertools.permutations(worth)))
    found = trends(np.broadcast_to(np.array(when), orders.shape), orders)
    assert found.score.sum() == 0.0
    # Whole numbers and one division on both sides: equal to the bit.
    np.testing.assert_array_equal(found.variance, np.mean(found.score**2))


@pytest.mark.parametrize("tied", ["00", "01"])
@pytest.mark.parametrize("times", ["00", "01"])
def test_two_values_have_the_variance_over_both_orders(times: str, tied: str) -> None:
    when, worth = [float(t) for t in times], [float(v) for v in tied]
    found = trends(np.array([when, when]), np.array([worth, worth[::-1]]))
    np.testing.assert_array_equal(found.variance, np.mean(found.score**2))


def test_a_plain_rise_is_found() -> None:
    days = [86_400.0 * day for day in range(14)]
    found = one(days, [80.0 + 0.25 * day for day in range(14)])
    assert found.slope_per_s[0] * 604_800 == pytest.approx(1.75)
    assert found.low_per_s[0] * 604_800 == pytest.approx(1.75)
    assert (found.intercept[0], found.score[0]) == (pytest.approx(80.0), 91.0)
    assert found.p[0] < 1e-6
    assert found.is_bounded[0]


@pytest.mark.parametrize(("count", "bounded"), [(2, False), (4, False), (5, True)])
def test_a_short_series_says_that_its_interval_is_cut(count: int, bounded: bool) -> None:
    found = one([float(n) for n in range(count)], [float(n * n) for n in range(count)])
    assert bool(found.is_bounded[0]) is bounded
    assert (found.low_per_s[0], found.high_per_s[0]) == (1.0, 2.0 * count - 3.0)


def test_without_two_times_there_is_no_slope_and_no_evidence() -> None:
    found = one([60.0, 60.0, 60.0], [80.0, 81.0, 80.0])
    parts = (found.slope_per_s, found.intercept, found.low_per_s, found.high_per_s)
    assert np.isnan(parts).all()
    assert not found.is_bounded[0]
    assert (found.score[0], found.z[0], found.p[0]) == (0.0, 0.0, 1.0)


def test_equal_values_are_level_without_a_sign() -> None:
    found = one([3.0, 2.0, 1.0], [-0.0, 0.0, 0.0])
    for part in (found.slope_per_s, found.low_per_s, found.high_per_s, found.intercept, found.z):
        assert part.tobytes() == np.zeros(1).tobytes()
    assert (found.variance[0], found.p[0]) == (0.0, 1.0)


@pytest.mark.parametrize("value", [[], [math.nan], [math.nan, 80.0]])
def test_fewer_than_two_values_give_a_count_and_nothing_else(value: list[float]) -> None:
    found = one([60.0 * n for n in range(len(value))], value)
    assert found.count[0] == sum(not math.isnan(v) for v in value)
    for part in (found.slope_per_s, found.intercept, found.low_per_s, found.z, found.p):
        assert np.isnan(part).all()


def test_no_rows_give_no_trends() -> None:
    assert trends(np.empty((0, 5)), np.empty((0, 5))).p.shape == (0,)


def test_sixty_values_are_taken_and_sixty_one_are_refused_also_where_slots_are_more() -> None:
    value = np.full((2, 90), np.nan)
    value[1, 20 : 20 + VALUES_MAX] = np.arange(VALUES_MAX)
    at_s = np.broadcast_to(np.arange(90.0), value.shape)
    assert trends(at_s, value).score[1] == 60 * 59 / 2
    value[1, 0] = 0.0
    with pytest.raises(ValueError, match="61 values in a row, at most 60"):
        trends(at_s, value)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95.0])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        trends(np.zeros((1, 3)), np.zeros((1, 3)), confidence=confidence)


@pytest.mark.parametrize(
    ("at_s", "value", "says"),
    [
        (np.zeros((1, 3)), np.zeros((1, 4)), "differ in shape"),
        (np.zeros(3), np.zeros(3), "wants float64"),
        (np.zeros((1, 3)), np.zeros((1, 3), dtype=np.float32), "wants float64"),
        (np.zeros((1, 3), dtype=np.int64), np.zeros((1, 3)), "wants float64"),
        (np.zeros((1, 3)), np.full((1, 3), np.inf), "infinite"),
        (np.full((1, 3), -np.inf), np.zeros((1, 3)), "infinite"),
    ],
)
def test_arrays_that_are_no_series_are_refused(at_s: Floats, value: Floats, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        trends(at_s, value)
