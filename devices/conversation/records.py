"""Stored records (Record Access Control Point, 2A52): ask for what is not kept yet, miss nothing.

The order of asking, each answer deciding on the next:

1. *Count*, then *report*, the records after the last one kept; all of them where none is known, or
   where the device cannot filter. A device that cannot count is asked without.
2. The number alone proves little: after a change of batteries a meter counts from the beginning,
   and may already have passed the number that we know. So the last record kept is kept as *proof*
   and asked for again with those after it. If it is not there, or says something else, the
   numbering began anew: that is noted, and all records are asked for. Without a proof the first
   one asked for is last + 1, and where there is none the device's *last* record is compared.
3. Fewer records than were counted: asked for once more, then noted as missing.
4. The number is noted when the report is complete. Where the link ends before, only as far as the
   records came without a gap, so that the next link goes on from there.

A minute's number of a glucose sensor is proved by its session's start (``fixed_proof``); its
records are a step apart, so "without a gap" means the smallest step seen. Close to number 65535 the
filter is of no use and all are asked for. A busy device is asked again, three times a link; one
that says nothing for 30 s is left alone for this link. Nothing is deleted on a device, ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from devices.conversation.commands import (
    Command,
    Moment,
    NoteEvent,
    NoteSequence,
    WriteValue,
)
from devices.conversation.record_numbers import NUMBER_MAX, is_same_record, numbers_in
from devices.errors import DecodeError
from devices.gatt import record_access
from devices.gatt.record_access import ByNumber, Count, Op, Operator, Request, Response, Result
from devices.profiles.profile import Records

PROCEDURE_MAX_S = 30.0
"""A procedure without a sign of life for so long has failed (Glucose Profile 1.0.1)."""
ASK_AGAIN_S = 5.0
"""How long a device that was busy is left in peace."""
TRIES_MAX = 3
FILTERED_MAX = NUMBER_MAX - 0x100
"""Up to this number a device is asked for what came later. Above it the numbers may have begun
again, and the record that would show it, 65535, may have been deleted by a person."""

_CANNOT_FILTER = (
    Result.INVALID_OPERATOR,
    Result.OPERATOR_NOT_SUPPORTED,
    Result.INVALID_OPERAND,
    Result.OPERAND_NOT_SUPPORTED,
)
_BUSY = (Result.PROCEDURE_NOT_COMPLETED, Result.SERVER_BUSY)


@dataclass(slots=True)
class RecordAccess:
    """Asking one device for its records within one link.

    ``last`` is the number of the last :class:`NoteSequence` and ``proof`` what came with it;
    ``fixed_proof`` is set where something else than the record proves the numbering, and then the
    caller has compared it already. ``is_active`` while an answer is waited for.
    """

    records: Records
    last: int | None
    proof: bytes | None = None
    fixed_proof: bytes | None = None
    is_active: bool = False
    _can_filter: bool = True
    _request: Request | None = None
    _announced: int | None = None
    _received: dict[int, bytes] = field(default_factory=dict)
    _nameless: int = 0
    _tries: int = 0
    _is_second_time: bool = False
    _is_frozen: bool = False
    _heard_s: float = 0.0
    _again_s: float | None = None

    def begin(self, now: Moment) -> tuple[Command, ...]:
        """Ask for the first time."""
        self._can_filter = self.records.can_filter
        return self._ask(Op.COUNT_RECORDS, now)

    def heard(self, raw: bytes, now: Moment, *, is_kept: bool) -> None:
        """Take a record; after one that could not be kept none counts any more."""
        self._heard_s = now.mono_s
        self._is_frozen |= not is_kept
        if not self.is_active or self._is_frozen or self._op is not Op.REPORT_RECORDS:
            return
        numbers = numbers_in(self.records.record, raw)
        self._nameless += not numbers
        for number in numbers:
            self._received.setdefault(number, raw)

    def answered(self, raw: bytes, now: Moment) -> tuple[Command, ...]:
        """Take an indication of the control point."""
        if not self.is_active:
            return ()
        self._heard_s = now.mono_s
        try:
            message = record_access.read(raw)
        except DecodeError:
            return ()
        if isinstance(message, Count) and self._op is Op.COUNT_RECORDS:
            return self._counted(message.number, now)
        if isinstance(message, Response) and message.request == self._op:
            return self._responded(message.result, now)
        return ()

    def written(self, error: int | None, now: Moment, *, is_ok: bool) -> tuple[Command, ...]:
        """Take the answer to a request's write; ``error`` is the ATT error code where known."""
        if is_ok or not self.is_active or self._again_s is not None:
            return ()
        # Another procedure in progress, or a link that stumbled: either way, the same again later.
        code = "" if error is None else f", ATT error 0x{error:02X}"
        return self._later(f"the request was not accepted{code}", now)

    def tick(self, now: Moment) -> tuple[Command, ...]:
        """Ask again where it is time."""
        if not self.is_active or self._again_s is None or now.mono_s < self._again_s:
            return ()
        return self._send(now)

    def has_timed_out(self, now: Moment) -> bool:
        """Tell whether the device has been silent for longer than a procedure may take."""
        return self.is_active and now.mono_s - self._heard_s >= PROCEDURE_MAX_S

    def stop(self) -> tuple[Command, ...]:
        """End it from our side; returns what to note, and the abort."""
        if not self.is_active:
            return ()
        notes = self.gone()
        abort = record_access.encode(Request(Op.ABORT))
        return (*notes, WriteValue(self.records.control_point, abort))

    def gone(self) -> tuple[Command, ...]:
        """End it because the link is gone; returns what to note."""
        if not self.is_active:
            return ()
        self.is_active = False
        reached = self._reached()
        return () if reached is None or reached == self.last else (self._note(reached),)

    # --- asking --------------------------------------------------------------------------------

    @property
    def _op(self) -> Op | None:
        return None if self._request is None else self._request.op

    @property
    def _is_filtered(self) -> bool:
        return self._can_filter and self.last is not None and self.last < FILTERED_MAX

    @property
    def _is_proved_by_record(self) -> bool:
        return self._is_filtered and self.fixed_proof is None and self.proof is not None

    def _ask(self, op: Op, now: Moment, operator: Operator | None = None) -> tuple[Command, ...]:
        if operator is not None or not self._is_filtered:
            self._request = Request(op, operator or Operator.ALL)
        else:
            assert self.last is not None, "a filter needs a number"
            first = self.last if self._is_proved_by_record else self.last + 1
            self._request = Request(op, Operator.GREATER_OR_EQUAL, ByNumber(minimum=first))
        return self._send(now)

    def _send(self, now: Moment) -> tuple[Command, ...]:
        assert self._request is not None, "something is asked for"
        self.is_active = True
        self._heard_s = now.mono_s
        self._again_s = None
        raw = record_access.encode(self._request)
        return (WriteValue(self.records.control_point, raw),)

    def _later(self, why: str, now: Moment) -> tuple[Command, ...]:
        self._tries += 1
        if self._tries >= TRIES_MAX:
            return self._refused(why)
        self._again_s = now.mono_s + ASK_AGAIN_S
        return ()

    def _refused(self, why: str) -> tuple[Command, ...]:
        return (*self.gone(), NoteEvent("records_refused", f"stored records: {why}"))

    def _ask_for_all(self, now: Moment) -> tuple[Command, ...]:
        self._received.clear()
        self._nameless = 0
        self._is_second_time = False
        return self._ask(Op.COUNT_RECORDS, now)

    def _restarted(self, why: str, now: Moment) -> tuple[Command, ...]:
        self.last = self.proof = None
        return (
            NoteEvent("numbering_restarted", why),
            NoteSequence(self.records.record, None),
            *self._ask_for_all(now),
        )

    # --- answers -------------------------------------------------------------------------------

    def _counted(self, number: int, now: Moment) -> tuple[Command, ...]:
        self._announced = number
        return self._ask(Op.REPORT_RECORDS, now) if number else self._nothing(now)

    def _responded(self, result: int, now: Moment) -> tuple[Command, ...]:
        assert self._request is not None, "only what was asked is answered"
        is_last = self._request.operator is Operator.LAST
        if result == Result.NO_RECORDS_FOUND:
            return self._end() if is_last else self._nothing(now)
        if result in _BUSY:
            return self._later(f"the device is busy, result {result}", now)
        if result in _CANNOT_FILTER and (is_last or self._is_filtered):
            self._can_filter = False
            return self._ask_for_all(now)
        if self._op is Op.COUNT_RECORDS:
            # It cannot count; what it has is asked for all the same.
            self._announced = None
            return self._ask(Op.REPORT_RECORDS, now)
        if result != Result.SUCCESS:
            return self._refused(f"result {result}")
        return self._compared(now) if is_last else self._completed(now)

    def _nothing(self, now: Moment) -> tuple[Command, ...]:
        """No record that high: nothing new, or numbers that began anew below it."""
        if not self._is_filtered or self.fixed_proof is not None:
            return self._end()
        self._received.clear()
        return self._ask(Op.REPORT_RECORDS, now, Operator.LAST)

    def _compared(self, now: Moment) -> tuple[Command, ...]:
        if not self._received:
            return self._end()
        assert self.last is not None, "only a known number is compared"
        newest, raw = max(self._received.items())
        if newest < self.last or (newest == self.last and not self._is_proof(raw)):
            return self._restarted(f"the last record is number {newest}, not {self.last}", now)
        if newest > self.last:
            # There are later ones, whatever the device said of them.
            self._can_filter = False
            return self._ask_for_all(now)
        return self._end()

    def _completed(self, now: Moment) -> tuple[Command, ...]:
        if self._is_proved_by_record:
            assert self.last is not None, "what is proved has a number"
            found = self._received.get(self.last)
            if found is None or not self._is_proof(found):
                return self._restarted(f"record {self.last} is not the one that is kept", now)
        missing = (self._announced or 0) - len(self._received) - self._nameless
        if missing > 0 and not self._is_second_time:
            self._is_second_time = True
            self._nameless = 0
            return self._ask(Op.REPORT_RECORDS, now)
        was_filtered = self._is_filtered
        notes: list[Command] = []
        if missing > 0:
            # Passed over from now on: a device that counts wrongly would be read for ever.
            notes.append(NoteEvent("records_missing", f"{missing} of {self._announced} records"))
        newest = max(self._received, default=None)
        if newest is not None and newest != self.last:
            notes.append(self._note(newest))
        if was_filtered and not self._is_filtered:
            return (*notes, *self._ask_for_all(now))
        return (*notes, *self._end())

    def _end(self) -> tuple[Command, ...]:
        self.is_active = False
        return ()

    def _is_proof(self, raw: bytes) -> bool:
        return self.proof is None or is_same_record(self.records.record, raw, self.proof)

    def _note(self, number: int) -> NoteSequence:
        proof = self.fixed_proof or self._received[number]
        self.last, self.proof = number, proof
        return NoteSequence(self.records.record, number, proof)

    def _reached(self) -> int | None:
        """Return up to which number the records came without a gap, None where that is not sure."""
        if self._op is not Op.REPORT_RECORDS or not self._received:
            return None
        assert self._request is not None, "what was received was asked for"
        if self._request.operator is Operator.LAST:
            return None
        if self._is_proved_by_record and not (
            self.last in self._received and self._is_proof(self._received[self.last])
        ):
            return None
        return _run_end(
            list(self._received),
            self.last if self._is_filtered else None,
            is_stepwise=self.records.is_numbered_by_time,
        )


def _run_end(arrived: list[int], base: int | None, *, is_stepwise: bool) -> int | None:
    """Return the end of the unbroken run of numbers from ``base``, or from the first that arrived.

    Without a base the first one must be the lowest, with another above it: a device that sends the
    newest first would else seem to have sent everything. ``is_stepwise`` numbers (minutes) need two
    to show their step, or three without a base: one may be a live value amid the stored ones.
    """
    needed = 1 + (base is None) + is_stepwise
    if len(arrived) < needed or (base is None and arrived[0] != min(arrived)):
        return None
    numbers = sorted({*arrived, *(() if base is None else (base,))})
    gaps = [later - earlier for earlier, later in pairwise(numbers)]
    step = min(gaps, default=1) if is_stepwise else 1
    end = arrived[0] if base is None else base
    for number in numbers:
        if end < number <= end + step:
            end = number
    return end
