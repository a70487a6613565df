"""A TaiDoc meter on a bad line, and the talk with it; no radio and no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices.conversation.commands import Keep, Moment, NoteEvent, NoteSequence, WriteValue
from devices.gatt.taidoc import CHARACTERISTIC
from devices.vendor import taidoc_meter
from devices.vendor.exchange import Exchange, Step, Steps
from devices.vendor.taidoc import Reading
from devices.vendor.taidoc_meter import Stored

NOW = datetime(2026, 11, 22, 8, 15, 40)  # noqa: DTZ001 - a device has no zone

Fault = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


def whole(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return frames


def silent(_frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return ()


def spoilt(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(frame[:-1] + bytes((frame[-1] ^ 0x10,)) for frame in frames)


def twice(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (*frames, *frames)


@dataclass
class Meter:
    """Answers as a meter does; ``faults`` are used up one a question, then the line is good.

    A question that reaches the meter ``late`` is answered with the one after it.
    """

    records: list[Stored]
    model: str = "3128"
    clock: datetime | None = NOW
    faults: Sequence[Fault] = ()
    questions: list[bytes] = field(default_factory=list)
    _faults: deque[Fault] = field(default_factory=deque)
    _held: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self._faults.extend(self.faults)

    def answers(self, request: bytes) -> tuple[bytes, ...]:
        self.questions.append(request)
        frames = taidoc_meter.answers(
            request, model=self.model, clock=self.clock, records=self.records
        )
        self.clock = taidoc_meter.clock_set_by(request) or self.clock
        fault = self._faults.popleft() if self._faults else whole
        if fault is late:
            self._held = frames
            return ()
        held, self._held = self._held, ()
        return (*held, *fault(frames))


def late(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    raise AssertionError("the meter holds these back itself")


@dataclass
class Told:
    """What an exchange asked for in one link."""

    kept: list[bytes]
    events: list[str]
    sequences: list[NoteSequence]
    others: list[Step]
    seconds: int


def after(told: Told, before: Reading | None = None) -> Reading:
    """Return the exchange of the next link: it knows what the last note said."""
    if told.sequences:
        return Reading(told.sequences[-1].number, told.sequences[-1].proof)
    return Reading() if before is None else Reading(before.number, before.proof)


def link(
    exchange: Exchange,
    meter: Meter,
    *,
    seconds_max: int = 600,
    local: datetime | None = NOW,
    lost_after: int | None = None,
) -> Told:
    """Hold a link until the exchange is done, or ``lost_after`` questions; returns what it did."""
    told = Told([], [], [], [], 0)
    waiting: deque[bytes] = deque()

    def take(steps: Steps, at: Moment) -> None:
        for step in steps:
            match step:
                case WriteValue(characteristic, raw):
                    assert characteristic == CHARACTERISTIC
                    waiting.extend(meter.answers(raw))
                    take(exchange.written(characteristic, True, at), at)
                case Keep(_, raw):
                    told.kept.append(raw)
                case NoteEvent(what, _):
                    told.events.append(what)
                case NoteSequence():
                    told.sequences.append(step)
                case _:
                    told.others.append(step)

    def moment() -> Moment:
        return Moment(
            float(told.seconds), None if local is None else local + timedelta(seconds=told.seconds)
        )

    take(exchange.begin(moment()), moment())
    while not exchange.is_done:
        if lost_after is not None and len(meter.questions) > lost_after:
            break
        if waiting:
            take(exchange.heard(CHARACTERISTIC, waiting.popleft(), moment()), moment())
            continue
        told.seconds += 1
        assert told.seconds < seconds_max, "an exchange ends by itself"
        take(exchange.tick(moment()), moment())
    return told
