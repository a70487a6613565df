"""A TaiDoc cuff: says nothing unasked, and answers its maker's questions about what it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from devices.gatt import taidoc, taidoc_record
from devices.gatt.taidoc import Command
from devices.vendor import taidoc_meter
from devices.vendor.taidoc_meter import Stored
from devices.virtual.behaviour import Record
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import NOTIFY, Design, Properties, Slot, Table, Values

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

MODEL = "3128"
MEMORY_MAX = 200
ASKED_WITHIN_S = 30.0
"""How long a meter waits for the first question."""
ASKED_AGAIN_WITHIN_S = 5.0
"""How long it waits for each further one."""
_BODY = slice(2, 6)


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A record as it is read from the cuff: its three answers about one measurement.

    Takes ``systolic``, ``diastolic``, ``mean``, ``pulse`` and ``irregular_pulse``; a value that is
    NaN is a measurement that failed.
    """
    told = [values.get(name, math.nan) for name in ("systolic", "diastolic")]
    if any(math.isnan(one) for one in told):
        return taidoc_record.encode(MODEL, taidoc.encode_stamp(stamp), bytes(4))
    record = taidoc_meter.pressure(
        stamp,
        systolic_mmhg=round(told[0]),
        diastolic_mmhg=round(told[1]),
        pulse_bpm=round(values.get("pulse", 70)),
        mean_mmhg=round(values["mean"]) if "mean" in values else None,
        is_irregular=bool(values.get("irregular_pulse")),
    )
    time = taidoc.encode_stamp(record.time, record.minute_bits, record.hour_bits)
    return taidoc_record.encode(MODEL, time, record.value)


@dataclass(slots=True)
class Answering:
    """The behaviour of meters that must be asked. What was asked for stays in the memory.

    What was told counts as delivered when the meter is switched off: only then is it read through.
    """

    device: VirtualDevice
    undelivered: list[Record] = field(default_factory=list)
    memory: list[Record] = field(default_factory=list)
    _told: list[Record] = field(default_factory=list)

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Keep a value; the oldest goes where the memory is full."""
        is_set = not self.device.faults.clock_absent
        record = Record(self.device.design.encode(values, stamp if is_set else None))
        self.memory.append(record)
        del self.memory[:-MEMORY_MAX]
        self.undelivered.append(record)
        return record

    def read(self, _uuid: str) -> bytes | None:
        """Return None: a meter is asked by writing."""
        return None

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take a question."""
        if uuid != taidoc.CHARACTERISTIC:
            return False
        visit.requests.put_nowait((uuid, raw))
        return True

    async def serve(self, visit: Visit) -> None:
        """Answer until it is switched off or asked no more."""
        await visit.subscribed(taidoc.CHARACTERISTIC)
        within_s = ASKED_WITHIN_S
        while (asked := await visit.request(within_s)) is not None:
            raw = asked[1]
            for frame in self._answers(raw):
                await self._tell(visit, raw, frame)
            if raw[1:2] == bytes((Command.TURN_OFF,)):
                self._deliver()
                return
            within_s = ASKED_AGAIN_WITHIN_S

    def _answers(self, raw: bytes) -> tuple[bytes, ...]:
        faults, clock = self.device.faults, self.device.clock
        told = taidoc_meter.clock_set_by(raw)
        if told is not None:
            if faults.refuses_clock:
                return ()
            clock.set(told)
        return taidoc_meter.answers(
            raw,
            model=MODEL,
            clock=None if faults.clock_absent else clock.now(),
            records=[_stored(record.raw) for record in self.memory],
        )

    async def _tell(self, visit: Visit, raw: bytes, frame: bytes) -> None:
        if frame[1] != Command.RECORD_VALUE:
            await visit.notify(taidoc.CHARACTERISTIC, frame)
            return
        index = int.from_bytes(raw[_BODY][:2], "little")
        record = self.memory[len(self.memory) - 1 - index]
        if record.delivered or any(record is one for one in self._told):
            # Asked for again, to know what is new by it.
            await visit.notify(taidoc.CHARACTERISTIC, frame)
            return
        await visit.notify_records(taidoc.CHARACTERISTIC, [Record(frame)])
        self._told.append(record)

    def _deliver(self) -> None:
        for record in self._told:
            record.delivered = True
        self.undelivered[:] = [record for record in self.undelivered if not record.delivered]
        self._told.clear()


def _stored(raw: bytes) -> Stored:
    """Return a record of three answers as the meter keeps it."""
    time, value = raw[taidoc.FRAME_BYTES :][_BODY], raw[2 * taidoc.FRAME_BYTES :][_BODY]
    stamp = taidoc.read_stamp(time)
    return Stored(stamp.time, value, stamp.minute_bits, stamp.hour_bits)


TAIDOC_CUFF = Design(
    model="Virtual TD-3128",
    profile="taidoc-fora",
    kinds=("blood_pressure", "battery"),
    local_name="TAIDOC TD3128",
    manufacturer=VIRTUAL,
    service=taidoc.SERVICE,
    tables=(Table(taidoc.SERVICE, (Slot(taidoc.CHARACTERISTIC, NOTIFY | Properties.WRITE),)),),
    measurement=taidoc.CHARACTERISTIC,
    encode=encode,
    behaviour=Answering,
)
