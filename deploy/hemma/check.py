"""`hemma demo --check`: drive values through every stage and count what became of them.

Each value's way is timed where one process hands it to the next: the device's word that its
indication was confirmed, the database's notice of the commit, its notice of the alert, and the
nurse's page. All clocks are this machine's monotonic one. Nothing is asserted about speed; it is
printed.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from alerts.lifecycle import Outcome
from hemma.errors import HemmaError
from hemma.house import House
from hemma.nurse import Nurse, logged_in
from server.store.counts import copies_of
from server.store.database import Database

# One value for each lineage of which the live person has no open alert, so each one must fire.
TIMED: Final[tuple[tuple[str, Mapping[str, float]], ...]] = (
    ("cuff", {"systolic": 184, "diastolic": 106, "pulse": 78}),
    ("oximeter", {"spo2": 86, "pulse": 88}),
    ("thermometer", {"temperature": 39.4}),
    ("cuff", {"systolic": 126, "diastolic": 77, "pulse": 138}),
    ("oximeter", {"spo2": 96, "pulse": 37}),
)
# Not of a device that is timed: a calm value minutes before a high one would be its repeat, and two
# repeats that disagree alert nobody (clinical.md 4).
BEFORE: Final = ("scale", {"weight": 61.3})
SERIES: Final = 12
SERVER_AWAY_AFTER: Final = 4  # values of the series
SERVER_AWAY_S: Final = 4.0
SERVER_BACK_BEFORE: Final = 10
DELIVERY_TIMEOUT_S: Final = 45.0
NOTICE_TIMEOUT_S: Final = 20.0


class NothingHeardError(HemmaError):
    """The database did not tell of a commit in time."""


@dataclass(slots=True)
class Bell:
    """When a channel of the database last rang, and a way to wait for the next time."""

    channel: str
    rung_s: float = 0.0
    rings: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self, database: Database) -> None:
        """Note every ring until cancelled."""
        async with aclosing(database.notifications(self.channel)) as notes:
            async for _ in notes:
                async with self._changed:
                    self.rung_s = asyncio.get_running_loop().time()
                    self.rings += 1
                    self._changed.notify_all()

    async def next(self, after: int) -> float:
        """Wait until it has rung more than `after` times; return when it last did."""
        try:
            async with asyncio.timeout(NOTICE_TIMEOUT_S), self._changed:
                await self._changed.wait_for(lambda: self.rings > after)
        except TimeoutError as error:
            raise NothingHeardError(f"No notice on {self.channel} in time.") from error
        return self.rung_s


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one value took from hand to hand, in milliseconds."""

    indication_to_commit_ms: float
    commit_to_alert_ms: float
    alert_to_page_ms: float


@dataclass(slots=True)
class Findings:
    """What the check has seen so far; `fault` is why it could not go on.

    `measured` counts the measurements that a device was told to have arrived, `stored` the person's
    values in the database, `missing` what the gateway put in its outbox and the database lacks.
    """

    latencies: list[Latency] = field(default_factory=list)
    measured: int = 0
    stored: int = 0
    duplicates: int = 0
    missing: int = 0
    alerts: int = 0
    seen: int = 0
    fault: str | None = None

    def is_ok(self) -> bool:
        """Whether nothing was lost, nothing doubled, and every stage did its part."""
        nothing_lost = self.measured == self.stored > 0 and self.duplicates == self.missing == 0
        everyone_told = self.alerts == self.seen == len(TIMED)
        return self.fault is None and nothing_lost and everyone_told

    def report(self, seconds: float) -> str:
        """Return the report: one JSON object on one line."""
        names = ("indication_to_commit", "commit_to_alert", "alert_to_page")
        medians = {
            name: round(median(getattr(one, f"{name}_ms") for one in self.latencies), 1)
            if self.latencies
            else None
            for name in names
        }
        told = {
            "ok": self.is_ok(),
            "measured": self.measured,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "alerts": self.alerts,
            "seen": self.seen,
            "latency_ms": medians,
            "seconds": round(seconds, 1),
        }
        return json.dumps(told | ({"fault": self.fault} if self.fault else {}))


async def check(
    house: House, password: str, findings: Findings, *, say: Callable[[str], None]
) -> None:
    """Drive values through `house`, whose server and home run; what is found goes into `findings`.

    Raises HemmaError when a stage does not answer; `findings` then holds what came before.
    """
    commits, fired = Bell("hemma_inbox"), Bell("hemma_alert")
    async with (
        logged_in(house.base_url, "sjukskoterska", password) as nurse,
        asyncio.TaskGroup() as group,
    ):
        listening = [
            group.create_task(nurse.watch(), name="page"),
            group.create_task(commits.listen(house.database), name="commits"),
            group.create_task(fired.listen(house.database), name="alerts"),
        ]
        try:
            await nurse.until_listed()
            await _one(house, findings, *BEFORE)
            say("one value came through: every part answers")
            await _timed_values(house, nurse, commits, fired, findings)
            say(f"{findings.alerts} alerts on the nurse's page, taken, closed and seen at home")
            await _series(house, findings, say=say)
            await _count(house, findings)
            say(f"{findings.stored} of {findings.measured} values are stored, each once")
        finally:
            for task in listening:
                task.cancel()


async def _one(house: House, findings: Findings, device: str, values: Mapping[str, float]) -> float:
    confirmed_s = await house.the_home.measure(device, values)
    await _all_stored(house)
    findings.measured = house.the_home.delivered
    return confirmed_s


async def _all_stored(house: House) -> None:
    home = house.the_home
    await home.until(
        lambda: home.stored >= set(home.queued),
        timeout_s=DELIVERY_TIMEOUT_S,
        what="the server has committed everything",
    )


async def _timed_values(
    house: House, nurse: Nurse, commits: Bell, fired: Bell, findings: Findings
) -> None:
    home = house.the_home
    for device, values in TIMED:
        known, commit, alert = set(nurse.shown_s), commits.rings, fired.rings
        confirmed_s = await home.measure(device, values)
        committed_s = await commits.next(commit)
        fired_s = await fired.next(alert)
        alert_id = await nurse.new_alert(known)
        findings.alerts += 1
        findings.latencies.append(
            Latency(
                (committed_s - confirmed_s) * 1000,
                (fired_s - committed_s) * 1000,
                (nurse.shown_s[alert_id] - fired_s) * 1000,
            )
        )
        await _all_stored(house)
        await nurse.take(alert_id)
        await _seen_at_home(house, findings.seen + 1)
        findings.seen += 1
        await nurse.close(alert_id, Outcome.CONTACTED_NO_ACTION)
        findings.measured = home.delivered


async def _seen_at_home(house: House, values: int) -> None:
    home = house.the_home
    await home.until(
        lambda: len(home.seen) >= values, timeout_s=NOTICE_TIMEOUT_S, what="seen at home"
    )


async def _series(house: House, findings: Findings, *, say: Callable[[str], None]) -> None:
    """Measure on while the server is away, and wait until it has caught up."""
    home = house.the_home
    for number in range(SERIES):
        if number == SERVER_AWAY_AFTER:
            await house.stop_server()
            say(f"the server is stopped in the middle of a series, for {SERVER_AWAY_S:.0f} s")
        if number == SERVER_BACK_BEFORE:
            await asyncio.sleep(SERVER_AWAY_S)
            waiting = len(set(home.queued) - home.stored)
            say(f"{waiting} items (values, battery levels) wait at home; the server starts")
            await house.start_server()
            say("the server is back; the series goes on")
        await home.measure("cuff", {"systolic": 118 + number, "diastolic": 70, "pulse": 66})
    await _all_stored(house)
    findings.measured = home.delivered


async def _count(house: House, findings: Findings) -> None:
    async with house.database.transaction() as tx:
        copies = await copies_of(tx, house.the_home.queued)
    findings.measured = house.the_home.delivered
    findings.stored = sum(one.number > 0 and one.is_of_person for one in copies.values())
    findings.missing = sum(one.number == 0 for one in copies.values())
    findings.duplicates = sum(max(0, one.number - 1) for one in copies.values())
