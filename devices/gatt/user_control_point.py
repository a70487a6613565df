"""User Control Point (0x2A9F; User Data Service, section 3.4): who may see which user's data.

A collector registers a new user with a consent code that it chooses, or gives index and code of one
that exists. The answer to a registration holds the new index, to a list the number of users, to a
deletion the index that is gone. Codes go from 0 to 9999.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader, choice

CHARACTERISTIC = "2A9F"
CONSENT_CODE_MAX = 9999


class Op(IntEnum):
    """What is asked for, or answered."""

    REGISTER_NEW_USER = 0x01
    CONSENT = 0x02
    DELETE_USER_DATA = 0x03
    LIST_ALL_USERS = 0x04
    DELETE_USER = 0x05
    RESPONSE = 0x20


class Result(IntEnum):
    """How a request went."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    OPERATION_FAILED = 4
    USER_NOT_AUTHORISED = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What a collector writes; which of ``user`` and ``consent_code`` go with it, ``op`` says."""

    op: Op
    user: int | None = None
    consent_code: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """The answer; numbers as sent. ``parameter`` is an index or a count, as ``request`` has it."""

    request: int
    result: int
    parameter: int | None = None


_OPS = {op.value: op.name.lower() for op in Op}
_RESULTS = {result.value: result.name.lower() for result in Result}
_WITH_USER = (Op.CONSENT, Op.DELETE_USER)
_WITH_CODE = (Op.REGISTER_NEW_USER, Op.CONSENT)
_PARAMETERS = {
    Op.REGISTER_NEW_USER: "user_index",
    Op.LIST_ALL_USERS: "users",
    Op.DELETE_USER: "user_index",
}


def read(raw: bytes) -> Request | Response:
    """Return what ``raw`` asks or answers; DecodeError where it cannot be read."""
    reader = Reader(raw)
    number = reader.unsigned(1, "op code")
    choice(number, _OPS, "op code")
    op = Op(number)
    message: Request | Response
    if op is Op.RESPONSE:
        request, result = reader.unsigned(1, "request"), reader.unsigned(1, "result")
        has_parameter = result == Result.SUCCESS and request in _PARAMETERS
        parameter = reader.unsigned(1, "response parameter") if has_parameter else None
        message = Response(request, result, parameter)
    else:
        user = reader.unsigned(1, "user index") if op in _WITH_USER else None
        code = reader.unsigned(2, "consent code") if op in _WITH_CODE else None
        if code is not None and code > CONSENT_CODE_MAX:
            raise DecodeError("reserved_value", f"consent code above {CONSENT_CODE_MAX}")
        message = Request(op, user, code)
    reader.end()
    return message


def decode(raw: bytes) -> Fields:
    """Return ``op`` and what belongs to it. The consent code is a secret and is left out."""
    message = read(raw)
    if isinstance(message, Request):
        fields: dict[str, object] = {"op": message.op.name.lower()}
        if message.user is not None:
            fields["user_index"] = message.user
        return Fields(CHARACTERISTIC, fields)
    fields = {
        "op": Op.RESPONSE.name.lower(),
        "request": _OPS.get(message.request),
        "request_code": message.request,
        "result": _RESULTS.get(message.result),
        "result_code": message.result,
    }
    if message.parameter is not None:
        fields[_PARAMETERS[Op(message.request)]] = message.parameter
    return Fields(CHARACTERISTIC, fields)


def encode(message: Request | Response) -> bytes:
    """Return the bytes of ``message``."""
    if isinstance(message, Response):
        rest = () if message.parameter is None else (message.parameter,)
        return bytes((Op.RESPONSE, message.request, message.result, *rest))
    assert (message.user is not None) == (message.op in _WITH_USER), "the op decides on a user"
    assert (message.consent_code is not None) == (message.op in _WITH_CODE), "… and on a code"
    body = bytes((message.op,))
    if message.user is not None:
        body += bytes((message.user,))
    if message.consent_code is not None:
        assert message.consent_code <= CONSENT_CODE_MAX, "a consent code has four digits"
        body += message.consent_code.to_bytes(2, "little")
    return body
