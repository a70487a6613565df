"""Stored records on request: the device's side of the Record Access Control Point (2A52).

A meter keeps its records and sends those that are asked for; nothing it sent is deleted. Which a
record is, its number says: a sequence number, or minutes since a sensor's session began. What is
measured while somebody listens is notified at once.

Answers follow the Glucose Service 1.0.1, 3.4: an unknown op code or operator is named in the
response; a second procedure while one runs is refused at the write (0xFE); a write without the
indications subscribed to as well (0xFD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from bumble.att import ATT_Error

from devices.errors import DecodeError
from devices.gatt import record_access
from devices.gatt.record_access import (
    ByNumber,
    ByTime,
    Count,
    Op,
    Operator,
    Request,
    Response,
    Result,
)
from devices.virtual.behaviour import Record
from devices.virtual.design import Values, also
from devices.virtual.visit import CHANGED

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

CONTROL_POINT = record_access.CHARACTERISTIC
ATT_IN_PROGRESS, ATT_IMPROPERLY_CONFIGURED = 0xFE, 0xFD
MEMORY_MAX = 500
NUMBER_MAX = 0xFFFF
ASKED_WITHIN_S = 30.0
"""How long a meter waits for the first request."""
NEW = "new"
"""Among a visit's requests: a record was measured meanwhile."""


@dataclass(slots=True)
class RecordServer:
    """The behaviour of glucose meters and sensors.

    ``memory`` holds all records, oldest first. ``packs`` puts several records in one value, as
    sensors do. ``numbered_by`` numbers a record by its time stamp, where it is no sequence.
    ``others`` are control points beside this one, with what answers at each.
    """

    device: VirtualDevice
    packs: bool = False
    numbered_by: Callable[[datetime | None], int] | None = None
    others: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    undelivered: list[Record] = field(default_factory=list)
    memory: list[Record] = field(default_factory=list)
    next_number: int = 1
    _told: set[int] = field(default_factory=set)
    _is_reporting: bool = False
    _is_aborted: bool = False

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Keep a value under the next number."""
        if self.device.faults.numbering_restarted:
            self.device.switch_off("numbering_restarted")
            self.restart()
        numbered = {**values, "number": self._number(stamp)}
        design = self.device.design
        record = Record(
            design.encode(numbered, stamp),
            also(design, numbered, stamp),
            number=int(numbered["number"]),
        )
        self._told.discard(record.number)
        self.memory.append(record)
        del self.memory[:-MEMORY_MAX]
        self.undelivered.append(record)
        if self.device.visit is not None:
            self.device.visit.ask(NEW, b"")
        return record

    def _number(self, stamp: datetime | None) -> int:
        """Take the next number; after the last one it begins anew."""
        if self.numbered_by is not None:
            return self.numbered_by(stamp)
        number = self.next_number
        self.next_number = (number + 1) & NUMBER_MAX
        return number

    def restart(self) -> None:
        """Forget all records and number from the beginning."""
        self.memory.clear()
        self.undelivered.clear()
        self._told.clear()
        self.next_number = 1

    def read(self, _uuid: str) -> bytes | None:
        """Return None: what a meter lets read is always the same."""
        return None

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take a request; refuse it where nobody subscribed to the answers."""
        if uuid != CONTROL_POINT and uuid not in self.others:
            return False
        if not visit.is_subscribed(uuid):
            raise ATT_Error(ATT_IMPROPERLY_CONFIGURED)
        if uuid == CONTROL_POINT and self._is_reporting:
            if raw[:1] != bytes((Op.ABORT,)):
                raise ATT_Error(ATT_IN_PROGRESS)
            self._is_aborted = True
        else:
            visit.ask(uuid, raw)
        return True

    async def serve(self, visit: Visit) -> None:
        """Answer requests until none comes any more."""
        within_s = ASKED_WITHIN_S
        while (asked := await visit.request(within_s)) is not None:
            uuid, raw = asked
            if uuid == CHANGED:
                continue
            await visit.speak()
            if uuid == NEW:
                await self._tell_new(visit)
            elif uuid in self.others:
                await visit.indicate(uuid, self.others[uuid](raw))
            else:
                await self._answer(visit, raw)
            within_s = self.device.design.hang_up_after_s

    async def _answer(self, visit: Visit, raw: bytes) -> None:
        self._is_reporting, self._is_aborted = True, False
        try:
            sent, answer = await self._carry_out(visit, raw)
        finally:
            self._is_reporting = False
        await visit.indicate(CONTROL_POINT, record_access.encode(answer))
        for record in sent:
            # The answer's confirmation is the only one there is for what was notified before it.
            self.device.confirm(record)
            if record in self.undelivered:
                self.undelivered.remove(record)

    async def _tell_new(self, visit: Visit) -> None:
        uuid = self.device.design.measurement
        if self.undelivered and visit.is_subscribed(uuid):
            record = self.undelivered.pop()
            await visit.notify_records(uuid, [record])
            record.delivered = True

    async def _carry_out(self, visit: Visit, raw: bytes) -> tuple[list[Record], Response | Count]:
        request = _read(raw)
        if isinstance(request, Response):
            return [], request
        faults = self.device.faults
        if faults.is_busy:
            return [], Response(request.op, Result.SERVER_BUSY)
        if faults.cannot_filter and request.operator is not Operator.ALL:
            return [], Response(request.op, Result.OPERATOR_NOT_SUPPORTED)
        if isinstance(request.records, ByTime):
            return [], Response(request.op, Result.OPERAND_NOT_SUPPORTED)
        if request.operator is Operator.GREATER_OR_EQUAL and request.records is not None:
            self._has_all_before(request.records.minimum or 0)
        chosen = _chosen(self.memory, request.operator, request.records)
        if request.op is Op.COUNT_RECORDS:
            return [], Count(len(chosen))
        if not chosen:
            return [], Response(request.op, Result.NO_RECORDS_FOUND)
        sent = await self._report(visit, chosen[: max(0, len(chosen) - faults.withholds_records)])
        if self._is_aborted:
            return sent, Response(Op.ABORT, Result.SUCCESS)
        return sent, Response(request.op, Result.SUCCESS)

    def _has_all_before(self, number: int) -> None:
        """Who asks from a number on has what it was told before it, whatever was confirmed.

        What was never told it cannot have: it asks by the numbers from before they began anew.
        """
        has = [one for one in self.undelivered if one.number < number and one.number in self._told]
        for record in has:
            record.delivered = True
            self.undelivered.remove(record)

    async def _report(self, visit: Visit, records: list[Record]) -> list[Record]:
        sent: list[Record] = []
        uuid = self.device.design.measurement
        while len(sent) < len(records):
            if self._is_aborted and not self.device.faults.aborts_late:
                break
            some = self._that_fit(records[len(sent) :], visit.room_bytes)
            await visit.notify_records(uuid, some)
            self._told |= {record.number for record in some}
            sent += some
        if self.device.faults.lose_confirmation:
            self.device.switch_off("lose_confirmation")
            await visit.lose()
        return sent

    def _that_fit(self, records: list[Record], room_bytes: int) -> list[Record]:
        some, taken = records[:1], len(records[0].raw)
        for record in records[1:] if self.packs else ():
            taken += len(record.raw)
            if taken > room_bytes:
                break
            some.append(record)
        return some


def _read(raw: bytes) -> Request | Response:
    """Return what ``raw`` asks for, or what to answer where it cannot be served."""
    op = raw[0] if raw else 0
    if op == Op.ABORT:
        # Nothing runs, so nothing has to be stopped.
        return Response(Op.ABORT, Result.SUCCESS)
    if op not in (Op.REPORT_RECORDS, Op.COUNT_RECORDS):
        return Response(op, Result.OP_NOT_SUPPORTED)
    if len(raw) < 2 or raw[1] == Operator.NULL:
        return Response(op, Result.INVALID_OPERATOR)
    if raw[1] > Operator.LAST:
        return Response(op, Result.OPERATOR_NOT_SUPPORTED)
    try:
        request = record_access.read(raw)
    except DecodeError:
        return Response(op, Result.INVALID_OPERAND)
    assert isinstance(request, Request), "the op code is a request's"
    return request


def _chosen(records: list[Record], operator: Operator, which: ByNumber | None) -> list[Record]:
    match operator:
        case Operator.FIRST:
            return records[:1]
        case Operator.LAST:
            return records[-1:]
        case Operator.ALL:
            return list(records)
    assert which is not None, "the operators left have an operand"
    low = 0 if which.minimum is None else which.minimum
    high = NUMBER_MAX if which.maximum is None else which.maximum
    return [record for record in records if low <= record.number <= high]
