"""TaiDoc and Fora meters: ask for the model, the clock and every record that is new.

A meter answers one question at a time. The order:

1. model: without it no record can be read;
2. clock, noted before it is corrected;
3. how many records there are;
4. time and value of the newest one, and of the ones known already, until those are found;
5. time and value of each one that came since, oldest first, so that their times go forward as they
   are kept. A few are read, then count and newest record once more: where these have changed a
   measurement came in between and moved the places of all. Then the few are read again, else kept,
   their three answers as they came;
6. the clock is set, where it is wrong and ours is known. Never earlier: meters are told of that
   then no longer answer for their memory;
7. the battery may be read, and the meter is switched off, or it would advertise until its own time
   is up.

A question that is not answered within ANSWER_S, or with a wrong sum, is asked again, TRIES_MAX
times in all; then the exchange ends and says that records may be missing. What was kept stays
noted, so the next link goes on from there. Nothing is deleted on the meter.

An answer does not say which record it is about. So no two questions of one sort follow each
other, and after a question that was asked twice stands another one, a fence: a second answer to
the old question comes before the answer to the new one, and is known by its sort for a stray.

Meters number nothing, and their clocks go back or were never set. So a record is known by those
before it: :class:`NoteSequence` remembers how many records there were up to the last one kept, and
as its proof the last ones themselves. In the memory they stand as far back as the count has grown,
or further where the memory is full and the oldest went; where all agree as far as they reach, or
over two different minutes, everything newer is new. Where they stand nowhere the memory was
emptied: that is told, and all is read. Two things cannot be told apart by anybody: memories that
are full, without any time, and the same record for record.

Sources: as in :mod:`devices.gatt.taidoc`; that the clock is set last, that the meter says READY by
itself and wants the question again, and that an echo of the question may come: a public session for
the TD-4277, Td4277Session.kt (package pl.cardioscp.rehab.ble). Tried on hardware: none.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime

from devices.conversation.commands import (
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Pause,
    WriteValue,
)
from devices.errors import DecodeError
from devices.gatt import taidoc
from devices.gatt.taidoc import CHARACTERISTIC, Command, Frame
from devices.vendor.exchange import Step, Steps

ANSWER_S = 3.0
"""A meter answers within a connection interval or two; this is patient."""
TRIES_MAX = 3
RECORDS_MAX = 40
"""New records read in one link: three questions each, 0.1 to 0.2 s a question, within the link's
limit of a minute. A person measures a few times a day, so this is weeks."""
KNOWN_MAX = 16
"""How many of the last records are remembered, to find them again in the memory."""
TOGETHER = 8
"""Records that are read before it is looked whether the memory has moved."""
CLOCK_RIGHT_S = 90.0
"""A meter shows whole minutes; nearer than one and a half it is called right."""

_BODIES_BYTES = 8
_Answer = tuple[Frame, bytes]
_Talk = Generator[Step | Frame, _Answer | None, None]
_Asking = Generator[Frame, _Answer | None, _Answer | None]


class _NoAnswer(Exception):
    """The meter did not answer a question about its records; says what is missing by that."""


class _HasMoved(Exception):
    """The meter measured while it was read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept of a memory: how many records it held then, and the last of them, newest first.

    Each is the eight bytes that the meter told: four of the time, four of the value.
    """

    count: int = 0
    bodies: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, number: int | None, proof: bytes | None) -> _Known:
        """Read a note; nothing is known where it has no proof."""
        if number is None or not proof or len(proof) % _BODIES_BYTES:
            return cls()
        starts = range(0, len(proof), _BODIES_BYTES)
        return cls(number, tuple(proof[at : at + _BODIES_BYTES] for at in starts))

    def note(self) -> NoteSequence:
        return NoteSequence(CHARACTERISTIC, self.count, b"".join(self.bodies))


@dataclass(frozen=True, slots=True)
class _Record:
    """A record's two answers as they came, and what they say."""

    raw: bytes
    bodies: bytes


@dataclass(slots=True)
class _Memory:
    """A meter's memory in one reading: how many records it has, and those read, 0 the newest."""

    count: int
    read: dict[int, _Record] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """The :class:`~devices.vendor.exchange.Exchange` of one link with a meter.

    ``number`` and ``proof`` are those of the last :class:`NoteSequence` for this meter, None where
    there was none.
    """

    number: int | None = None
    proof: bytes | None = None
    is_done: bool = False
    _now: Moment = field(default_factory=lambda: Moment(0.0, None))
    _talk: _Talk | None = None
    _question: Frame | None = None
    _asked_s: float = 0.0
    _tries: int = 0

    def begin(self, now: Moment) -> Steps:
        """Ask the first question."""
        self._now = now
        self._talk = self._script()
        return self._go(None, is_first=True)

    def heard(self, characteristic: str, raw: bytes, now: Moment) -> Steps:
        """Take a frame; go on where it is the answer awaited, ask again where it is spoilt."""
        self._now = now
        if characteristic != CHARACTERISTIC or self._question is None:
            return ()
        try:
            frame = taidoc.read_frame(raw)
        except DecodeError:
            return self._ask_again()
        if frame.is_answer and frame.command == self._question.command:
            return self._go((frame, raw))
        if frame.is_answer and frame.command == Command.READY:
            return self._ask_again()
        # An echo of our own question, or a late answer to one that was asked again.
        return ()

    def written(self, characteristic: str, is_ok: bool, now: Moment) -> Steps:
        """Take the answer to a write; a question that was refused is asked again."""
        self._now = now
        return () if is_ok or self._question is None else self._ask_again()

    def tick(self, now: Moment) -> Steps:
        """Ask again what was not answered in time."""
        self._now = now
        if self._question is None or now.mono_s - self._asked_s < ANSWER_S:
            return ()
        return self._ask_again()

    def _ask_again(self) -> Steps:
        assert self._question is not None, "only a question that stands is asked again"
        if self._tries >= TRIES_MAX:
            return self._go(None)
        return (self._ask(self._question),)

    def _ask(self, question: Frame) -> WriteValue:
        self._tries = self._tries + 1 if question is self._question else 1
        self._question = question
        self._asked_s = self._now.mono_s
        return WriteValue(CHARACTERISTIC, taidoc.encode_frame(question))

    def _go(self, answer: _Answer | None, *, is_first: bool = False) -> Steps:
        """Go on with the script until it asks again; ``answer`` None: there was none."""
        assert self._talk is not None, "begin comes first"
        steps: list[Step] = []
        try:
            told = next(self._talk) if is_first else self._talk.send(answer)
            while not isinstance(told, Frame):
                steps.append(told)
                told = next(self._talk)
            steps.append(self._ask(told))
        except StopIteration:
            self._question = None
            self.is_done = True
        return tuple(steps)

    def _script(self) -> _Talk:
        """Say the steps above in order: a Frame is a question, the rest is handed on."""
        model = yield from self._answer(Frame(Command.MODEL))
        if model is None:
            yield NoteEvent("records_missing", "the meter does not say what model it is")
            return
        clock = yield from self._answer(Frame(Command.CLOCK))
        offset_s = self._offset_s(clock)
        if clock is not None and self._now.local is not None:
            yield NoteClock(offset_s)
        is_whole = yield from self._records(model[1])
        if is_whole and clock is not None:
            yield from self._set_clock(offset_s)
        yield Pause()
        yield Frame(Command.TURN_OFF)

    def _answer(self, question: Frame) -> _Asking:
        """Ask; returns the answer that is surely to this question, or None."""
        answer = yield question
        if answer is None or self._tries == 1:
            return answer
        other = Command.CLOCK if question.command == Command.MODEL else Command.MODEL
        fence = yield Frame(other)
        return None if fence is None else answer

    def _records(self, raw_model: bytes) -> Generator[Step | Frame, _Answer | None, bool]:
        """Read what is new; returns whether the meter answered to the end."""
        for _ in range(TRIES_MAX):
            try:
                yield from self._new_records(raw_model)
            except _NoAnswer as missing:
                yield NoteEvent("records_missing", f"the meter does not say {missing}")
                return False
            except _HasMoved:
                continue
            return True
        yield NoteEvent("records_missing", "the meter measured while it was read")
        return True

    def _new_records(self, raw_model: bytes) -> _Talk:
        memory = _Memory((yield from self._count()))
        if not memory.count:
            return
        yield from self._record(memory, 0)
        known = _Known.of(self.number, self.proof)
        found = yield from self._found(memory, known)
        if found is None and known.bodies:
            yield NoteEvent("numbering_restarted", "the last known record was not found")
        new = memory.count if found is None else found
        if new > RECORDS_MAX:
            yield NoteEvent("records_missing", f"{new - RECORDS_MAX} older records stay in it")
        if found is None or new > RECORDS_MAX:
            known = _Known()
        for end in range(min(new, RECORDS_MAX), 0, -TOGETHER):
            together = range(end - 1, max(0, end - TOGETHER) - 1, -1)
            for index in together:
                yield from self._record(memory, index)
            yield from self._stand_still(memory)
            for index in together:
                record = memory.read[index]
                bodies = (record.bodies, *known.bodies)[:KNOWN_MAX]
                known = _Known(memory.count - index, bodies[: memory.count - index])
                note = known.note()
                self.number, self.proof = note.number, note.proof
                yield Keep(CHARACTERISTIC, raw_model + record.raw)
                yield note

    def _found(
        self, memory: _Memory, known: _Known
    ) -> Generator[Step | Frame, _Answer | None, int | None]:
        """Return where the last known record stands, None where it does not, or too far back."""
        if not known.bodies:
            return None
        first = max(0, memory.count - known.count)
        for index in range(first, min(memory.count, first + RECORDS_MAX)):
            if (yield from self._stands_at(index, memory, known)):
                return index
        return None

    def _stands_at(
        self, index: int, memory: _Memory, known: _Known
    ) -> Generator[Step | Frame, _Answer | None, bool]:
        times: set[datetime] = set()
        for at, bodies in enumerate(known.bodies[: memory.count - index], index):
            record = yield from self._record(memory, at)
            if record.bodies != bodies:
                return False
            time = taidoc.read_stamp(bodies[:4]).time
            times |= set() if time is None else {time}
            if len(times) > 1:
                # While its clock goes forward no later record can follow on that same one.
                return True
        # A memory that shrank was emptied: without a time, what is equal in it need not be it.
        return memory.count >= known.count or bool(times)

    def _stand_still(self, memory: _Memory) -> _Talk:
        """Raise _HasMoved where a record came since ``memory`` was begun."""
        again = _Memory((yield from self._count()))
        newest = yield from self._record(again, 0)
        if again.count != memory.count or newest != memory.read[0]:
            raise _HasMoved

    def _count(self) -> Generator[Frame, _Answer | None, int]:
        answer = yield from self._answer(Frame(Command.RECORD_COUNT))
        if answer is None:
            raise _NoAnswer("how many records it has")
        return int.from_bytes(answer[0].body[:2], "little")

    def _record(self, memory: _Memory, index: int) -> Generator[Frame, _Answer | None, _Record]:
        """Return the record at ``index``, asking for it where it was not read yet."""
        if index in memory.read:
            return memory.read[index]
        answers = []
        for command in (Command.RECORD_TIME, Command.RECORD_VALUE):
            about = Frame(command, index.to_bytes(2, "little") + bytes(2))
            answer = yield from self._answer(about)
            if answer is None:
                raise _NoAnswer(f"what is in its record {index} of {memory.count}")
            answers.append(answer)
        (time, raw_time), (value, raw_value) = answers
        memory.read[index] = _Record(raw_time + raw_value, time.body + value.body)
        return memory.read[index]

    def _set_clock(self, offset_s: float | None) -> _Talk:
        if self._now.local is None:
            return
        if offset_s is not None and abs(offset_s) < CLOCK_RIGHT_S:
            return
        question = Frame(Command.SET_CLOCK, taidoc.encode_stamp(self._now.local))
        answer = yield from self._answer(question)
        if answer is None:
            yield NoteEvent("clock_refused", "the meter did not take the time")

    def _offset_s(self, clock: _Answer | None) -> float | None:
        told = None if clock is None else taidoc.read_stamp(clock[0].body).time
        if told is None or self._now.local is None:
            return None
        return (told - self._now.local.replace(second=0, microsecond=0)).total_seconds()
