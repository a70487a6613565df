"""``hemma server completeness | certify``: is anything missing, and are the certificates true."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
import typer

from devices.wire import Certificate
from server.audit.record import record
from server.completeness_report import ZONE, Period, Report, difference_line
from server.console import JsonOption, NotDone, answer, gateway_name, inside
from server.store import bindings, certificate_check, certificates, completeness
from server.store.access_log import Action, Entry
from server.store.database import Transaction

PERIOD_DAYS = 30
TARGET = "hemma server completeness"
_DAY = ["%Y-%m-%d"]

From = Annotated[
    datetime | None, typer.Option("--from", formats=_DAY, help="First day; default: 30 days ago.")
]
To = Annotated[
    datetime | None, typer.Option("--to", formats=_DAY, help="Last day; default: today.")
]


def show_completeness(
    gateway: Annotated[str | None, typer.Option(help="One gateway; default: all.")] = None,
    patient: Annotated[UUID | None, typer.Option(help="A patient's id, as in links.")] = None,
    first: From = None,
    last: To = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the certificates.")
    ] = False,
    certificate: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="GATEWAY DAY", help="Give what was certified of a UTC day."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether anything is missing, and what to do then. Exit code 1: something is, or nobody
    knows.

    Days are those of Europe/Stockholm, for certificates of UTC.
    """
    if sum(one is not None for one in (gateway, patient, certificate)) > 1:
        raise typer.BadParameter("one of --gateway, --patient and --certificate")
    if gateway is not None:
        gateway_name(gateway)
    if certificate is not None:
        _show_certificate(*certificate, as_json=as_json)
    elif verify:
        if patient is not None:
            raise typer.BadParameter("certificates are of gateways, not of patients")
        _verify(gateway, first, last, as_json=as_json)
    else:
        now = datetime.now(UTC)
        _show(gateway, patient, _period(first, last, now), now, as_json=as_json)


def certify(
    day: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Up to this UTC day; default: all over.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Certify each UTC day that is over and is not yet, in order. Harmless to repeat."""
    now = datetime.now(UTC)
    last = certificates.last_day_over(now)
    if day is not None and day.date() > last:
        raise NotDone(f"{day.date()} is not over for an hour yet; the last that is: {last}")
    until = last if day is None else day.date()
    done: list[certificates.Certified] = []
    while one := inside(lambda tx: certificates.certify_next(tx, now=now, until=until)):
        done.append(one)
    lines = [f"{one.day}: {one.rows} rows of {one.gateways} gateways" for one in done]
    answer(
        [asdict(one) for one in done],
        "\n".join(lines) or "Nothing to certify.",
        as_json=as_json,
    )


def _show(
    gateway: str | None, patient: UUID | None, period: Period, now: datetime, *, as_json: bool
) -> None:
    async def work(tx: Transaction) -> Report:
        if patient is not None:
            return await _of_patient(tx, patient, period, now)
        if gateway is not None:
            await bindings.id_of(tx, "gateway", gateway)
        found = await completeness.gateways(
            tx,
            since=period.since,
            now=now,
            names=None if gateway is None else (gateway,),
        )
        return Report(period, found, now)

    report = inside(work)
    answer(report.plain(), "\n".join(report.lines()), as_json=as_json)
    if not report.is_complete:
        raise typer.Exit(1)


async def _of_patient(tx: Transaction, public_id: UUID, period: Period, now: datetime) -> Report:
    patient_id = await completeness.patient_id_of(tx, public_id)
    if patient_id is None:
        raise NotDone(f"there is no patient {public_id}")
    await record(tx, _entry(patient_id, now))
    since, until = period.since, period.until
    values = await completeness.patient_values(
        tx, patient_id, days=period.days, since=since, until=until
    )
    found = await completeness.gateways(tx, since=since, now=now, names=values.gateways)
    return Report(period, found, now, public_id, values)


def _entry(patient_id: int, now: datetime) -> Entry:
    # Nobody is logged in at a command line: the log says which user of the machine it was.
    return Entry(
        at=now,
        staff_id=None,
        login=f"os:{getpass.getuser()}",
        assignment_id=None,
        unit_id=None,
        role="",
        address="",
        action=Action.READ,
        target=TARGET,
        patient_id=patient_id,
        outcome="granted",
        reason="",
    )


def _show_certificate(gateway: str, day: str, *, as_json: bool) -> None:
    gateway_name(gateway)
    try:
        wanted = date.fromisoformat(day)
    except ValueError as error:
        raise typer.BadParameter("DAY is a UTC day such as 2026-11-22") from error

    async def work(tx: Transaction) -> Certificate:
        await bindings.id_of(tx, "gateway", gateway)
        found = await certificates.certificate(tx, gateway, wanted)
        if found is None:
            raise NotDone(
                f"nothing of {gateway} is certified for {wanted}: nothing was stored that day, or"
                " it was not certified yet (hemma server certify)"
            )
        return found

    found = inside(work)
    text = f"{gateway} {wanted}: {found.rows} rows in {len(found.ranges)} ranges, {found.chain}"
    answer(msgspec.to_builtins(found), text, as_json=as_json)


def _verify(
    gateway: str | None, first: datetime | None, last: datetime | None, *, as_json: bool
) -> None:
    since = None if first is None else first.date()
    until = None if last is None else last.date()

    async def work(tx: Transaction) -> list[certificate_check.Difference]:
        if gateway is not None:
            await bindings.id_of(tx, "gateway", gateway)
        return await certificate_check.differences(tx, gateway=gateway, since=since, until=until)

    found = inside(work)
    told = [difference_line(one) for one in found]
    text = "\n".join(told) or "Everything that was certified is there, unchanged."
    plain = [{**asdict(one), "text": line} for one, line in zip(found, told, strict=True)]
    answer({"true": not found, "differences": plain}, text, as_json=as_json)
    if found:
        raise typer.Exit(1)


def _period(first: datetime | None, last: datetime | None, now: datetime) -> Period:
    today = now.astimezone(ZONE).date()
    end = today if last is None else last.date()
    begin = end - timedelta(days=PERIOD_DAYS) if first is None else first.date()
    if begin > end:
        raise typer.BadParameter("--from lies after --to")
    return Period(begin, end)
