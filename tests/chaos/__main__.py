"""Strike all parts with seeded faults while values flow; count what is lost or doubled.

Exits 1 where anything is, with the command that plays the same plan again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from tests.bench.ingest import broker, report
from tests.bench.ingest.database import installations, started_at
from tests.chaos import campaign

STAGE_FAULTS: Final = 50


def main() -> int:
    """Run the campaign that is asked for and print its report."""
    asked = _arguments()
    found = installations()
    kinds = [kind for kind in ("postgres", "timescale") if kind in found]
    if not kinds:
        raise SystemExit("there is no PostgreSQL here (sh deploy/test.sh gets it)")
    if "timescale" not in found:
        _say("!!! TimescaleDB DID NOT RUN: it is not on this machine (sh deploy/test.sh)")
    began = started_at()
    stages = asked.stages or max(1, asked.faults // STAGE_FAULTS)
    played = campaign.casts(asked.seed, asked.faults, stages, kinds)
    if asked.stage is not None:
        played = [played[asked.stage]]
    result = campaign.run(asked.seed, played, found, at_once=asked.at_once, say=_say)
    command = f"python -m tests.chaos --faults {asked.faults} --seed {asked.seed} --stages {stages}"
    versions = "; ".join([*(one.description for one in found.values()), broker.version()])
    head = f"`{command}`, {began:%Y-%m-%d %H:%M} UTC, {report.machine()}; {versions}"
    print(f"{head}\n\n{campaign.told(result)}")
    if asked.out:
        data = {"command": command, "at": began.isoformat(), **result.as_data()}
        asked.out.write_text(json.dumps(data, indent=1))
    if result.wrong:
        print(f"\nThe same plan again: {command}; one stage of it with --stage NUMBER (0 …)")
    return 1 if result.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", type=int, help=f"default: one for {STAGE_FAULTS} faults")
    parser.add_argument("--stage", type=int, help="play only this one of them, from 0")
    parser.add_argument("--at-once", type=int, default=3, help="stages beside each other")
    parser.add_argument("--out", type=Path, help="a file for the report as JSON")
    return parser.parse_args()


def _say(line: str) -> None:
    """Tell how far it is; the report alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
