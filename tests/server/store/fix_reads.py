"""Two people's invented values, written as ingest would have, for the tests of what is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from devices.kinds import KINDS
from devices.wire import WireSample
from server.store.database import Database, Transaction
from server.store.items import ReceivedItem, keep
from server.store.patients import Reach
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure

SYSTOLIC = KINDS["blood_pressure"].named("systolic").number
DIASTOLIC = KINDS["blood_pressure"].named("diastolic").number
PULSE = KINDS["blood_pressure"].named("pulse").number
SUMMER, WINTER = date(2026, 3, 29), date(2026, 10, 25)  # Stockholm's days of 23 and 25 hours


def at(text: str) -> datetime:
    """Return a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Shelf:
    """A database with a home, and values put into it."""

    database: Database
    home: Home
    seqs: count[int] = field(default_factory=lambda: count(1))

    @property
    def reach(self) -> Reach:
        """Return who may see the home's unit."""
        return Reach(unit_id=self.home.unit, provider_id=1)

    async def put(self, time: datetime, systolic: float | str = 128.0, **changes: Any) -> str:
        """Keep a blood pressure; a string instead of the number is why there is none."""
        if isinstance(systolic, str):
            samples = (_absent(systolic), *pressure(1).samples[1:])
            changes.setdefault("samples", samples)
            systolic = 0.0
        item = pressure(next(self.seqs), at=time, systolic=systolic, **changes)
        async with self.database.transaction() as tx:
            received = ReceivedItem(item, self.home.gateway, GATEWAY, BOOT)
            await keep(tx, [received], stored_at=max(NOON, time + timedelta(seconds=1)))
        return item.uid

    async def put_many(self, number: int = 120) -> None:
        """Keep values of six days, some of which do not count."""
        random = Random(7)  # noqa: S311 - invented values
        await self.bind_from(NOON - timedelta(days=60))
        uids = []
        for _ in range(number):
            time = NOON - timedelta(minutes=random.randrange(0, 60 * 24 * 6))
            flags = random.choice(((), (), (), ("testing",)))
            systolic = random.choice(("pos_inf", float(random.randrange(90, 200))))
            uids.append(await self.put(time, systolic, flags=flags))
        for uid in random.sample(uids, number // 10):
            await self.put(NOON, type="retract", of=uid, why="not_me")

    async def bind_from(self, since: datetime) -> None:
        """Let the cuff be the patient's from that time on."""
        async with self.database.transaction() as tx:
            await tx.execute(
                "UPDATE binding SET valid = tstzrange(%s, NULL) FROM device"
                " WHERE device.id = device_id AND device.name = %s",
                (since, CUFF),
            )


def _absent(reason: Any) -> WireSample:
    return WireSample("150021", None, "mm[Hg]", reason)


async def explained(tx: Transaction, statement: str, wanted: Mapping[str, object]) -> str:
    """Return the plan of a statement where a sequential scan is not to be had."""
    await tx.execute("SET LOCAL enable_seqscan = off")
    cursor = await tx.execute(f"EXPLAIN {statement}".encode(), wanted)
    return "\n".join(line for (line,) in await cursor.fetchall())
