"""What ``hemma server completeness`` says, in words and as plain values. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from devices import wire
from server.store.certificate_check import Difference, Fault
from server.store.completeness import BootNumbers, GatewayNumbers, PatientValues, Span

ZONE = ZoneInfo("Europe/Stockholm")
SPANS_SHOWN = 10
# A gateway says each 60 minutes what waits in its outbox (contract.md 1), and may be a little late.
HEARD_WITHIN = timedelta(minutes=90)
# Fresh rows without an answer are sent again for so long before they count as a backlog.
IN_FLIGHT = timedelta(seconds=wire.BACKLOG_AGE_MIN_S)


class Doubt(StrEnum):
    """Why nobody knows whether all that a gateway has of a period is here."""

    NEVER_HEARD = "never_heard"
    WAITING = "waiting"  # it said that rows wait in its outbox
    SILENT = "silent"  # it has not said what waits since the period ended, or for too long


@dataclass(frozen=True, slots=True)
class Period:
    """Days in Europe/Stockholm, the first and the last included."""

    first: date
    last: date

    @property
    def since(self) -> datetime:
        """Return when it begins, in UTC."""
        return datetime.combine(self.first, time(), ZONE).astimezone(UTC)

    @property
    def until(self) -> datetime:
        """Return when it has ended, in UTC."""
        return datetime.combine(self.last + timedelta(days=1), time(), ZONE).astimezone(UTC)

    @property
    def days(self) -> tuple[date, ...]:
        """Return its days."""
        count = (self.last - self.first).days + 1
        return tuple(self.first + timedelta(days=n) for n in range(count))


@dataclass(frozen=True, slots=True)
class Report:
    """The answer as of ``now``; ``patient`` and ``values`` None where gateways were asked about."""

    period: Period
    gateways: Sequence[GatewayNumbers]
    now: datetime
    patient: UUID | None = None
    values: PatientValues | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing is missing and all of it is known; what may still come by itself, a
        number or a fresh row, does not count as missing.
        """
        is_known = not (self.is_unknown or self.doubts)
        return is_known and not any(one.missing_count or one.is_full for one in self._boots())

    @property
    def is_unknown(self) -> bool:
        """Tell whether there is no gateway that could know: none at all, or none of a patient's
        devices. Of a patient without a device nothing is expected.
        """
        return not self.gateways and (self.values is None or bool(self.values.devices))

    @property
    def doubts(self) -> dict[str, Doubt]:
        """Return by name the gateways of which nobody knows whether all of the period is here."""
        found = {one.gateway: doubt(one, self.period, self.now) for one in self.gateways}
        return {name: why for name, why in found.items() if why is not None}

    @property
    def verdict(self) -> str:
        """Return one sentence that says what is missing or not known, and one what to do."""
        pending = sum(boot.pending_count for boot in self._boots())
        awaited = f" {pending} may still come by themselves." if pending else ""
        if self.is_complete:
            return f"Nothing is missing.{awaited}"
        said = (self._missing(), self._full(), self._not_known())
        return " ".join(one for one in said if one) + awaited

    def _missing(self) -> str:
        lacking = [one for one in self.gateways if one.missing_count]
        if not lacking:
            return ""
        count = sum(one.missing_count for one in lacking)
        names = ", ".join(one.gateway for one in lacking)
        what = "number is" if count == 1 else "numbers are"
        return (
            f"{count} {what} missing of {names}. Ask for them: hemma server resend"
            f" {lacking[0].gateway} (what the server answered in the last 7 days is still there);"
            " what does not come then is lost."
        )

    def _full(self) -> str:
        if not any(boot.is_full for boot in self._boots()):
            return ""
        return (
            "Gateways left so many holes that not all could be kept: look at what they send, and at"
            " the quarantine (hemma server quarantine)."
        )

    def _not_known(self) -> str:
        if self.is_unknown:
            whose = "" if self.values is None else " of this patient"
            return (
                f"No gateway{whose} is known, so nobody can tell whether something is missing: look"
                " at the home, and at hemma bind list."
            )
        doubts = self.doubts
        told = [
            doubt_line(one, doubts[one.gateway]) for one in self.gateways if one.gateway in doubts
        ]
        return f"Not known yet: {'; '.join(told)}." if told else ""

    def plain(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        values = None if self.values is None else asdict(self.values)
        doubts = self.doubts
        return {
            "complete": self.is_complete,
            "known": not (self.is_unknown or self.doubts),
            "verdict": self.verdict,
            "from": self.period.since,
            "to": self.period.until,
            "missing": sum(boot.missing_count for boot in self._boots()),
            "pending": sum(boot.pending_count for boot in self._boots()),
            "gateways": [
                {**asdict(one), "not_known": doubts.get(one.gateway)} for one in self.gateways
            ],
            "patient": None if values is None else {"public_id": self.patient, **values},
        }

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        yield f"{self.period.first} to {self.period.last}"
        if self.values is not None:
            yield from _patient_lines(self.values, len(self.period.days))
        for one in self.gateways:
            yield from _gateway_lines(one, self.period)
        yield self.verdict

    def _boots(self) -> list[BootNumbers]:
        return [boot for one in self.gateways for boot in one.boots]


def doubt(one: GatewayNumbers, period: Period, now: datetime) -> Doubt | None:
    """Return why the gateway may hold something of the period that is not here; None: it does not.

    It knows itself: when it said that nothing waits, all that it had written until then was here.
    """
    if one.last_heard_at is None:
        return Doubt.NEVER_HEARD
    if one.waiting is None or one.said_at is None:
        return Doubt.SILENT
    known_until = min(one.said_at, one.last_heard_at)
    recent = now - HEARD_WITHIN
    if one.waiting:
        is_fresh = one.waiting_since is not None and one.said_at - one.waiting_since < IN_FLIGHT
        if not (is_fresh and one.state == "online" and known_until >= recent):
            return Doubt.WAITING
    is_over = period.since < now and known_until >= min(period.until, recent)
    return None if is_over else Doubt.SILENT


def doubt_line(one: GatewayNumbers, why: Doubt) -> str:
    """Return as a person reads it what is not known of a gateway."""
    if why is Doubt.NEVER_HEARD or one.last_heard_at is None:
        return f"{one.gateway} was never heard, so nothing is known of that home"
    heard = f"{one.gateway} was last heard {_time(one.last_heard_at)}"
    if one.waiting is None or one.said_at is None:
        return f"{heard} and never said what waits there"
    wait = "1 item waits" if one.waiting == 1 else f"{one.waiting} items wait"
    waits = wait if one.waiting else "nothing waits"
    return f"{heard} and said {_time(one.said_at)} that {waits}"


def _gateway_lines(one: GatewayNumbers, period: Period) -> Iterator[str]:
    since = "" if one.state_since is None else f" since {_time(one.state_since)}"
    heard = "never heard" if one.last_heard_at is None else f"last heard {_time(one.last_heard_at)}"
    held = ""
    if one.waiting is not None and one.said_at is not None:
        held = f"; its outbox held {one.waiting} rows, as it said {_time(one.said_at)}"
    yield f"{one.gateway}: {one.state.replace('_', ' ')}{since}, {heard}{held}"
    if one.unnumbered:
        yield f"  {one.unnumbered} in quarantine without a readable number"
    if not one.boots:
        yield "  nothing came of it since this period began"
    for boot in one.boots:
        yield from _boot_lines(boot, period)


def _boot_lines(boot: BootNumbers, period: Period) -> Iterator[str]:
    after = ", after the period: some may be of it" if boot.first_at >= period.until else ""
    yield f"  boot {boot.boot}, heard {_time(boot.first_at)} to {_time(boot.last_at)}{after}"
    yield (
        f"    of 1–{boot.expected} {boot.had} are here"
        f"{_holes(boot.missing_count, boot.missing, 'missing')}"
        f"{_holes(boot.pending_count, boot.pending, 'may still come')}"
    )
    yield (
        f"    {boot.duplicates} came again, {boot.late} late, {boot.quarantined} in quarantine,"
        f" {len(boot.tombstones)} could never be sent"
        + (f" ({', '.join(f'{t.seq}: {t.why}' for t in boot.tombstones[:SPANS_SHOWN])})"
           if boot.tombstones else "")
    )  # fmt: skip
    if boot.is_full:
        yield "    so many holes that no more are kept: what is above them is not known"


def _holes(count: int, spans: Sequence[Span], what: str) -> str:
    if not count:
        return ""
    more = ", …" if len(spans) > SPANS_SHOWN else ""
    shown = ", ".join(_span(low, high) for low, high in spans[:SPANS_SHOWN])
    return f", {count} {what} ({shown}{more})"


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}–{high}"


def _patient_lines(values: PatientValues, days: int) -> Iterator[str]:
    if not values.devices:
        yield "No device was bound to this patient in the period."
    for one in values.devices:
        user = "" if one.user_index is None else f", user {one.user_index}"
        where = "" if one.gateway is None else f" at {one.gateway}"
        until = "on" if one.until is None else f"to {_time(one.until)}"
        yield f"{one.device}{user}{where}: bound from {_time(one.since)} {until}"
    for kind in values.kinds:
        yield f"{kind.kind}: {kind.values} values, on {len(kind.days_with)} of {days} days"
        if kind.days_with and kind.days_without:
            yield f"  none on {_days(kind.days_without)}"
    for nobodys in values.unassigned:
        yield (
            f"{nobodys.values} values of {nobodys.device} belong to nobody ({nobodys.reason}) and"
            " might be this patient's: look at hemma bind list"
        )


def _days(days: Sequence[date]) -> str:
    more = ", …" if len(days) > SPANS_SHOWN else ""
    return ", ".join(str(day) for day in days[:SPANS_SHOWN]) + more


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}Z"


_FAULTS = {
    Fault.GONE: "certified, and not there any more",
    Fault.ADDED: "there, and was not certified",
    Fault.CHANGED: "another uid than was certified",
    Fault.CHAIN: "the certificate itself was changed",
}


def difference_line(one: Difference) -> str:
    """Return a difference as a person reads it."""
    place = f"{one.gateway} {one.day}"
    if one.first is not None and one.last is not None:
        place += f" boot {one.boot} number {_span(one.first, one.last)}"
    return f"{place}: {_FAULTS[one.fault]}"
