"""Record Access Control Point (0x2A52; GATT Specification Supplement): asking for stored records.

Op code, operator, operand. A request says which records: by their number or by the user facing time
(Date Time). The number is the sequence number in the Glucose Service, the time offset in minutes in
the CGM Service (16 bits both) and the record number in the Generic Health Sensor Service (32 bits).
Other filters are refused: their layout could not be verified.

A response that repeats an op code or result without a name keeps the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TypeVar

from devices.errors import DecodeError
from devices.gatt import date_time
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A52"
_Member = TypeVar("_Member", bound=IntEnum)


class Op(IntEnum):
    """What is asked for, or answered."""

    REPORT_RECORDS = 1
    DELETE_RECORDS = 2
    ABORT = 3
    COUNT_RECORDS = 4
    COUNT = 5
    RESPONSE = 6
    COMBINED_REPORT = 7
    COMBINED_REPORT_COUNT = 8


class Operator(IntEnum):
    """Which records; both ends belong to a range."""

    NULL = 0
    ALL = 1
    LESS_OR_EQUAL = 2
    GREATER_OR_EQUAL = 3
    WITHIN_RANGE = 4
    FIRST = 5
    LAST = 6


class Result(IntEnum):
    """How a request went."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9
    SERVER_BUSY = 10


@dataclass(frozen=True, slots=True)
class ByNumber:
    """Records by number; None where the operator has no such end. ``size`` is 2 or 4 bytes."""

    minimum: int | None = None
    maximum: int | None = None
    size: int = 2


@dataclass(frozen=True, slots=True)
class ByTime:
    """Records by user facing time, naive; None where the operator has no such end."""

    minimum: datetime | None = None
    maximum: datetime | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a collector writes."""

    op: Op
    operator: Operator = Operator.NULL
    records: ByNumber | ByTime | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many records there are, or were sent; the service fixes ``size`` (1, 2 or 4 bytes)."""

    number: int
    size: int = 2
    is_combined: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The end of a request. Numbers as sent: they may be without a name here."""

    request: int
    result: int


_BY_NUMBER, _BY_TIME = 1, 2
_ENDS = {
    Operator.LESS_OR_EQUAL: ("maximum",),
    Operator.GREATER_OR_EQUAL: ("minimum",),
    Operator.WITHIN_RANGE: ("minimum", "maximum"),
}
_SELECTING = (Op.REPORT_RECORDS, Op.DELETE_RECORDS, Op.COUNT_RECORDS, Op.COMBINED_REPORT)


def read(raw: bytes) -> Request | Count | Response:
    """Return what ``raw`` asks or answers; DecodeError where it cannot be read."""
    reader = Reader(raw)
    op = _member(Op, reader.unsigned(1, "op code"), "op code")
    operator = _member(Operator, reader.unsigned(1, "operator"), "operator")
    if (op in _SELECTING) == (operator is Operator.NULL):
        raise DecodeError("reserved_value", f"operator {operator} with op code {op}")
    message: Request | Count | Response
    if op in (Op.COUNT, Op.COMBINED_REPORT_COUNT):
        size = next((size for size in (1, 2) if reader.left <= size), 4)
        number = reader.unsigned(size, "number of records")
        message = Count(number, size, is_combined=op is Op.COMBINED_REPORT_COUNT)
    elif op is Op.RESPONSE:
        message = Response(reader.unsigned(1, "request"), reader.unsigned(1, "result"))
    else:
        message = Request(op, operator, _take_records(reader, operator))
    reader.end()
    return message


def decode(raw: bytes) -> Fields:
    """Return ``op`` with ``operator`` and ``records``, or with ``count``, or with ``result``."""
    message = read(raw)
    if isinstance(message, Request):
        fields: dict[str, object] = {
            "op": message.op.name.lower(),
            "operator": message.operator.name.lower(),
            "records": _record_fields(message.records),
        }
    elif isinstance(message, Count):
        op = Op.COMBINED_REPORT_COUNT if message.is_combined else Op.COUNT
        fields = {"op": op.name.lower(), "count": message.number}
    else:
        fields = {
            "op": Op.RESPONSE.name.lower(),
            "request": _name(Op, message.request),
            "request_code": message.request,
            "result": _name(Result, message.result),
            "result_code": message.result,
        }
    return Fields(CHARACTERISTIC, fields)


def encode(message: Request | Count | Response) -> bytes:
    """Return the bytes of ``message``; OverflowError where a number does not fit."""
    if isinstance(message, Response):
        return bytes((Op.RESPONSE, Operator.NULL, message.request, message.result))
    if isinstance(message, Count):
        op = Op.COMBINED_REPORT_COUNT if message.is_combined else Op.COUNT
        return bytes((op, Operator.NULL)) + message.number.to_bytes(message.size, "little")
    records = message.records
    ends = (None, None) if records is None else (records.minimum, records.maximum)
    needed = _ENDS.get(message.operator, ())
    assert tuple(end is not None for end in ends) == (
        "minimum" in needed,
        "maximum" in needed,
    ), "a filter has the ends that its operator names"
    head = bytes((message.op, message.operator))
    if isinstance(records, ByTime):
        times = (records.minimum, records.maximum)
        return head + bytes((_BY_TIME,)) + b"".join(date_time.encode(end) for end in times if end)
    if isinstance(records, ByNumber):
        numbers = (end for end in (records.minimum, records.maximum) if end is not None)
        operand = b"".join(number.to_bytes(records.size, "little") for number in numbers)
        return head + bytes((_BY_NUMBER,)) + operand
    return head


def _take_records(reader: Reader, operator: Operator) -> ByNumber | ByTime | None:
    ends = _ENDS.get(operator)
    if ends is None:
        return None
    filter_type = reader.unsigned(1, "filter type")
    if filter_type == _BY_NUMBER:
        size = 2 if reader.left <= 2 * len(ends) else 4
        return ByNumber(**{end: reader.unsigned(size, end) for end in ends}, size=size)
    if filter_type == _BY_TIME:
        return ByTime(**{end: _take_time(reader, end) for end in ends})
    raise DecodeError("reserved_value", f"filter type {filter_type}")


def _take_time(reader: Reader, end: str) -> datetime:
    time = date_time.take(reader)
    if time is None:
        raise DecodeError("invalid_time", f"the {end} of a filter is not a whole date")
    return time


def _record_fields(records: ByNumber | ByTime | None) -> dict[str, object] | None:
    if records is None:
        return None
    if isinstance(records, ByNumber):
        return {"by": "number", "minimum": records.minimum, "maximum": records.maximum}
    return {
        "by": "user_facing_time",
        "minimum": None if records.minimum is None else records.minimum.isoformat(),
        "maximum": None if records.maximum is None else records.maximum.isoformat(),
    }


def _member(kind: type[_Member], number: int, what: str) -> _Member:
    if number not in {member.value for member in kind}:
        raise DecodeError("reserved_value", f"{what} {number}")
    return kind(number)


def _name(kind: type[IntEnum], number: int) -> str | None:
    return next((member.name.lower() for member in kind if member == number), None)
