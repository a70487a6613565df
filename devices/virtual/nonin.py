"""A Nonin 3230: a frame each second while a finger is in, qualified after some; no clock."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from devices.gatt import nonin_oximetry
from devices.gatt.nonin_oximetry import CHARACTERISTIC, CONTROL_POINT, Frame
from devices.vendor.nonin import MEASUREMENT_COMPLETE
from devices.virtual.behaviour import Record
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import NOTIFY, Design, Properties, Slot, Table, Values

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

EARLY_TICKS = 3
"""How many seconds its estimate stays early."""
TICKS = 10
"""How many seconds the finger stays in where ``ticks`` does not say."""
_EARLY = ~nonin_oximetry.SMARTPOINT


def encode(values: Values, _stamp: datetime | None) -> bytes:
    """The spot-check that these values make; takes ``spo2``, ``pulse``, ``perfusion_index``."""
    return nonin_oximetry.encode_spot_check(_frame(values, EARLY_TICKS + 1))


def _frame(values: Values, counter_s: int) -> Frame:
    spo2, pulse = (values.get(name, math.nan) for name in ("spo2", "pulse"))
    return Frame(
        None if math.isnan(spo2) else round(spo2),
        None if math.isnan(pulse) else round(pulse),
        counter_s,
        amplitude_percent=round(values.get("perfusion_index", 3.0), 2),
    )


@dataclass(slots=True)
class OnFinger:
    """The behaviour of an oximeter that sends while a finger is in; what nobody heard is gone."""

    device: VirtualDevice
    undelivered: list[Record] = field(default_factory=list)
    _to_come: list[Frame] = field(default_factory=list)
    _is_complete: bool = False

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Put a finger in, for ``ticks`` seconds."""
        ticks = int(values.get("ticks", TICKS))
        frames = [_frame(values, second) for second in range(ticks)]
        early = [replace(one, status=one.status & _EARLY) for one in frames[:EARLY_TICKS]]
        out = Frame(None, None, ticks, status=nonin_oximetry.SEARCHING)
        self._to_come = [*early, *frames[EARLY_TICKS:], out]
        self._is_complete = False
        record = Record(self.device.design.encode(values, stamp))
        self.undelivered[:] = [record]
        return record

    def read(self, _uuid: str) -> bytes | None:
        """Return None: nothing of it is read."""
        return None

    def write(self, uuid: str, raw: bytes, _visit: Visit) -> bool:
        """Take that the measurement is complete."""
        if uuid != CONTROL_POINT:
            return False
        self._is_complete = self._is_complete or raw == MEASUREMENT_COMPLETE
        return True

    async def serve(self, visit: Visit) -> None:
        """Send each second until it is told that it is enough, or the finger is out."""
        await visit.subscribed(CHARACTERISTIC)
        while self._to_come and not self._is_complete:
            raw = nonin_oximetry.encode(self._to_come.pop(0))
            await visit.notify_records(CHARACTERISTIC, [Record(raw)])
            await asyncio.sleep(self.device.design.interval_s)
        for record in self.undelivered:
            record.delivered = True
        self.undelivered.clear()
        await asyncio.sleep(self.device.design.hang_up_after_s)


NONIN_OXIMETER = Design(
    model="Virtual 3230",
    profile="nonin-3230",
    kinds=("pulse_oximetry", "battery"),
    local_name="Nonin3230_0",
    manufacturer=VIRTUAL,
    service=nonin_oximetry.SERVICE,
    tables=(
        Table(
            nonin_oximetry.SERVICE,
            (Slot(CHARACTERISTIC, NOTIFY), Slot(CONTROL_POINT, Properties.WRITE)),
        ),
    ),
    measurement=CHARACTERISTIC,
    encode=encode,
    behaviour=OnFinger,
    must_bond=True,
    has_clock=False,
)
