"""Deliver by indication: send what is kept once somebody subscribes, forget what is confirmed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from bumble.att import ATT_Error

from devices.gatt import user_control_point
from devices.virtual.behaviour import Record
from devices.virtual.design import Values, also, user_of
from devices.virtual.users import Users

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

RECORDS_MAX = 60
"""As many as such devices keep; the oldest is then overwritten, as theirs is."""
CONSENT_MAX_S = 30.0
ATT_IMPROPERLY_CONFIGURED = 0xFD


@dataclass(slots=True)
class Indicating:
    """The behaviour of cuffs, scales, thermometers and spot-check oximeters.

    Where the device has users with codes, values go only to whom was given the user's code; a
    value of nobody goes to everybody, as scales do it.
    """

    device: VirtualDevice
    undelivered: list[Record] = field(default_factory=list)
    _users: Users = field(init=False)

    def __post_init__(self) -> None:
        """Take the design's users."""
        self._users = Users(dict(self.device.design.users or {}))

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Keep a value as undelivered."""
        design = self.device.design
        record = Record(
            design.encode(values, stamp), also(design, values, stamp), user=user_of(values)
        )
        self.undelivered.append(record)
        del self.undelivered[:-RECORDS_MAX]
        return record

    def read(self, uuid: str) -> bytes | None:
        """Return the user that was consented to."""
        return self._users.read(uuid)

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take what is written at the user control point."""
        if uuid != user_control_point.CHARACTERISTIC:
            return False
        if not visit.subscription(uuid):
            raise ATT_Error(ATT_IMPROPERLY_CONFIGURED)
        visit.requests.put_nowait((uuid, raw))
        return True

    async def serve(self, visit: Visit) -> None:
        """Indicate every kept record once somebody has subscribed; forget each when confirmed."""
        self._users.forget_consent()
        uuid = self.device.design.measurement
        await visit.subscribed(uuid)
        if self._users.want_codes:
            await self._answer(visit, CONSENT_MAX_S)
        again = self.device.faults.duplicate_records
        for raw in list(self.device.confirmed)[-again:] if again else ():
            await visit.deliver(uuid, Record(raw))
        while record := self._next():
            await visit.deliver(uuid, record)
            self.undelivered.remove(record)
        await self._answer(visit, self.device.design.hang_up_after_s)

    def _next(self) -> Record | None:
        return next((one for one in self.undelivered if self._users.may_have(one.user)), None)

    async def _answer(self, visit: Visit, within_s: float) -> None:
        """Answer at the control point: until somebody has consent, or nothing more is asked."""
        while (asked := await visit.request(within_s)) is not None:
            uuid, raw = asked
            had_consent = self._users.has_consent
            await visit.indicate(uuid, self._users.answer(raw))
            if self._users.has_consent and not had_consent:
                return
