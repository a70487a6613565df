"""The record access control point: requests and answers.

"Nordic": Android-BLE-Library, RecordAccessControlPointDataCallbackTest. "By hand": written from the
tables of the Bluetooth GATT Specification Supplement.
"""

from datetime import datetime
from itertools import product

import pytest

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
from tests.devices.gatt.fix_values import fields, reason, refuses_every_other_length

MORNING = datetime.fromisoformat("2026-11-22T07:12:00")
EVENING = datetime.fromisoformat("2026-11-22T19:00:30")

MESSAGES = [
    # By hand.
    ("01 01", Request(Op.REPORT_RECORDS, Operator.ALL)),
    ("01 05", Request(Op.REPORT_RECORDS, Operator.FIRST)),
    ("04 06", Request(Op.COUNT_RECORDS, Operator.LAST)),
    ("02 01", Request(Op.DELETE_RECORDS, Operator.ALL)),
    ("07 01", Request(Op.COMBINED_REPORT, Operator.ALL)),
    ("03 00", Request(Op.ABORT)),
    # Nordic takes it for an answer and calls it invalid; as a request it is "from number 2 on".
    ("01 03 01 0200", Request(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, ByNumber(2))),
    ("01 02 01 FFFF", Request(Op.REPORT_RECORDS, Operator.LESS_OR_EQUAL, ByNumber(None, 0xFFFF))),
    ("01 04 01 0000 0101", Request(Op.REPORT_RECORDS, Operator.WITHIN_RANGE, ByNumber(0, 257))),
    (
        "01 03 01 04030201",
        Request(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, ByNumber(16909060, None, 4)),
    ),
    (
        "04 04 01 01000000 00000100",
        Request(Op.COUNT_RECORDS, Operator.WITHIN_RANGE, ByNumber(1, 65536, 4)),
    ),
    (
        "01 03 02 EA07 0B 16 07 0C 00",
        Request(Op.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, ByTime(MORNING)),
    ),
    (
        "02 02 02 EA07 0B 16 07 0C 00",
        Request(Op.DELETE_RECORDS, Operator.LESS_OR_EQUAL, ByTime(None, MORNING)),
    ),
    (
        "04 04 02 EA07 0B 16 07 0C 00 EA07 0B 16 13 00 1E",
        Request(Op.COUNT_RECORDS, Operator.WITHIN_RANGE, ByTime(MORNING, EVENING)),
    ),
    # Nordic.
    ("05 00 01", Count(1, 1)),
    ("05 00 02 01", Count(258)),
    ("05 00 04 03 02 01", Count(16909060, 4)),
    ("08 00 03 00", Count(3, is_combined=True)),  # by hand
    ("06 00 01 01", Response(Op.REPORT_RECORDS, Result.SUCCESS)),
    ("06 00 0C 02", Response(12, Result.OP_NOT_SUPPORTED)),
    ("06 00 01 03", Response(Op.REPORT_RECORDS, Result.INVALID_OPERATOR)),
    ("06 00 02 04", Response(Op.DELETE_RECORDS, Result.OPERATOR_NOT_SUPPORTED)),
    ("06 00 01 05", Response(Op.REPORT_RECORDS, Result.INVALID_OPERAND)),
    ("06 00 01 06", Response(Op.REPORT_RECORDS, Result.NO_RECORDS_FOUND)),
    ("06 00 03 07", Response(Op.ABORT, Result.ABORT_UNSUCCESSFUL)),
    ("06 00 02 08", Response(Op.DELETE_RECORDS, Result.PROCEDURE_NOT_COMPLETED)),
    ("06 00 02 09", Response(Op.DELETE_RECORDS, Result.OPERAND_NOT_SUPPORTED)),
    ("06 00 01 0A", Response(Op.REPORT_RECORDS, Result.SERVER_BUSY)),
]


@pytest.mark.parametrize(("raw", "message"), MESSAGES)
def test_read_and_written(raw: str, message: Request | Count | Response) -> None:
    assert record_access.read(bytes.fromhex(raw)) == message
    assert record_access.encode(message) == bytes.fromhex(raw)


def test_as_fields() -> None:
    assert fields("2A52", "01 01") == {
        "op": "report_records",
        "operator": "all",
        "records": None,
    }
    assert fields("2A52", "01 03 01 0200") == {
        "op": "report_records",
        "operator": "greater_or_equal",
        "records": {"by": "number", "minimum": 2, "maximum": None},
    }
    assert fields("2A52", "02 02 02 EA07 0B 16 07 0C 00")["records"] == {
        "by": "user_facing_time",
        "minimum": None,
        "maximum": "2026-11-22T07:12:00",
    }
    assert fields("2A52", "01 03 02 EA07 0B 16 07 0C 00")["records"] == {
        "by": "user_facing_time",
        "minimum": "2026-11-22T07:12:00",
        "maximum": None,
    }
    assert fields("2A52", "05 00 02 01") == {"op": "count", "count": 258}
    assert fields("2A52", "08 00 02 01") == {"op": "combined_report_count", "count": 258}
    assert fields("2A52", "06 00 01 06") == {
        "op": "response",
        "request": "report_records",
        "request_code": 1,
        "result": "no_records_found",
        "result_code": 6,
    }
    unnamed = fields("2A52", "06 00 0C 0B")
    assert (unnamed["request"], unnamed["request_code"]) == (None, 12)
    assert (unnamed["result"], unnamed["result_code"]) == (None, 11)


@pytest.mark.parametrize(
    "raw",
    [
        "01 01",
        "03 00",
        "06 00 01 01",
        "01 03 02 EA07 0B 16 07 0C 00",
        "05 00 04 03 02 01",
        "04 04 02 EA07 0B 16 07 0C 00 EA07 0B 16 13 00 1E",
    ],
)
def test_lengths(raw: str) -> None:
    whole = bytes.fromhex(raw)
    assert reason("2A52", whole + b"\0") == "trailing_bytes"
    assert reason("2A52", whole + bytes(513)) == "too_long"
    for end in range(len(whole)):
        # A count may have one, two or four bytes.
        if whole[0] != Op.COUNT or end not in (3, 4):
            assert reason("2A52", whole[:end]) == "truncated"


def test_lengths_of_numbers() -> None:
    for raw in ("01 03 01", "01 03 01 02", "01 03 01 020000", "01 04 01 000001"):
        assert reason("2A52", raw) == "truncated"
    for raw in ("01 04 01 0000010000", "01 04 01 00000100000000"):
        assert reason("2A52", raw) == "truncated"
    assert reason("2A52", "01 03 01 0200000000") == "trailing_bytes"
    assert reason("2A52", "01 04 01 0000000000000000 00") == "trailing_bytes"
    assert reason("2A52", "05 00") == "truncated"
    assert reason("2A52", "05 00 03 02 01") == "truncated"  # Nordic: three bytes are none
    refuses_every_other_length("2A52", "06 00 01 01")


def test_every_op_code_with_every_operator() -> None:
    """Whatever the bytes, they read or are refused by name."""
    for op, operator in product(range(256), range(256)):
        raw = bytes((op, operator))
        is_request = op in (1, 2, 4, 7) and 1 <= operator <= 6
        is_answer = op in (3, 5, 6, 8) and operator == 0
        if not (is_request or is_answer):
            assert reason("2A52", raw) == "reserved_value"
        elif operator in (2, 3, 4) or op in (5, 6, 8):
            assert reason("2A52", raw) == "truncated"
        else:
            record_access.read(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("01 03 00 0200", "reserved_value"),
        ("01 03 03 0200", "reserved_value"),
        ("01 03 02 0000 0B 16 07 0C 00", "invalid_time"),
        ("01 03 02 EA07 02 1F 07 0C 00", "invalid_time"),
        ("06 01 01", "reserved_value"),  # Nordic, "invalidOperator"
    ],
)
def test_refused(raw: str, why: str) -> None:
    assert reason("2A52", raw) == why


def test_a_filter_must_fit_its_operator() -> None:
    with pytest.raises(AssertionError):
        record_access.encode(Request(Op.REPORT_RECORDS, Operator.ALL, ByNumber(1)))
    with pytest.raises(AssertionError):
        record_access.encode(Request(Op.REPORT_RECORDS, Operator.LESS_OR_EQUAL, ByNumber(1)))
