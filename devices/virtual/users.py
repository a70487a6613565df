"""A device's users and their codes: the device's side of the User Control Point (2A9F)."""

from __future__ import annotations

from dataclasses import dataclass

from devices.errors import DecodeError
from devices.gatt import user_control_point, user_index
from devices.gatt.user_control_point import Op, Request, Response, Result

USERS_MAX = 8


@dataclass(slots=True)
class Users:
    """Codes by user index; None where the device tells users apart but asks for no code."""

    codes: dict[int, int | None]
    _current: int | None = None

    @property
    def want_codes(self) -> bool:
        """Whether anything is asked for before values are given."""
        return any(code is not None for code in self.codes.values())

    @property
    def has_consent(self) -> bool:
        """Whether somebody gave a user's code in this link."""
        return self._current is not None

    def forget_consent(self) -> None:
        """Begin a link: consent lasts for one."""
        self._current = None

    def may_have(self, user: int | None) -> bool:
        """Tell whether values of ``user`` may be given now."""
        return not self.want_codes or user not in self.codes or user == self._current

    def read(self, uuid: str) -> bytes | None:
        """Return the current user at 2A9A, None elsewhere."""
        return user_index.encode(self._current) if uuid == user_index.CHARACTERISTIC else None

    def answer(self, raw: bytes) -> bytes:
        """Return what the control point answers to ``raw``."""
        try:
            message = user_control_point.read(raw)
        except DecodeError:
            return _response(raw[0] if raw else 0, Result.OP_NOT_SUPPORTED)
        if not isinstance(message, Request):
            return _response(raw[0], Result.OP_NOT_SUPPORTED)
        match message:
            case Request(op=Op.CONSENT, user=user, consent_code=code):
                return self._consent(user, code)
            case Request(op=Op.REGISTER_NEW_USER, consent_code=code):
                return self._register(code)
            case Request(op=Op.LIST_ALL_USERS):
                return _response(message.op, Result.SUCCESS, len(self.codes))
            case _:
                return _response(message.op, Result.OP_NOT_SUPPORTED)

    def _consent(self, user: int | None, code: int | None) -> bytes:
        if user not in self.codes:
            return _response(Op.CONSENT, Result.INVALID_PARAMETER)
        if self.codes[user] != code:
            return _response(Op.CONSENT, Result.USER_NOT_AUTHORISED)
        self._current = user
        return _response(Op.CONSENT, Result.SUCCESS)

    def _register(self, code: int | None) -> bytes:
        if len(self.codes) >= USERS_MAX:
            return _response(Op.REGISTER_NEW_USER, Result.OPERATION_FAILED)
        user = max(self.codes, default=0) + 1
        self.codes[user] = code
        return _response(Op.REGISTER_NEW_USER, Result.SUCCESS, user)


def _response(request: int, result: Result, parameter: int | None = None) -> bytes:
    return user_control_point.encode(Response(request, result, parameter))
