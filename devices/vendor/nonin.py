"""Nonin 3230: one spot-check for each finger, from the frames it sends every second.

The oximeter sends by itself. This listens for two qualified frames in a row
(:mod:`devices.gatt.nonin_oximetry`), keeps them as one spot-check and tells the oximeter that the
measurement is complete: it then shows so and ends by itself. It keeps no second one before the
finger has been out.

Sources for "measurement complete" (0x62 and the letters NMI, at the control point):
andreasdri/nonin-3230-ble, index.js of an earlier commit, and NetComm's sample application nonin.h
in a public repository. Tried on hardware: none.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.conversation.commands import Keep, Moment, Pause, WriteValue
from devices.errors import DecodeError
from devices.gatt import nonin_oximetry
from devices.gatt.nonin_oximetry import CHARACTERISTIC, CONTROL_POINT, Frame
from devices.vendor.exchange import Steps

MEASUREMENT_COMPLETE = bytes((0x62,)) + b"NMI"


@dataclass(slots=True)
class SpotCheck:
    """The :class:`~devices.vendor.exchange.Exchange` of one link with a 3230."""

    is_done: bool = False
    _last: tuple[Frame, bytes] | None = None
    _is_kept: bool = False

    def begin(self, now: Moment) -> Steps:
        """Ask for nothing: it sends by itself."""
        return (Pause(),)

    def heard(self, characteristic: str, raw: bytes, now: Moment) -> Steps:
        """Keep a spot-check once there is one."""
        if characteristic != CHARACTERISTIC:
            return ()
        try:
            frame = nonin_oximetry.read_frame(raw)
        except DecodeError:
            # It is in the journal as it came, and breaks the row of seconds.
            self._last = None
            return ()
        earlier, self._last = self._last, (frame, raw)
        if not frame.status & nonin_oximetry.FINGER_IN_PLACE:
            self._is_kept = False
        if self._is_kept or earlier is None:
            return ()
        if not nonin_oximetry.is_spot_check(earlier[0], frame):
            return ()
        self._is_kept = True
        complete = WriteValue(CONTROL_POINT, MEASUREMENT_COMPLETE)
        return (Keep(CHARACTERISTIC, earlier[1] + raw), complete)

    def written(self, characteristic: str, is_ok: bool, now: Moment) -> Steps:
        """Take that it was told; an oximeter that refuses to be told has lost nothing."""
        return ()

    def tick(self, now: Moment) -> Steps:
        """Wait on: the oximeter hangs up, or the conversation's own limits do."""
        return ()
