"""A TaiDoc meter as it answers: the other side of :mod:`devices.vendor.taidoc`, for virtual ones.

Pure: a request goes in, frames come out. Whoever plays the meter keeps its clock and its records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from devices.errors import DecodeError
from devices.gatt import taidoc
from devices.gatt.taidoc import Command, Frame


@dataclass(frozen=True, slots=True)
class Stored:
    """One record: when by the meter's clock (None: it was not set), the value's four bytes."""

    time: datetime | None
    value: bytes
    minute_bits: int = 0
    hour_bits: int = 0


def pressure(
    time: datetime | None,
    *,
    systolic_mmhg: int,
    diastolic_mmhg: int,
    pulse_bpm: int,
    mean_mmhg: int | None = None,
    is_irregular: bool = False,
) -> Stored:
    """Return a record of a cuff (3128, 3129); the mean is a third of the way up if not given."""
    mean = mean_mmhg or round(diastolic_mmhg + (systolic_mmhg - diastolic_mmhg) / 3)
    value = bytes((systolic_mmhg, mean, diastolic_mmhg, pulse_bpm))
    return Stored(time, value, minute_bits=0b01 if is_irregular else 0)


def temperature(time: datetime | None, celsius: float, *, place: int = 0) -> Stored:
    """Return a record of a thermometer (1241); ``place`` as in taidoc_record.PLACES."""
    value = round(celsius * 10).to_bytes(2, "little") + bytes(2)
    return Stored(time, value, minute_bits=place & 0b11, hour_bits=place >> 2)


def glucose(time: datetime | None, milligram_per_decilitre: int, *, meal: int = 0) -> Stored:
    """Return a record of a glucose meter (4257, 4277); ``meal`` as in taidoc_record.MEALS."""
    return Stored(time, milligram_per_decilitre.to_bytes(2, "little") + bytes((0, meal << 6)))


def ready() -> bytes:
    """Return the frame by which a meter says that it listens."""
    return _answer(Command.READY, bytes(4))


def answers(
    request: bytes, *, model: str, clock: datetime | None, records: Sequence[Stored]
) -> tuple[bytes, ...]:
    """Return the frames that answer ``request``; none where a meter would stay silent.

    ``records`` are ordered as they were measured, the newest last; ``clock`` is what it shows now.
    A request to set the clock is answered; :func:`clock_set_by` says to what.
    """
    try:
        frame = taidoc.read_frame(request)
    except DecodeError:
        return ()
    body = None if frame.is_answer else _body(frame, model, clock, records)
    return () if body is None else (_answer(frame.command, body),)


def clock_set_by(request: bytes) -> datetime | None:
    """Return the time that ``request`` sets the clock to, None where it sets none."""
    try:
        frame = taidoc.read_frame(request)
    except DecodeError:
        return None
    return taidoc.read_stamp(frame.body).time if frame.command == Command.SET_CLOCK else None


def _body(
    frame: Frame, model: str, clock: datetime | None, records: Sequence[Stored]
) -> bytes | None:
    match frame.command:
        case Command.MODEL:
            return taidoc.encode_model(model)
        case Command.CLOCK:
            return taidoc.encode_stamp(clock)
        case Command.RECORD_COUNT:
            return len(records).to_bytes(2, "little") + bytes(2)
        case Command.RECORD_TIME | Command.RECORD_VALUE:
            return _of_record(frame, records)
        case Command.SET_CLOCK | Command.TURN_OFF:
            return frame.body
        case _:
            return None


def _of_record(frame: Frame, records: Sequence[Stored]) -> bytes | None:
    index = int.from_bytes(frame.body[:2], "little")
    if index >= len(records):
        return None
    record = records[len(records) - 1 - index]
    if frame.command == Command.RECORD_VALUE:
        return record.value
    return taidoc.encode_stamp(record.time, record.minute_bits, record.hour_bits)


def _answer(command: int, body: bytes) -> bytes:
    return taidoc.encode_frame(Frame(command, body, is_answer=True))
