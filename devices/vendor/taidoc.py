"""TaiDoc and Fora meters: ask for the model, the clock and every record that is new.

A meter answers one question at a time. The order:

1. model: without it no record can be read;
2. clock, noted before it is corrected;
3. how many records there are;
4. the times of the records, newest first, back to the last one known;
5. time and value of each new one, oldest first, so that their times go forward as they are kept;
   each record is kept the moment it is complete, its three answers as they came. Where the time
   is no longer the one of step 4 a measurement came in between and moved the places of all: then
   the next link reads on;
6. the clock is set, where it is wrong and ours is known. Never earlier: meters are told of that
   then no longer answer for their memory;
7. the meter is switched off, or it would advertise until its own time is up.

A question that is not answered within ANSWER_S, or with a wrong sum, is asked again, TRIES_MAX
times in all; then the exchange ends and says that records may be missing. What was kept stays
noted, so the next link goes on from there. Nothing is deleted on the meter.

An answer does not say which record it is about. So no two questions of one sort follow each
other, and after a question that was asked twice stands another one, a fence: a second answer to
the old question comes before the answer to the new one, and is known by its sort for a stray.

Meters number nothing. The place of a record is its minute since 2000 times 16, plus how many of
that minute came before it, and the last place is what :class:`NoteSequence` remembers. A newest
record before it means that the meter's clock went back: then all is read anew, and the gateway
recognises what it has.

Sources: as in :mod:`devices.gatt.taidoc`; that the clock is set last, that the meter says READY by
itself and wants the question again, and that an echo of the question may come: a public session for
the TD-4277, Td4277Session.kt (package pl.cardioscp.rehab.ble). Tried on hardware: none.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices.conversation.commands import (
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
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
"""Records read in one link: four questions each, 0.1 to 0.2 s a question, within the link's limit
of a minute. A person measures a few times a day, so this is weeks."""
CLOCK_RIGHT_S = 90.0
"""A meter shows whole minutes; nearer than one and a half it is called right."""
PLACES_A_MINUTE = 16

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - a meter's clock has no zone
_Answer = tuple[Frame, bytes]
_Talk = Generator[Step | Frame, _Answer | None, None]
_Asking = Generator[Frame, _Answer | None, _Answer | None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record whose time is known: its index (0 is the newest), place and answer as it came."""

    index: int
    place: int | None
    raw_time: bytes


@dataclass(slots=True)
class Reading:
    """The :class:`~devices.vendor.exchange.Exchange` of one link with a meter.

    ``last_place`` is the number last noted for this meter, None where there was none.
    """

    last_place: int | None = None
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
        yield Frame(Command.TURN_OFF)

    def _answer(self, question: Frame, *, is_fenced: bool = False) -> _Asking:
        """Ask; returns the answer that is surely to this question, or None."""
        answer = yield question
        if answer is None or (self._tries == 1 and not is_fenced):
            return answer
        other = Command.CLOCK if question.command == Command.MODEL else Command.MODEL
        fence = yield Frame(other)
        return None if fence is None else answer

    def _records(self, raw_model: bytes) -> Generator[Step | Frame, _Answer | None, bool]:
        """Read what is new; returns whether the meter answered to the end."""
        count = yield from self._answer(Frame(Command.RECORD_COUNT))
        if count is None:
            yield NoteEvent("records_missing", "the meter does not say how many records it has")
            return False
        entries = yield from self._new_entries(int.from_bytes(count[0].body[:2], "little"))
        for entry in reversed(entries or []):
            time = yield from self._answer(_about(Command.RECORD_TIME, entry.index))
            if time is not None and time[1] != entry.raw_time:
                yield NoteEvent("records_missing", "the meter measured while it was read")
                return True
            question = _about(Command.RECORD_VALUE, entry.index)
            value = None if time is None else (yield from self._answer(question))
            if time is None or value is None:
                yield NoteEvent("records_missing", "the meter stopped answering within its records")
                return False
            yield Keep(CHARACTERISTIC, raw_model + time[1] + value[1])
            if entry.place is not None:
                yield NoteSequence(CHARACTERISTIC, entry.place)
        return entries is not None

    def _new_entries(
        self, count: int
    ) -> Generator[Step | Frame, _Answer | None, list[_Entry] | None]:
        """Return the records after the last known one, newest first; None: no answer."""
        heard: list[tuple[int, datetime | None, bytes]] = []
        last = self.last_place
        has_met_last = False
        for index in range(min(count, RECORDS_MAX)):
            answer = yield from self._answer(_about(Command.RECORD_TIME, index), is_fenced=True)
            if answer is None:
                yield NoteEvent("records_missing", "the meter stopped answering for its times")
                return None
            time = taidoc.read_stamp(answer[0].body).time
            is_of_last = time is not None and last is not None and _is_within(last, time)
            if has_met_last and not is_of_last:
                # Older, whatever they say: times are later here where the clock was set back since.
                break
            has_met_last |= is_of_last
            is_older = time is not None and last is not None and _end_of(time) <= last
            if is_older and index:
                break
            if is_older:
                yield NoteEvent("numbering_restarted", "the meter's clock went back")
                yield NoteSequence(CHARACTERISTIC, None)
                last = None
            heard.append((index, time, answer[1]))
        else:
            if count > RECORDS_MAX:
                left = count - RECORDS_MAX
                yield NoteEvent("records_missing", f"{left} older records stay in the meter")
        placed = _placed(heard)
        return [one for one in placed if one.place is None or last is None or one.place > last]

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


def _about(command: Command, index: int) -> Frame:
    return Frame(command, index.to_bytes(2, "little") + bytes(2))


def _minute(time: datetime) -> int:
    """Return the first place of the minute of ``time``."""
    return (time - _EPOCH) // timedelta(minutes=1) * PLACES_A_MINUTE


def _end_of(time: datetime) -> int:
    """Return the first place after the minute of ``time``."""
    return _minute(time) + PLACES_A_MINUTE


def _is_within(place: int, time: datetime) -> bool:
    return _minute(time) <= place < _end_of(time)


def _placed(heard: list[tuple[int, datetime | None, bytes]]) -> list[_Entry]:
    """Give each record its place; within a minute the oldest comes first."""
    entries: list[_Entry] = []
    earlier: dict[datetime, int] = {}
    for index, time, raw in reversed(heard):
        place = None
        if time is not None:
            place = _minute(time) + min(earlier.get(time, 0), PLACES_A_MINUTE - 1)
            earlier[time] = earlier.get(time, 0) + 1
        entries.append(_Entry(index, place, raw))
    return entries[::-1]
