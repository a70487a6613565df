"""Make images, start one by hand, write the table: ``python -m tests.ble.appliance --help``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.ble.appliance import images
from tests.ble.appliance.guest import GuestFailed
from tests.ble.appliance.recipe import VARIANTS
from tests.ble.appliance.results import read_results, table
from tests.ble.appliance.tree import RecipeFailed


def main() -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.ble.appliance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make the images that are not there yet")
    build.add_argument("--bluez", choices=tuple(VARIANTS), help="only this one; default all")
    build.add_argument("--fresh", action="store_true", help="make anew what is there")
    build.add_argument("--check", action="store_true", help="only tell whether all are there")
    by_hand = commands.add_parser("shell", help="start one, with virtual devices, and obey")
    by_hand.add_argument("--bluez", choices=tuple(VARIANTS), default="5.82")
    by_hand.add_argument(
        "--device", help="a design of devices.virtual", action="append", default=[]
    )
    lost = commands.add_parser("trace", help="show why BlueZ loses a value after it was restarted")
    lost.add_argument("--bluez", choices=tuple(VARIANTS), default="5.82")
    written = commands.add_parser("table", help="the scenarios' results, from pytest's junit file")
    written.add_argument("results", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "table":
            sys.stdout.write(table(read_results(arguments.results)))
            return 0
        if arguments.command == "build":
            if arguments.check:
                return 0 if all(images.is_recent(one) for one in VARIANTS.values()) else 1
            return _build(arguments.bluez, fresh=arguments.fresh)
        # Only here: an image can be made, and a table written, without the virtual devices.
        from tests.ble.appliance.shell import shell
        from tests.ble.appliance.trace import trace

        image = images.build(VARIANTS[arguments.bluez])
        if arguments.command == "trace":
            sys.stdout.writelines(f"{line}\n" for line in asyncio.run(trace(image)))
        else:
            asyncio.run(shell(image, arguments.device))
    except (RecipeFailed, GuestFailed) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def _build(only: str | None, *, fresh: bool) -> int:
    for variant in VARIANTS.values():
        if only in (None, variant.name):
            image = images.build(variant, fresh=fresh)
            print(f"{image.folder}  (made in {image.build_s} s)")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
