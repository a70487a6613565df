"""What `hemma backup` and `hemma restore` say, as text or as one JSON object."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hemma.backup import Manifest, Restored, Verified, back_up, restore
from hemma.errors import HemmaError
from server.settings import SettingsError, read_settings
from server.store.errors import StoreError

DIFFERENCES_SHOWN: Final = 50
_EXPLAINED: Final = (HemmaError, StoreError, SettingsError, OSError)


def run_backup(folder: Path, *, as_json: bool) -> int:
    """Back up the database of the environment into `folder`; return the exit code."""

    def work() -> tuple[object, str, bool]:
        manifest = back_up(read_settings(os.environ).database_url, folder)
        return manifest, _told_backup(folder, manifest), True

    return _explained(work, as_json=as_json)


def run_restore(folder: Path, *, into: str | None, verify: bool, as_json: bool) -> int:
    """Restore `folder` into the address `into`, or the environment's; return the exit code."""

    def work() -> tuple[object, str, bool]:
        url = into or read_settings(os.environ).database_url
        done = asyncio.run(restore(url, folder, verify=verify, say=_say))
        return done, _told_restore(done), done.verified is None or not done.verified.differences

    return _explained(work, as_json=as_json)


def _explained(work: Callable[[], tuple[object, str, bool]], *, as_json: bool) -> int:
    try:
        answer, text, is_well = work()
    except _EXPLAINED as error:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower().removesuffix("_error")
        if as_json:
            print(msgspec.json.encode({"error": name, "detail": str(error)}).decode())
        else:
            print(f"hemma: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(answer).decode() if as_json else text)
    return 0 if is_well else 1


def _told_backup(folder: Path, manifest: Manifest) -> str:
    facts = manifest.facts
    return (
        f"{folder}: {sum(facts.tables.values())} rows of {len(facts.tables)} tables as of"
        f" {facts.taken_at:%Y-%m-%d %H:%M:%S}Z, {manifest.dump_bytes} bytes.\n"
        "It holds health data and is not encrypted: keep it on an encrypted disk, or encrypt it"
        " (docs/operating.md)."
    )


def _told_restore(done: Restored) -> str:
    lines = [f"Restored as of {done.backup_of:%Y-%m-%d %H:%M:%S}Z."]
    lines += [] if done.verified is None else _told_verified(done.verified)
    if done.schema is None:
        lines.append(
            "Not taken into use. To use it all the same: hemma server migrate, then hemma server"
            " resend --all"
        )
        return "\n".join(lines)
    lines.append(f"Schema {done.schema_before} → {done.schema}.")
    lines.append(
        f"{len(done.asked)} gateways will be asked for what they have since"
        f" {done.since:%Y-%m-%d %H:%M}Z, as soon as the server runs (hemma server orders)."
    )
    lines.append(
        "What people wrote after the backup is not in it, and erasures made after it must be"
        " made again."
    )
    return "\n".join(lines)


def _told_verified(verified: Verified) -> list[str]:
    derived = f"{verified.derived} values decoded again"
    if verified.not_derivable:
        derived += f" ({verified.not_derivable} have bytes of a kind unknown here)"
    lines = [f"Compared: {verified.rows} rows; {derived}."]
    shown = verified.differences[:DIFFERENCES_SHOWN]
    lines += [f"DIFFERENT {one.where}: {one.expected} → {one.found}" for one in shown]
    if left := len(verified.differences) - len(shown):
        lines.append(f"… and {left} more")
    return lines if verified.differences else [*lines, "No difference."]


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
