"""Ingest beside what a user would otherwise have: compare (default), loss, latency, growth, memory.

How to read what comes out: README.md in this folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.bench.ingest import (
    broker,
    compare,
    database,
    growth,
    latency,
    loss,
    memory,
    node_red,
    plot,
    report,
)
from tests.bench.ingest.consumers import EVERYBODY, OURS_CONSUMER, Consumer, present
from tests.bench.ingest.database import Tier
from tests.bench.ingest.messages import Ready, Traffic, build

GATEWAYS: Final = 50
PATIENTS: Final = 10_000
PATIENTS_QUICK: Final = 1_000
SECONDS_QUICK: Final = 5.0
DRAIN_QUICK_S: Final = 1.5
GROWTH_SAMPLES_PER_S: Final = 100_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a sub-command found: for people, for programs, and files beside them."""

    text: str
    data: object
    files: dict[str, str]


def say(line: str) -> None:
    """Tell how far it is; results alone go to standard output."""
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ingest", description=__doc__)
    parser.add_argument("what", nargs="?", default="compare", choices=tuple(_COMMANDS))
    parser.add_argument("--seconds", type=float, default=20, help="of each sustained run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, short, few patients")
    parser.add_argument("--only", default="", help=",".join(one.name for one in EVERYBODY))
    parser.add_argument("--items", default="1,50", help="items an envelope: 1, 50 or both")
    parser.add_argument("--work", default="drained,sustained")
    parser.add_argument("--fault", default="", help=",".join(loss.FAULTS))
    parser.add_argument("--database", default="", help="postgres, timescale or both (default)")
    parser.add_argument("--large", action="store_true", help="growth: 100 million rows too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a folder for the report, its data, its plot")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.seconds = 1, min(asked.seconds, SECONDS_QUICK)
    return asked


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
def _tiers(asked: argparse.Namespace) -> Iterator[list[Tier]]:
    """Start what this machine can run of what is asked, and say what it cannot."""
    installed = database.installations()
    wanted = _chosen(asked.database, ("postgres", "timescale")) or ("postgres", "timescale")
    with ExitStack() as stack:
        started = []
        for kind in wanted:
            if kind not in installed:
                say(f"!!! {kind} DID NOT RUN: it is not on this machine (sh deploy/test.sh)")
                continue
            tier = database.start(
                kind, installed[kind], patients=_patients(asked), gateways=GATEWAYS
            )
            stack.callback(tier.close)
            started.append(tier)
        yield started


def _versions() -> list[str]:
    told = [one.description for one in database.installations().values()]
    return [*told, broker.version(), *([node_red.version()] if not node_red.missing() else [])]


def _patients(asked: argparse.Namespace) -> int:
    return PATIENTS_QUICK if asked.quick else PATIENTS


def _traffic(asked: argparse.Namespace, items: int, messages: int, seed: int = 1) -> Ready:
    folder = Path(tempfile.gettempdir(), "hemma-bench-traffic")
    folder.mkdir(exist_ok=True)
    traffic = Traffic(items, messages, _patients(asked), GATEWAYS, seed)
    say(f"{traffic.per_gateway * GATEWAYS:,} messages of {items} …")
    return build(traffic, folder)


def _compare(asked: argparse.Namespace) -> Told:
    told = compare.Asked(
        _consumers(asked),
        tuple(int(one) for one in asked.items.split(",")),
        tuple(one for one in compare.WORKS if one in asked.work.split(",")),
        asked.seconds,
        DRAIN_QUICK_S if asked.quick else compare.DRAIN_S,
        asked.rounds,
        asked.seed,
    )
    ready = {
        items: _traffic(asked, items, compare.messages_needed(told, items))
        for items in told.items_per_message
    }
    with _tiers(asked) as started:
        found = list(compare.runs(told, started, ready, say))
    summed = compare.summaries(found)
    picture = plot.draw(summed, "Ingest beside what a user would otherwise have")
    return Told(report.comparison(summed), [asdict(run) for run in found], {"compare.svg": picture})


def _loss(asked: argparse.Namespace) -> Told:
    wanted = _chosen(asked.fault, tuple(loss.FAULTS))
    per_gateway = max(loss.MESSAGES, loss.MESSAGES_BACKLOG)
    ready = _traffic(asked, 1, per_gateway * GATEWAYS)
    found = []
    with _tiers(asked) as started:
        for number in range(asked.rounds):
            for tier in started:
                for consumer in (one for one in _consumers(asked) if one.stores):
                    for fault in (one for one in loss.FAULTS if not wanted or one in wanted):
                        say(f"round {number + 1}: {consumer.name}, {fault}, {tier.kind}")
                        one = loss.measure(tier, consumer, ready, fault)
                        say(
                            f"  {one.lost} lost of {one.acknowledged} acknowledged of {one.sent}, "
                            f"{one.doubled} twice, {one.seconds:.0f} s"
                        )
                        found.append(one)
    return Told(report.losses(found), [asdict(one) for one in found], {})


def _latency(asked: argparse.Namespace) -> Told:
    messages = int(latency.PER_SECOND * (asked.seconds + latency.WARM_S)) + GATEWAYS
    ready = _traffic(asked, 1, messages)
    found = []
    with _tiers(asked) as started:
        for _ in range(asked.rounds):
            for tier in started:
                for consumer in (one for one in _consumers(asked) if one.stores):
                    one = latency.measure(tier, consumer, ready, asked.seconds)
                    say(f"{consumer.name}: p50 {one.p50_ms:.0f} ms, p99 {one.p99_ms:.0f} ms")
                    found.append(one)
    return Told(report.latencies(found), [asdict(one) for one in found], {})


def _growth(asked: argparse.Namespace) -> Told:
    sizes: Sequence[int] = growth.SIZES_QUICK if asked.quick else growth.SIZES
    if asked.large:
        sizes = growth.SIZES_LARGE
    messages = int(GROWTH_SAMPLES_PER_S * (asked.seconds + 4) / 100)
    ready = [_traffic(asked, 50, messages, seed) for seed in range(1, asked.rounds + 1)]
    texts, data = [], []
    with _tiers(asked) as started:
        for tier in started:
            found = growth.measure(tier, sizes, ready, asked.seconds, say)
            texts.append(f"### {tier.kind}\n\n{report.growth(growth.steps(found))}")
            data += [{"size": size, **asdict(one)} for size, one in found]
    return Told("\n\n".join(texts), data, {})


def _memory(asked: argparse.Namespace) -> Told:
    ready = _traffic(asked, 1, int(memory.PER_SECOND * asked.seconds) + GATEWAYS)
    found = []
    with _tiers(asked) as started:
        for tier in started:
            say(f"ours, {tier.kind}, {asked.seconds:,.0f} s at {memory.PER_SECOND:,} a second")
            found.append(memory.measure(tier, OURS_CONSUMER, ready, asked.seconds, say))
    pictures = {f"memory-{one.tier}.svg": plot.line(one.mib, memory.LOOK_S) for one in found}
    return Told(report.memories(found), [asdict(one) for one in found], pictures)


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], Told]]] = {
    "compare": _compare,
    "loss": _loss,
    "latency": _latency,
    "growth": _growth,
    "memory": _memory,
}


def main() -> None:
    """Measure what is asked; print the report, and keep it where ``--out`` says."""
    asked = _arguments()
    began = database.started_at()
    command = " ".join(["python -m tests.bench.ingest", *sys.argv[1:]])
    told = _COMMANDS[asked.what](asked)
    when = f"{began:%Y-%m-%d %H:%M} UTC, {report.machine()}, seed {asked.seed}"
    head = f"`{command}`, {when}; {'; '.join(_versions())}"
    print(f"{head}\n\n{told.text}")
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        data = {"command": command, "at": began.isoformat(), "found": told.data}
        files = told.files | {
            f"{asked.what}.md": f"{head}\n\n{told.text}\n",
            f"{asked.what}.json": json.dumps(data, indent=1),
        }
        for name, text in files.items():
            (asked.out / name).write_text(text)


if __name__ == "__main__":
    main()
