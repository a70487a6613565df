"""A small meter with records, and a gateway that keeps them: to show that none is ever missed.

It answers as the Glucose Service and the Record Access Control Point prescribe, or a little worse:
not counting, not filtering, newest first, busy, counting wrongly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Event,
    HangUp,
    NoteEvent,
    NoteSequence,
    Notified,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
)
from devices.gatt import record_access
from devices.gatt.record_access import ByNumber, Count, Op, Operator, Request, Response, Result
from tests.devices.conversation.fix_script import ALL_METER, METER, at, glucose_record


@dataclass(frozen=True)
class Habits:
    """What a meter does its own way."""

    can_count: bool = True
    can_filter: bool = True
    knows_last: bool = True
    is_newest_first: bool = False
    counts_too_many: int = 0


@dataclass
class Meter:
    """Records by number; ``epoch`` counts the changes of batteries that began numbering anew."""

    habits: Habits = Habits()
    records: dict[int, bytes] = field(default_factory=dict)
    next_number: int = 1
    epoch: int = 0
    busy: int = 0

    def measure(self) -> None:
        self.records[self.next_number] = glucose_record(self.next_number, epoch=self.epoch)
        self.next_number = self.next_number + 1 & 0xFFFF

    def begin_anew(self) -> None:
        self.records.clear()
        self.next_number = 1
        self.epoch += 1

    def answer(self, raw: bytes) -> list[Event]:
        """What the meter says to a write to its control point, in order."""
        request = record_access.read(raw)
        assert isinstance(request, Request)
        if request.op is Op.ABORT:
            return [self._response(request, Result.SUCCESS)]
        if self.busy:
            self.busy -= 1
            return [self._response(request, Result.SERVER_BUSY)]
        if request.op is Op.COUNT_RECORDS and not self.habits.can_count:
            return [self._response(request, Result.OP_NOT_SUPPORTED)]
        chosen = self._chosen(request)
        if chosen is None:
            return [self._response(request, Result.OPERATOR_NOT_SUPPORTED)]
        if request.op is Op.COUNT_RECORDS:
            number = len(chosen) + self.habits.counts_too_many
            return [Notified("2A52", record_access.encode(Count(number)))]
        assert request.op is Op.REPORT_RECORDS
        if not chosen:
            return [self._response(request, Result.NO_RECORDS_FOUND)]
        if self.habits.is_newest_first:
            chosen.reverse()
        return [
            *(Notified("2A18", self.records[number]) for number in chosen),
            self._response(request, Result.SUCCESS),
        ]

    def _chosen(self, request: Request) -> list[int] | None:
        numbers = sorted(self.records)
        match request.operator:
            case Operator.ALL:
                return numbers
            case Operator.LAST:
                # The last one made, which after number 65535 is not the highest.
                return list(self.records)[-1:] if self.habits.knows_last else None
            case Operator.GREATER_OR_EQUAL if self.habits.can_filter:
                assert isinstance(request.records, ByNumber)
                assert request.records.minimum is not None
                minimum = request.records.minimum
                return [number for number in numbers if number >= minimum]
            case _:
                return None

    def _response(self, request: Request, result: Result) -> Event:
        return Notified("2A52", record_access.encode(Response(request.op, result)))


@dataclass
class Gateway:
    """What is kept at home, and what was noted for the next link."""

    kept: set[bytes] = field(default_factory=set)
    last: int | None = None
    proof: bytes | None = None
    events: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    def link(
        self, meter: Meter, *, breaks_after: int | None = None, full_from: int | None = None
    ) -> None:
        """Hold one link.

        It breaks after so many things said by the meter; the disk is full from such a record on.
        """
        conversation = Conversation(METER, self.last, proof=self.proof)
        commands = deque(conversation.handle(Connected(ALL_METER, bonded=True), at()))
        said: deque[Event] = deque()
        seconds, heard = 0.0, 0
        while not conversation.is_over:
            event: Event | None
            if commands:
                event = self._carry_out(commands.popleft(), meter, said)
            elif said and breaks_after is not None and heard >= breaks_after:
                event = Disconnected()
            elif said:
                is_full = full_from is not None and heard >= full_from
                event = self._heard(said.popleft(), is_full=is_full)
                heard += 1
            else:
                seconds += 1
                event = Tick()
            if event is not None:
                commands.extend(conversation.handle(event, at(seconds)))
        for command in commands:
            self._carry_out(command, meter, said)

    def _heard(self, event: Event, *, is_full: bool) -> Event:
        if not isinstance(event, Notified) or event.characteristic != "2A18":
            return event
        if is_full:
            return Notified(event.characteristic, event.raw, kept=False)
        self.kept.add(event.raw)
        return event

    def _carry_out(self, command: Command, meter: Meter, said: deque[Event]) -> Event | None:
        match command:
            case Subscribe(characteristic):
                return Subscribed(characteristic, ok=True)
            case WriteValue(characteristic, raw):
                self.requests.append(raw)
                said.extend(meter.answer(raw))
                return Written(characteristic, ok=True)
            case NoteSequence(_, number, proof):
                self.last, self.proof = number, proof
            case NoteEvent(what, _):
                self.events.append(what)
            case HangUp():
                return Disconnected()
            case _:
                raise AssertionError(f"a meter is not asked for {command}")
        return None
