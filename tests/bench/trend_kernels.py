"""What trends cost beside loops over others: ``python -m tests.bench.trend_kernels``.

Invented patients, each with irregular readings over thirty days, rounded to 0.1. Ours gives slope,
interval and Mann–Kendall of all of them at once; scipy the slope with interval, pymannkendall the
test, one series at a time. The patients are cut into slices: in each, every contender runs once, so
that all meet the same disturbance; ours runs over all patients each time. Processor time, ratios
within one slice. First of all the answers are compared, and where they differ nothing is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from time import thread_time_ns
from unittest.mock import patch

import numpy as np
import pymannkendall
import scipy
from scipy import stats

from alerts.kernels import rows as rows_of
from alerts.kernels.rows import Floats
from alerts.kernels.trend import trends

_SPAN_S = 30 * 86_400.0
_SINGLES = 200


@dataclass(frozen=True)
class Cohort:
    """Series of all patients, and the same one by one without gaps."""

    at_s: Floats
    value: Floats
    each: Sequence[tuple[Floats, Floats]]


@dataclass(frozen=True)
class Spread:
    """Median and extremes of what the slices gave."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1
        return f"{self.median:,.{digits}f} [{self.least:,.{digits}f}–{self.most:,.{digits}f}]"


def cohort(patients: int, samples: int, gaps: float, seed: int) -> Cohort:
    """Return invented patients; ``gaps`` is the share of samples that is missing."""
    source = np.random.default_rng(seed)
    at_s = np.sort(source.uniform(-_SPAN_S, 0.0, (patients, samples)), axis=1)
    drift = source.normal(0.0, 5e-7, (patients, 1))
    value = np.round(80.0 + drift * at_s + source.normal(0.0, 0.5, at_s.shape), 1)
    value[source.random(at_s.shape) < gaps] = np.nan
    known = ~np.isnan(value)
    each = [(t[k], v[k]) for t, v, k in zip(at_s, value, known, strict=True)]
    return Cohort(at_s, value, each)


def scipy_loop(each: Iterable[tuple[Floats, Floats]]) -> Floats:
    """Return slope, intercept, low and high of each."""
    found = (stats.theilslopes(value, at_s) for at_s, value in each)
    return np.array([(f.slope, f.intercept, f.low_slope, f.high_slope) for f in found])


def pymannkendall_loop(each: Iterable[tuple[Floats, Floats]]) -> Floats:
    """Return S, its variance and z of each."""
    found = (pymannkendall.original_test(value) for _, value in each)
    return np.array([(f.s, f.var_s, f.z) for f in found])


def require_equal(whole: Cohort, patients: int) -> None:
    """Stop with a message where an answer differs from theirs in any bit."""
    ours = trends(whole.at_s[:patients], whole.value[:patients])
    slope = (ours.slope_per_s, ours.intercept, ours.low_per_s, ours.high_per_s)
    test = (ours.score, ours.variance, ours.z)
    each = whole.each[:patients]
    for mine, theirs in ((slope, scipy_loop(each)), (test, pymannkendall_loop(each))):
        if not np.array_equal(np.stack(mine, axis=1), theirs, equal_nan=True):
            sys.exit("the answers differ: nothing was measured")


def us_per_patient(work: Callable[[], object], patients: int) -> float:
    """Return the processor time of one call, in microseconds a patient."""
    start = thread_time_ns()
    work()
    return (thread_time_ns() - start) / patients / 1000


def against_loops(whole: Cohort, slices: int) -> list[str]:
    """Return the rows of a table: µs a patient, and how many times ours each one is."""
    patients = len(whole.each)
    cuts = np.array_split(np.arange(patients), slices)
    taken: dict[str, list[float]] = {"ours": [], "scipy": [], "pymannkendall": []}
    for cut in cuts:
        each = whole.each[cut[0] : cut[-1] + 1]
        ours = us_per_patient(partial(trends, whole.at_s, whole.value), patients)
        taken["ours"].append(ours)
        for name, loop in (("scipy", scipy_loop), ("pymannkendall", pymannkendall_loop)):
            taken[name].append(us_per_patient(partial(loop, each), len(each)))
    pairs = zip(taken["scipy"], taken["pymannkendall"], strict=True)
    taken["both loops"] = [sum(two) for two in pairs]
    return [f"| {name} | {spread(us)} | {times(us, taken['ours'])} |" for name, us in taken.items()]


def alone(whole: Cohort) -> list[str]:
    """Return the rows of a table: µs for one series by itself, one contender after the other."""
    taken: dict[str, list[float]] = {"ours": [], "scipy": [], "pymannkendall": []}
    for number, series in enumerate(whole.each[:_SINGLES]):
        row = slice(number, number + 1)
        ours = us_per_patient(partial(trends, whole.at_s[row], whole.value[row]), 1)
        taken["ours"].append(ours)
        taken["scipy"].append(us_per_patient(partial(scipy_loop, [series]), 1))
        taken["pymannkendall"].append(us_per_patient(partial(pymannkendall_loop, [series]), 1))
    return [
        f"| {name} | {statistics.median(us):,.0f} | {statistics.quantiles(us, n=100)[98]:,.0f} | "
        f"{times(us, taken['ours']).median:,.1f} |"
        for name, us in taken.items()
    ]


def by_block(whole: Cohort, rounds: int) -> list[str]:
    """Return the rows of a table: µs a patient for other lengths of what is worked on at once."""
    lengths = (16, 64, 150, 256, 1024, 4096)
    taken: dict[int, list[float]] = {length: [] for length in lengths}
    for _ in range(rounds):
        for length in lengths:
            with patch.multiple(rows_of, _ROWS_MAX=length, _CELLS_MAX=2**40):
                us = us_per_patient(partial(trends, whole.at_s, whole.value), len(whole.each))
            taken[length].append(us)
    return [f"| {length:,} | {spread(us)} |" for length, us in taken.items()]


def spread(found: Sequence[float]) -> Spread:
    """Return median, least and most."""
    return Spread(statistics.median(found), min(found), max(found))


def times(us: Sequence[float], ours: Sequence[float]) -> Spread:
    """Return how many times ours each of ``us`` is, slice by slice."""
    return spread([theirs / mine for theirs, mine in zip(us, ours, strict=True)])


def show(title: str, head: str, lines: Iterable[str]) -> None:
    """Print one table."""
    columns = head.count("|") - 1
    print(f"\n#### {title}\n\n{head}\n|{'---|' + '--:|' * (columns - 1)}", *lines, sep="\n")


def main(patients: int, samples: int, slices: int, seed: int) -> None:
    """Compare the answers, measure, and print the tables."""
    print(f"{patients:,} patients, {slices} slices, seed {seed}; load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    head = "| contender | µs a patient [range] | times ours [range] |"
    for gaps in (0.0, 0.25):
        whole = cohort(patients, samples, gaps, seed)
        require_equal(whole, min(patients, 500))
        show(f"{samples} samples, {gaps:.0%} missing", head, against_loops(whole, slices))
    whole = cohort(patients, samples, 0.0, seed)
    show(f"one series of {samples}", "| contender | µs p50 | µs p99 | times ours |", alone(whole))
    show("rows at once", "| rows | µs a patient [range] |", by_block(whole, slices))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    main(**vars(parser.parse_args()))
