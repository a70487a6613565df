"""``hemma server …`` (contract.md 3): run it or one role, migrate, look into the store."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from server import main
from server.asking import resend, show_orders
from server.auditing import audit_app
from server.completeness import certify, show_completeness
from server.console import Commands, JsonOption, answer, inside
from server.exporting import export
from server.extracting import extract
from server.keeping import erase, retention_app, show_stats
from server.registers import bind_app, unit_app, user_app
from server.settings import read_settings
from server.store import quarantine
from server.store.database import Transaction
from server.store.migrate import migrate as migrate_database
from server.upkeeping import show_upkeep

__all__ = ["app", "audit_app", "bind_app", "unit_app", "user_app"]

app = typer.Typer(
    name="server",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The server: stores, judges, shows, and tells someone to act.",
)

app.command("completeness")(show_completeness)
app.command("certify")(certify)


@app.command()
def run() -> None:
    """Migrate, then run ingest, engine, notify and web in one process group."""
    main.log_as_json()
    main.run_all(read_settings(os.environ))


@app.command()
def ingest() -> None:
    """Run the ingest role: from the broker to the store."""
    _role("ingest")


@app.command()
def engine() -> None:
    """Run the engine role: judge what has arrived."""
    _role("engine")


@app.command()
def notify() -> None:
    """Run the notify role: the homes' state, and receipts to them."""
    _role("notify")


@app.command()
def web() -> None:
    """Run the web role: the nurse's pages and the API."""
    _role("web")


def _role(name: str) -> None:
    main.log_as_json()
    main.run_role(name, read_settings(os.environ))


@app.command()
def migrate(as_json: JsonOption = False) -> None:
    """Bring the database to this version's schema, and into TimescaleDB's chunks where it is.

    Harmless to repeat. Tables that were filled before TimescaleDB came are rewritten, which takes
    minutes where they are large; the roles wait meanwhile and lose nothing.
    """
    done = migrate_database(read_settings(os.environ).database_url, convert=True)
    extension = f"TimescaleDB {done.timescale}" if done.timescale else "plain PostgreSQL"
    lines = [f"Schema {done.before or 'empty'} → {done.after} on {extension}."]
    if done.hypertables:
        lines.append(f"In weekly chunks: {', '.join(done.hypertables)}.")
    lines += [done.advice] if done.advice else []
    answer(asdict(done), "\n".join(lines), as_json=as_json)


@app.command("quarantine")
def show_quarantine(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    before: Annotated[int | None, typer.Option(help="The last id of the page before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what could not be decoded, identified or stored, newest first, with its reason."""

    async def look(tx: Transaction) -> list[quarantine.Quarantined]:
        return await quarantine.listed(tx, limit=limit, before=before)

    found = inside(look)
    rows = [_plain(row) for row in found]
    lines = [
        f"{row.id}  {row.last_at:%Y-%m-%d %H:%M:%S}Z  {row.gateway}  {row.reason}  ×{row.times}"
        f"  {row.detail}"
        for row in found
    ]
    answer(rows, "\n".join(lines) or "The quarantine is empty.", as_json=as_json)


app.command("stats")(show_stats)
app.command("erase")(erase)
app.command("extract")(extract)
app.command("export")(export)
app.command("upkeep")(show_upkeep)
app.add_typer(retention_app, name="retention")
app.command("resend")(resend)
app.command("orders")(show_orders)


def _plain(row: quarantine.Quarantined) -> dict[str, Any]:
    # Bytes as hex: a payload that could not be read as text is the point of this list.
    return {**asdict(row), "payload": row.payload.hex()}
