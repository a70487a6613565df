"""Stream by notification: a value at each interval for as long as it is worn and linked.

A strap keeps nothing: what is not heard is gone. One measurement here is some seconds of wearing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from devices.virtual.behaviour import Record
from devices.virtual.design import Values

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

TICKS = 5
"""How many values a measurement is where ``ticks`` does not say."""
SPREAD = {"heart_rate": 2.0, "pulse": 1.5, "spo2": 0.4}
"""How much a value varies from one second to the next (standard deviation)."""
PERCENT_MAX = 100.0


@dataclass(slots=True)
class Streaming:
    """The behaviour of heart-rate straps and continuous oximeters."""

    device: VirtualDevice
    undelivered: list[Record] = field(default_factory=list)
    _to_come: list[bytes] = field(default_factory=list)
    _count: int = 0

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Wear it: ``ticks`` values around ``values``. What nobody heard of before is gone."""
        self._count += 1
        rng = random.Random(f"{self.device.address}-{self._count}")
        ticks = int(values.get("ticks", TICKS))
        encode = self.device.design.encode
        self._to_come = [encode(_varied(values, rng, tick), stamp) for tick in range(ticks)]
        record = Record(self._to_come[0])
        self.undelivered[:] = [record]
        return record

    def read(self, _uuid: str) -> bytes | None:
        """Return None: nothing of a stream is read."""
        return None

    def write(self, _uuid: str, _raw: bytes, _visit: Visit) -> bool:
        """Return False: nothing is asked of a stream."""
        return False

    async def serve(self, visit: Visit) -> None:
        """Notify at each interval once somebody subscribed."""
        uuid = self.device.design.measurement
        await visit.subscribed(uuid)
        while self._to_come:
            raw = self._to_come.pop(0)
            await visit.notify_records(uuid, [Record(raw)])
            await asyncio.sleep(self.device.design.interval_s)
        for record in self.undelivered:
            record.delivered = True
        self.undelivered.clear()
        await asyncio.sleep(self.device.design.hang_up_after_s)


def _varied(values: Values, rng: random.Random, tick: int) -> Values:
    varied = {
        name: value + rng.gauss(0, SPREAD[name]) if name in SPREAD and tick else value
        for name, value in values.items()
    }
    if "spo2" in varied:
        varied["spo2"] = min(PERCENT_MAX, varied["spo2"])
    return varied
