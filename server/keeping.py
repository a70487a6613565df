"""``hemma server stats | retention | erase``: what is kept, how long, and what goes by order."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from server.console import Commands, JsonOption, NotDone, answer, inside
from server.store import bindings, erasure, retention, storage_stats
from server.store.database import Transaction
from server.store.erasure import Erased, Order
from server.store.retention import Rule
from server.store.storage_stats import Stats
from server.store.uid_runs import Uids

retention_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="How long what is kept; without a rule for ever."
)
BYTES_PER_MEGABYTE = 1 << 20
SHOWN_TABLES = 12

By = Annotated[str, typer.Option(help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why.")]


def show_stats(as_json: JsonOption = False) -> None:
    """Show how much is stored, where, and how it grows; no personal data."""

    async def look(tx: Transaction) -> Stats:
        return await storage_stats.stats(tx, at=datetime.now(UTC))

    found = inside(look)
    answer(asdict(found), _told(found), as_json=as_json)


def _told(found: Stats) -> str:
    lines = [f"{name:<14}{number:>12}" for name, number in found.rows.items()]
    lines.append(f"\nDatabase {_megabytes(found.database_bytes)}; largest tables, with indexes:")
    lines += [
        f"  {one.name:<20}{_megabytes(one.table_bytes):>12}{_megabytes(one.index_bytes):>12}"
        for one in found.tables[:SHOWN_TABLES]
    ]
    lines.append(
        f"\nMeasurements: {found.growth.day} in a day, {found.growth.week} in a week"
        f" (about {_megabytes(found.growth.week_bytes)})"
    )
    if found.oldest and found.newest:
        lines.append(f"From {found.oldest:%Y-%m-%d} to {found.newest:%Y-%m-%d %H:%M}Z")
    lines += [f"  {one.kind:<20}{one.rows:>12} in 30 days" for one in found.kinds]
    lines.append("Gateways: " + (_list(found.gateways) or "none"))
    lines.append("Quarantine: " + (_list(found.quarantine) or "empty"))
    lines.append(_uids(found.uids))
    if found.timescale:
        lines.append(f"TimescaleDB {found.timescale}")
        lines += [
            f"  {one.table:<20}{one.chunks} chunks, {one.compressed} of them compressed"
            for one in found.chunks
        ]
    return "\n".join(lines)


def _uids(uids: Uids) -> str:
    told = f"Uids: {uids.epochs} epochs one by one"
    if uids.pruned_until is not None:
        told += f", {uids.pruned_uids} packed (until {uids.pruned_until:%Y-%m-%d})"
    return f"{told}, {uids.ahead} dated ahead"


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _megabytes(size: int) -> str:
    return f"{size / BYTES_PER_MEGABYTE:.1f} MB"


@retention_app.command("list")
def list_rules(as_json: JsonOption = False) -> None:
    """Show the rules; what has none is kept for ever."""
    found = inside(retention.listed)
    lines = [
        f"{one.what:<20}{one.unit or 'all units':<30}{_days(one.keep_days)}"
        f"  {one.set_by}: {one.reason}"
        for one in found
    ]
    text = "\n".join(lines) or "No rules: everything is kept for ever."
    answer([asdict(one) for one in found], text, as_json=as_json)


def _days(number: int) -> str:
    return f"{number} days" if number else "for ever"


@retention_app.command("set")
def set_rule(
    what: Annotated[str, typer.Argument(help="A kind (hemma devices kinds), or access_log.")],
    days: Annotated[int, typer.Option(min=0, help="Kept so long; 0: for ever.")],
    by: By,
    reason: Reason,
    unit: Annotated[str | None, typer.Option(help="For this unit's patients only.")] = None,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="These are no documents of a patient's record.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how long a kind of value is kept; the server removes what is older, day by day."""
    rule = Rule(what, unit, days, datetime.now(UTC), by, reason)

    async def work(tx: Transaction) -> None:
        await retention.set_rule(tx, rule, is_no_record=no_record)

    inside(work)
    answer(asdict(rule), f"{what} is kept {_days(days)}.", as_json=as_json)


def erase(
    what: Annotated[
        str | None, typer.Argument(help="A patient as system|value, or one item's uid.")
    ] = None,
    order: Annotated[str, typer.Option(help="The decision's own reference.")] = "",
    by: By = "",
    reason: Reason = "",
    confirm: Annotated[str | None, typer.Option(help="The word that the first call gave.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the orders carried out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a patient's content, or one item's, by a recorded order; the places stay.

    Twice: the first call says what would go and gives a word, the second one confirms with it.
    """
    if show:
        _show_erasures(as_json=as_json)
        return
    if what is None or not (order and by and reason):
        raise typer.BadParameter("WHAT, --order, --by and --reason are all needed")
    at = datetime.now(UTC)
    given = (order, by, reason)

    async def work(tx: Transaction) -> tuple[str, dict[str, int], Erased | None]:
        wanted = await _order(tx, what, *given)
        counts = await erasure.prospect(tx, wanted)
        word = erasure.confirmation(wanted, counts)
        if confirm is None:
            return word, counts, None
        if confirm != word:
            raise NotDone("the word is another's, or what is stored has changed: begin again")
        return word, counts, await erasure.erase(tx, wanted, at=at)

    word, counts, done = inside(work)
    said = ", ".join(f"{number} {table}" for table, number in counts.items() if number) or "nothing"
    text = f"Would erase: {said}. To do it: the same with --confirm {word}"
    if done is not None:
        text = f"Erased by order {done.id} ({order}): {said}. Backups made before still hold it."
    erased = None if done is None else done.id
    answer({"would": counts, "confirm": word, "erasure": erased}, text, as_json=as_json)


async def _order(tx: Transaction, what: str, reference: str, by: str, reason: str) -> Order:
    if re.fullmatch(r"[0-9a-f]{32}", what):
        return Order(reference, by, reason, uid=UUID(what))
    patient_id = await bindings.patient_by_identifier(tx, what)
    return Order(reference, by, reason, patient_id=patient_id)


def _show_erasures(*, as_json: bool) -> None:
    found = inside(erasure.listed)
    lines = [f"{one.id}  {one.at:%Y-%m-%d}  {one.reference}  {one.decided_by}" for one in found]
    answer([asdict(one) for one in found], "\n".join(lines) or "None.", as_json=as_json)
