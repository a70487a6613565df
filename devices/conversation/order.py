"""What is asked of a device, in order: before the subscriptions, and when nothing else is open.

ATT has one request under way at a time: a device that leaves one unanswered answers nothing more on
that link, and the link ends half a minute later (Core specification Vol 3 Part F 3.3.3). What it
sends by itself still comes. So nothing stands before the subscriptions but what the values cannot
be understood without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from devices.conversation import sensor_session, users
from devices.conversation.clock import DeviceClock
from devices.conversation.commands import Command, Pair, ReadValue, Subscribe, WriteValue
from devices.profiles.profile import Profile

SET_CLOCK = WriteValue("", b"")
"""Stands in the order of steps for "set the clock"; what goes out has characteristic and time."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order for a device with these characteristics ``present``.

    ``clock`` is the one that it has; ``has_session`` where it is a glucose sensor that says when it
    began; ``has_consent`` where a user's code is asked for.
    """

    profile: Profile
    present: Collection[str]
    clock: DeviceClock | None
    has_session: bool
    has_consent: bool

    def to_subscribe(self, *, is_bonded: bool) -> Iterator[Command]:
        """Return all steps up to the last subscription."""
        if self.profile.must_bond and not is_bonded:
            yield Pair()
        if self.clock is not None:
            yield ReadValue(self.clock.characteristic)
            yield SET_CLOCK
        for characteristic in self._of_session():
            yield ReadValue(characteristic)
        records = self.profile.records
        control_points = (
            *((users.CONTROL_POINT,) if self.has_consent else ()),
            *(() if records is None else (records.control_point,)),
        )
        wanted = (*self.profile.measurements, *self.profile.optional, *control_points)
        for characteristic in dict.fromkeys(wanted):
            if characteristic in self.present:
                yield Subscribe(characteristic)

    def at_leisure(self) -> Iterator[ReadValue]:
        """Return the reads that no value needs."""
        for characteristic in dict.fromkeys(self.profile.reads):
            if characteristic in self.present and characteristic not in self._of_session():
                yield ReadValue(characteristic)

    def _of_session(self) -> tuple[str, ...]:
        both = (sensor_session.START, sensor_session.STATUS) if self.has_session else ()
        return tuple(one for one in both if one in self.present)
