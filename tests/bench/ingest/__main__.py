"""``python -m tests.bench.ingest [compare | loss | latency | growth]``; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.bench.ingest import compare, database, report
from tests.bench.ingest.consumers import EVERYBODY, Consumer, present
from tests.bench.ingest.database import Tier
from tests.bench.ingest.messages import Ready, Traffic, build

GATEWAYS = 50
PATIENTS = 10_000
PATIENTS_QUICK = 1_000


def say(line: str) -> None:
    """Tell how far it is; results alone go to standard output."""
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ingest", description=__doc__)
    parser.add_argument("what", nargs="?", default="compare", choices=("compare",))
    parser.add_argument("--seconds", type=float, default=20, help="of each sustained run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="1 round, seconds instead of minutes")
    parser.add_argument("--only", default="", help=",".join(one.name for one in EVERYBODY))
    parser.add_argument("--items", default="1,50", help="items an envelope: 1, 50 or both")
    parser.add_argument("--work", default="drained,sustained")
    parser.add_argument("--database", default="", help="postgres, timescale or both (default)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a folder for report.md, results.json, plot.svg")
    return parser.parse_args()


def _chosen(text: str, allowed: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if wrong := set(names) - set(allowed):
        raise SystemExit(f"unknown: {', '.join(sorted(wrong))}; there are {', '.join(allowed)}")
    return names


def _consumers(asked: argparse.Namespace) -> list[Consumer]:
    names = _chosen(asked.only, [one.name for one in EVERYBODY])
    found, missing = present(names)
    for reason in missing:
        say(f"!!! {reason}")
    return found


@contextmanager
def tiers(asked: argparse.Namespace, patients: int) -> Iterator[list[Tier]]:
    """Start what this machine can run of what is asked, and say what it cannot."""
    installed = database.installations()
    wanted = _chosen(asked.database, ("postgres", "timescale")) or ("postgres", "timescale")
    with ExitStack() as stack:
        started = []
        for kind in wanted:
            if kind not in installed:
                say(f"!!! {kind} DID NOT RUN: it is not on this machine (sh deploy/test.sh)")
                continue
            tier = database.start(kind, installed[kind], patients=patients, gateways=GATEWAYS)
            stack.callback(tier.close)
            started.append(tier)
        yield started


def _traffic(asked: compare.Asked, patients: int) -> dict[int, Ready]:
    folder = Path(tempfile.gettempdir(), "hemma-bench-traffic")
    folder.mkdir(exist_ok=True)
    ready = {}
    for items in asked.items_per_message:
        traffic = Traffic(items, compare.messages_needed(asked, items), patients, GATEWAYS)
        say(f"{traffic.per_gateway * GATEWAYS:,} messages of {items} …")
        ready[items] = build(traffic, folder)
    return ready


def _compare(asked: argparse.Namespace) -> tuple[str, object]:
    works = tuple(one for one in compare.WORKS if one in asked.work.split(","))
    told = compare.Asked(
        _consumers(asked),
        tuple(int(one) for one in asked.items.split(",")),
        works,
        5.0 if asked.quick else asked.seconds,
        1.5 if asked.quick else compare.DRAIN_S,
        1 if asked.quick else asked.rounds,
        asked.seed,
    )
    patients = PATIENTS_QUICK if asked.quick else PATIENTS
    ready = _traffic(told, patients)
    with tiers(asked, patients) as started:
        found = list(compare.runs(told, started, ready, say))
    return report.comparison(compare.summaries(found)), [asdict(run) for run in found]


def main() -> None:
    asked = _arguments()
    began = database.started_at()
    command = " ".join(["python -m tests.bench.ingest", *sys.argv[1:]])
    text, data = {"compare": _compare}[asked.what](asked)
    head = f"`{command}`, {began:%Y-%m-%d %H:%M} UTC, {report.machine()}, seed {asked.seed}"
    print(f"{head}\n\n{text}")
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / f"{asked.what}.md").write_text(f"{head}\n\n{text}\n")
        (asked.out / f"{asked.what}.json").write_text(
            json.dumps({"command": command, "at": began.isoformat(), "found": data}, indent=1)
        )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
