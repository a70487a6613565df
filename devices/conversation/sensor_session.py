"""The session of a continuous glucose sensor: when its minutes began to count (2AAA).

Records carry minutes only, and these begin anew with each sensor; so the start is read at each link
and kept before any record is asked for. A sensor that does not know the time yet is told it once
(it works out its start from that), and the start is read again; a start that stands is never
rewritten, since it would move every record. Without a start no stored record is asked for: nobody
could say when it was measured, nor whether it is new. A sensor's communication interval is left as
its maker's application set it: what was not told live is asked for as a record.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from devices.conversation.commands import Command, Keep, Moment, NoteEvent, ReadValue, WriteValue
from devices.errors import DecodeError
from devices.gatt import cgm, cgm_session_start, cgm_status
from devices.gatt.cgm_session_start import SessionStart
from devices.profiles.profile import Profile

START = cgm_session_start.CHARACTERISTIC
STATUS = cgm_status.CHARACTERISTIC


@dataclass(slots=True)
class SensorSession:
    """What is known of the session in this link: ``start`` is the raw value, None while unknown."""

    start: bytes | None = None
    _has_been_set: bool = False
    _has_crc: bool = False

    def told_start(self, raw: bytes | None, now: Moment) -> tuple[Command, ...]:
        """Take what was read of the start; may ask to set it, and to read it again."""
        try:
            value, self._has_crc = cgm_session_start.read(raw or b"")
        except DecodeError:
            value = SessionStart(None, None, None)
        if raw is not None and value.time is not None:
            self.start = raw
            return (Keep(START, raw),)
        if now.local is None or raw is None or self._has_been_set:
            return (NoteEvent("session_unknown", "the sensor does not say when it was started"),)
        self._has_been_set = True
        fresh = SessionStart(now.local, None, None)
        return (
            WriteValue(START, cgm_session_start.encode(fresh, has_crc=self._has_crc)),
            ReadValue(START),
        )

    def told_status(self, raw: bytes | None) -> tuple[Command, ...]:
        """Take what was read of the status: a stopped sensor sends nothing, and that is a cause.

        It also says which minute it is now; beside our clock that tells how right the start is.
        """
        if raw is None:
            return ()
        try:
            status = cgm_status.decode(raw).fields["status"]
        except DecodeError:
            return ()
        assert isinstance(status, list), "cgm_status gives names"
        if "session_stopped" not in status:
            return (Keep(STATUS, raw),)
        return (
            Keep(STATUS, raw),
            NoteEvent("sensor_stopped", "the sensor says that its session has ended"),
        )


def session_of(profile: Profile, present: Collection[str]) -> SensorSession | None:
    """Return the session to ask for, None where the device is no continuous glucose sensor."""
    if cgm.CHARACTERISTIC not in profile.measurements or START not in present:
        return None
    return SensorSession()
