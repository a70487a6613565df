"""One link with one device, as events in and commands out; no radio, no clock, no waiting.

The order is the contract with the devices (some answer any other with an error):

1. bond, where the profile demands it;
2. read the device's clock, keep it where it is wrong, and note by how much, *before* correcting
   it: what the device kept until now carries the wrong time;
3. correct the clock, unless our own is not known to be right: a cuff that is right stays right;
4. read what is read once a link (battery);
5. subscribe, then wait: the device sends what it has and hangs up itself.

The link ends when the device hangs up, after the profile's quiet time, or at its longest. Values
are kept whenever they come, also before the subscription is answered and also on a link that then
fails.

Use: ``commands = conversation.handle(event, now)``; carry the commands out in order and hand each
one's answer back as the next event. A :class:`Notified` value must be durable *before* it is handed
in here, because returning from the radio's callback lets the device delete it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from devices.conversation.commands import (
    Command,
    Connected,
    Disconnected,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
    Notified,
    Pair,
    Paired,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    WriteValue,
    Written,
)
from devices.errors import DecodeError
from devices.gatt import date_time
from devices.profiles.profile import Profile

CLOCK_RIGHT_S = 2.0
"""A device's clock counts whole seconds; nearer than this it is called right."""


_SET_CLOCK = WriteValue("", b"")
"""Stands in the order of steps for "set the clock"; what goes out has characteristic and time."""


class Ending(StrEnum):
    """How the link ended; the first reason stands."""

    DEVICE_HUNG_UP = "device_hung_up"
    QUIET = "quiet"
    TOO_LONG = "too_long"
    SERVICES_INCOMPLETE = "services_incomplete"
    PAIRING_FAILED = "pairing_failed"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    LINK_LOST = "link_lost"
    NOT_KEPT = "not_kept"


@dataclass(slots=True)
class Conversation:
    """The state of one link. Make one for each link with the profile of the device.

    ``ending`` is None while the link lasts; ``values`` counts what the device sent and was kept.
    """

    profile: Profile
    ending: Ending | None = None
    values: int = 0
    is_over: bool = False
    _present: frozenset[str] = frozenset()
    _steps: Iterator[Command] = field(default_factory=lambda: iter(()))
    _is_waiting: bool = False
    _began_s: float = 0.0
    _heard_s: float = 0.0

    def handle(self, event: Event, now: Moment) -> tuple[Command, ...]:
        """Take one event; returns the commands to carry out, in order.

        Nothing is asked of the radio after :class:`HangUp` or :class:`Disconnected`.
        """
        match event:
            case Disconnected():
                return self._gone()
            case Notified():
                return self._heard(event, now)
            case _ if self.ending is not None:
                return ()
            case Connected():
                return self._begin(event, now)
            case Paired(ok=False):
                return self._end(Ending.PAIRING_FAILED)
            case Subscribed(ok=False):
                return self._end(Ending.SUBSCRIPTION_REFUSED)
            case Read():
                return (*self._read(event, now), *self._next(now))
            case Paired() | Written() | Subscribed():
                # A clock that cannot be set is no reason to lose the value: its offset is known.
                return self._next(now)
            case _:  # Tick
                return self._tick(now)

    def _begin(self, event: Connected, now: Moment) -> tuple[Command, ...]:
        self._began_s = self._heard_s = now.mono_s
        self._present = event.characteristics
        if not self._present.issuperset(self.profile.measurements):
            return self._end(Ending.SERVICES_INCOMPLETE)
        self._steps = self._order(is_bonded=event.bonded)
        return self._next(now)

    def _order(self, *, is_bonded: bool) -> Iterator[Command]:
        profile = self.profile
        if profile.must_bond and not is_bonded:
            yield Pair()
        if profile.clock in self._present:
            assert profile.clock is not None, "None is no characteristic"
            yield ReadValue(profile.clock)
            yield _SET_CLOCK
        for characteristic in profile.reads:
            if characteristic in self._present:
                yield ReadValue(characteristic)
        for characteristic in profile.measurements:
            yield Subscribe(characteristic)

    def _next(self, now: Moment) -> tuple[Command, ...]:
        self._heard_s = now.mono_s
        step = next(self._steps, None)
        if step is _SET_CLOCK and now.local is None:
            step = next(self._steps, None)
        if step is None:
            self._is_waiting = True
            return ()
        if step is _SET_CLOCK:
            assert self.profile.clock is not None, "only a profile with a clock sets one"
            assert now.local is not None, "an unknown time sets no clock"
            # The time is filled in when the command goes out, not when the order is made.
            return (WriteValue(self.profile.clock, date_time.encode(now.local)),)
        return (step,)

    def _read(self, event: Read, now: Moment) -> tuple[Command, ...]:
        if event.raw is None:
            return ()
        if event.characteristic != self.profile.clock:
            return (Keep(event.characteristic, event.raw),)
        try:
            told = date_time.read(event.raw)
        except DecodeError:
            # A clock that answers nonsense is set like any other; there is no offset to note.
            return ()
        if now.local is None:
            # Kept for the day our own clock is known; until then nobody can say which one is wrong.
            return (Keep(event.characteristic, event.raw),)
        offset_s = None if told is None else (told - now.local).total_seconds()
        if offset_s is not None and abs(offset_s) < CLOCK_RIGHT_S:
            return (NoteClock(offset_s),)
        # Beside the values that follow, this is what tells later how wrong their times are.
        return (Keep(event.characteristic, event.raw), NoteClock(offset_s))

    def _heard(self, event: Notified, now: Moment) -> tuple[Command, ...]:
        self._heard_s = now.mono_s
        if not event.kept:
            # Hang up before the device sends, and deletes, more than we can keep.
            return () if self.ending is not None else self._end(Ending.NOT_KEPT)
        self.values += 1
        return ()

    def _tick(self, now: Moment) -> tuple[Command, ...]:
        if now.mono_s - self._began_s >= self.profile.link_max_s:
            return self._end(Ending.TOO_LONG)
        if now.mono_s - self._heard_s >= self.profile.quiet_s:
            return self._end(Ending.QUIET)
        return ()

    def _end(self, ending: Ending) -> tuple[Command, ...]:
        self.ending = ending
        return (HangUp(),)

    def _gone(self) -> tuple[Command, ...]:
        self.is_over = True
        if self.ending is None:
            self.ending = Ending.DEVICE_HUNG_UP if self._is_waiting else Ending.LINK_LOST
        return ()
