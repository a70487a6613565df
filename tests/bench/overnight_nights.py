"""How long a batch of nights takes: ``python -m tests.bench.overnight_nights [--nights 1000]``.

Invented nights of eight hours with round falls at random, noise, gaps and a probe that comes off.
Processor time. The baseline sorts one night's values: where it is slow too, the machine was busy.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from time import thread_time

import numpy as np

from alerts.desaturation import Percents, Times
from alerts.overnight import overnight

SECONDS = 8 * 3600
KINDS = {"calm": 4, "some": 120, "many": 400}
"""Falls in a night of each kind."""


def times() -> Times:
    """Return the seconds of a night."""
    return np.datetime64("2026-11-01T22:00:00", "us") + np.arange(SECONDS).astype("timedelta64[s]")


def invented(source: np.random.Generator, falls: int) -> Percents:
    """Return one night with about so many falls of 3–12 points and 20–50 s."""
    values: Percents = np.full(SECONDS, 96.0)
    for start in source.choice(SECONDS - 60, falls, replace=False):
        length = int(source.integers(20, 50))
        values[start : start + length] -= source.uniform(3, 12) * np.sin(
            np.linspace(0, np.pi, length)
        )
    values[:] = np.round(np.clip(values + source.normal(0, 0.3, SECONDS), 60, 100))
    for start in source.choice(SECONDS - 60, 20, replace=False):
        values[start : start + int(source.integers(1, 60))] = source.choice([np.nan, 0.0])
    return values


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    source = np.random.default_rng(asked.seed)
    at = times()
    report: dict[str, object] = {
        "nights": asked.nights, "seed": asked.seed, "hours_each": 8,
        "machine": platform.processor() or platform.machine(), "numpy": np.__version__,
    }  # fmt: skip
    for kind, falls in KINDS.items():
        nights = [invented(source, falls) for _ in range(50)]
        taken, found = [], []
        for number in range(asked.nights):
            start = thread_time()
            summary = overnight(at, nights[number % len(nights)])
            taken.append(thread_time() - start)
            found.append(summary.odi3_per_h or 0.0)
        report[kind] = {
            "ms_a_night": round(1000 * statistics.median(taken), 2),
            "s_in_all": round(sum(taken), 2),
            "median_odi3": round(statistics.median(found), 1),
        }
    sorting = []
    for _ in range(100):
        start = thread_time()
        np.sort(nights[0])
        sorting.append(thread_time() - start)
    report["baseline_sort_ms"] = round(1000 * statistics.median(sorting), 2)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
