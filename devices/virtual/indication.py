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
from devices.virtual.visit import SUBSCRIPTION_MAX_S

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
        visit.ask(uuid, raw)
        return True

    async def serve(self, visit: Visit) -> None:
        """Indicate what may be given to whoever subscribed; forget each record when confirmed."""
        self._users.forget_consent()
        uuid = self.device.design.measurement
        await visit.subscribed(uuid, user_control_point.CHARACTERISTIC)
        again = self.device.faults.duplicate_records
        repeated = [Record(raw) for raw in list(self.device.confirmed)[-again:]] if again else []
        while True:
            while visit.is_subscribed(uuid) and (record := self._next(repeated)):
                await visit.deliver(uuid, record)
                (repeated or self.undelivered).remove(record)
            asked = await visit.request(self._patience_s(visit))
            if asked is None:
                return
            point, raw = asked
            if point == user_control_point.CHARACTERISTIC:
                await visit.indicate(point, self._users.answer(raw))

    def _next(self, repeated: list[Record]) -> Record | None:
        if repeated:
            return repeated[0]
        return next((one for one in self.undelivered if self._users.may_have(one.user)), None)

    def _patience_s(self, visit: Visit) -> float:
        if not visit.is_subscribed(self.device.design.measurement):
            return SUBSCRIPTION_MAX_S
        is_withheld = bool(self.undelivered) and not self._users.has_consent
        return CONSENT_MAX_S if is_withheld else self.device.design.hang_up_after_s
