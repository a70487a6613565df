"""``hemma audit verify``: is the access log still what was written."""

from __future__ import annotations

from dataclasses import asdict

import typer

from server.console import Commands, JsonOption, answer, inside
from server.store import access_seals

audit_app = typer.Typer(cls=Commands, no_args_is_help=True)


@audit_app.callback()
def audit() -> None:
    """The access log."""


@audit_app.command("verify")
def verify(as_json: JsonOption = False) -> None:
    """Check the access log against its seals; exit 1 where a line was changed, added or removed."""
    found = inside(access_seals.verify)
    lines = [
        f"{found.seals} seals over {found.lines} lines; {found.unsealed} lines are not sealed yet."
    ]
    if found.pruned:
        lines.append(f"{found.pruned} seals hold lines that were removed by age.")
    if found.head:
        lines.append(f"Newest seal: {found.head} (keep it elsewhere)")
    lines += [
        f"FAULT seal {one.seal}: {one.fault}"
        + (f", lines {one.first_id}–{one.last_id}" if one.first_id is not None else "")
        for one in found.faults
    ]
    answer(asdict(found), "\n".join(lines), as_json=as_json)
    if found.faults:
        raise typer.Exit(1)
