"""Whose value it is: consent for a user's data (2A9F), and values that nobody is named for.

A device that keeps its users apart gives a user's data to who knows that user's code. Without a
code, or with a wrong one, no stored record is asked for; what the device sends all the same is
kept, since whose it is can be settled later and a lost value cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.conversation.commands import Command, Consent, Moment, NoteEvent, WriteValue
from devices.errors import DecodeError
from devices.gatt import decode, user_control_point
from devices.gatt.reading import Reading
from devices.gatt.user_control_point import Op, Request, Response, Result

CONTROL_POINT = user_control_point.CHARACTERISTIC
ANSWER_MAX_S = 30.0
"""How long the procedure of a control point may take (User Data Service; RACP has the same)."""


@dataclass(slots=True)
class UserConsent:
    """Asking for one user's data. ``is_settled`` when it is over, ``is_given`` if it went well."""

    consent: Consent | None
    is_settled: bool = False
    is_given: bool = False
    _asked_s: float | None = None

    def begin(self, now: Moment) -> tuple[Command, ...]:
        """Give the code, or say that there is none."""
        if self.consent is None:
            self.is_settled = True
            return (NoteEvent("consent_missing", "no user and code are stored for this device"),)
        self._asked_s = now.mono_s
        request = Request(Op.CONSENT, self.consent.user_index, self.consent.code)
        return (WriteValue(CONTROL_POINT, user_control_point.encode(request)),)

    def answered(self, raw: bytes) -> tuple[Command, ...]:
        """Take an indication of the control point."""
        try:
            message = user_control_point.read(raw)
        except DecodeError:
            return ()
        is_ours = isinstance(message, Response) and message.request == Op.CONSENT
        if not is_ours or self.is_settled or self._asked_s is None:
            return ()
        assert isinstance(message, Response), "only an answer is ours"
        if message.result != Result.SUCCESS:
            return self._refused(f"result {message.result}")
        self.is_settled = self.is_given = True
        return ()

    def written(self, *, is_ok: bool) -> tuple[Command, ...]:
        """Take the answer to the write."""
        return () if is_ok or self.is_settled else self._refused("not accepted")

    def tick(self, now: Moment) -> tuple[Command, ...]:
        """Take the passing of time."""
        if self.is_settled or self._asked_s is None or now.mono_s - self._asked_s < ANSWER_MAX_S:
            return ()
        return self._refused("no answer")

    def _refused(self, why: str) -> tuple[Command, ...]:
        assert self.consent is not None, "only what was asked for is refused"
        self.is_settled = True
        return (NoteEvent("consent_refused", f"user {self.consent.user_index}: {why}"),)


def is_of_nobody(characteristic: str, raw: bytes) -> bool:
    """Tell whether the value holds a measurement without a user, from a device that has users."""
    try:
        decoded = decode(characteristic, raw)
    except DecodeError:
        return False
    return isinstance(decoded, Reading) and any(
        "user_index" not in one.context for one in decoded.measurements
    )
