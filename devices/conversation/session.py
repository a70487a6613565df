"""One link with one device, as events in and commands out; no radio, no clock, no waiting.

The order is the contract with the devices (some answer any other with an error):

1. bond, where the profile demands it;
2. read the device's clock, note how wrong it is, then correct it (``clock.py``), unless our own is
   not known to be right: a cuff that is right stays right;
3. of a glucose sensor, read when its session began and which minute it is now: without that nobody
   knows when its values were measured (``sensor_session.py``);
4. subscribe; nothing is asked for before;
5. give the user's consent, where the device demands one (``users.py``);
6. ask for stored records (``records.py``), or talk as the maker wants (:mod:`devices.vendor`);
7. read what no value needs (the battery). Where nothing had to be asked for that is right after the
   subscription, since cuffs hang up as soon as they have sent;
8. wait: the device sends what it has and hangs up itself.

Why nothing optional stands before the subscription: ``order.py``. After a read that got no answer
nothing else is read or set on that link; what the device sends by itself still comes.

The link ends when the device hangs up, after the profile's quiet time, or at its longest. Values
are kept whenever they come, also before the subscription is answered and also on a link that then
fails; the same value twice in a link is two events here and one record in the gateway. Values that
come every second (2A5F, 2A37) are counted here like any other; which of them travel is the
gateway's decision (docs/decisions/0014), and the profile's longest link bounds a session. Where the
link must end while records are under way, they are aborted first.

Use: ``commands = conversation.handle(event, now)``; carry the commands out in order and hand each
one's answer back as the next event. A :class:`Notified` value must be durable *before* it is handed
in here, because returning from the radio's callback lets the device delete it. Also after
:class:`Disconnected` there may be something to note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from devices.conversation import clock, sensor_session, users
from devices.conversation.commands import (
    Command,
    Connected,
    Consent,
    Disconnected,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteEvent,
    NoteSequence,
    Notified,
    Paired,
    Pause,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    Written,
)
from devices.conversation.order import SET_CLOCK, Order
from devices.conversation.records import RecordAccess
from devices.profiles.profile import Profile

if TYPE_CHECKING:
    from devices.vendor.exchange import Exchange, Steps


class Ending(StrEnum):
    """How the link ended; the first reason stands."""

    DEVICE_HUNG_UP = "device_hung_up"
    QUIET = "quiet"
    TOO_LONG = "too_long"
    DONE = "done"
    SERVICES_INCOMPLETE = "services_incomplete"
    PAIRING_FAILED = "pairing_failed"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    RECORDS_TIMED_OUT = "records_timed_out"
    LINK_LOST = "link_lost"
    NOT_KEPT = "not_kept"


@dataclass(slots=True)
class Conversation:
    """The state of one link. Make one for each link with the profile of the device.

    ``last_sequence`` and ``proof`` are those of the last :class:`NoteSequence` for the device's
    :func:`numbered` characteristic; ``consent`` says which of the device's users the person is.
    ``ending`` is None while the link lasts; ``values`` counts what the device sent and was kept.
    """

    profile: Profile
    last_sequence: int | None = None
    consent: Consent | None = None
    proof: bytes | None = None
    ending: Ending | None = None
    values: int = 0
    is_over: bool = False
    _present: frozenset[str] = frozenset()
    _steps: Iterator[Command] = field(default_factory=lambda: iter(()))
    _unread: Iterator[ReadValue] = field(default_factory=lambda: iter(()))
    _is_waiting: bool = False
    _is_reading: bool = False
    _is_mute: bool = False
    _may_pause: bool = False
    _began_s: float = 0.0
    _heard_s: float = 0.0
    _not_subscribed: set[str] = field(default_factory=set)
    _has_noted_nobody: bool = False
    _clock: clock.DeviceClock | None = None
    _session: sensor_session.SensorSession | None = None
    _consent: users.UserConsent | None = None
    _records: RecordAccess | None = None
    _exchange: Exchange | None = None

    def handle(self, event: Event, now: Moment) -> tuple[Command, ...]:
        """Take one event; returns the commands to carry out, in order.

        Nothing is asked of the radio after :class:`HangUp` or :class:`Disconnected`.
        """
        if isinstance(event, Disconnected):
            return self._gone()
        return (*self._take(event, now), *self._at_leisure())

    def _take(self, event: Event, now: Moment) -> tuple[Command, ...]:
        match event:
            case Notified():
                return self._heard(event, now)
            case _ if self.ending is not None or self.is_over:
                return ()
            case Connected():
                return self._begin(event, now)
            case Paired(ok=False):
                return self._end(Ending.PAIRING_FAILED)
            case Subscribed(characteristic, ok=False) if (
                characteristic in self.profile.measurements
            ):
                return self._end(Ending.SUBSCRIPTION_REFUSED)
            case Subscribed(characteristic, ok=False):
                self._not_subscribed.add(characteristic)
                return self._next(now)
            case Read():
                return self._read(event, now)
            case Written():
                return self._written(event, now)
            case Paired() | Subscribed():
                return self._next(now)
            case _:  # Tick
                return self._tick(now)

    # --- one step after the other ----------------------------------------------------------------

    def _begin(self, event: Connected, now: Moment) -> tuple[Command, ...]:
        self._began_s = self._heard_s = now.mono_s
        self._present = event.characteristics
        if not self._present.issuperset(self.profile.measurements):
            return self._end(Ending.SERVICES_INCOMPLETE)
        self._clock = clock.clock_of(self.profile.clock, self._present)
        self._session = sensor_session.session_of(self.profile, self._present)
        if self.profile.has_users and users.CONTROL_POINT in self._present:
            self._consent = users.UserConsent(self.consent)
        self._is_waiting = self._is_reading = self._is_mute = self._may_pause = False
        order = Order(
            self.profile,
            self._present,
            self._clock,
            has_session=self._session is not None,
            has_consent=self._consent is not None,
        )
        self._steps = order.to_subscribe(is_bonded=event.bonded)
        self._unread = order.at_leisure()
        return self._next(now)

    def _next(self, now: Moment) -> tuple[Command, ...]:
        if self._is_waiting:
            return ()
        self._heard_s = now.mono_s
        step = next((step for step in self._steps if self._is_of_use(step, now)), None)
        if step is None:
            self._is_waiting = True
            return self._subscribed(now)
        if step is SET_CLOCK:
            assert self._clock is not None, "only a clock that is there is set"
            assert now.local is not None, "an unknown time sets no clock"
            # The time is filled in when the command goes out, not when the order is made.
            return (self._clock.set(now.local),)
        return (step,)

    def _is_of_use(self, step: Command, now: Moment) -> bool:
        if step is SET_CLOCK and now.local is None:
            return False
        return not self._is_mute or isinstance(step, Subscribe)

    def _read(self, event: Read, now: Moment) -> tuple[Command, ...]:
        characteristic, raw = event.characteristic, event.raw
        self._is_mute |= not event.is_answered
        if self._is_waiting:
            self._is_reading = False
        if self._session is not None and characteristic == sensor_session.START:
            commands = self._session.told_start(raw, now)
            is_read_again = any(isinstance(command, ReadValue) for command in commands)
            return commands if is_read_again else (*commands, *self._next(now))
        if self._session is not None and characteristic == sensor_session.STATUS:
            return (*self._session.told_status(raw), *self._next(now))
        if raw is None:
            return self._next(now)
        if self._clock is not None and characteristic == self._clock.characteristic:
            return (*self._clock.told(raw, now), *self._next(now))
        return (Keep(characteristic, raw), *self._next(now))

    def _written(self, event: Written, now: Moment) -> tuple[Command, ...]:
        self._heard_s = now.mono_s
        characteristic, is_ok = event.characteristic, event.ok
        if self._clock is not None and characteristic == self._clock.characteristic:
            # A clock that cannot be set is no reason to lose the value: its offset is known.
            noted = () if is_ok else self._clock.refused()
            return (*noted, *self._next(now))
        if self._consent is not None and characteristic == users.CONTROL_POINT:
            return self._consented(self._consent.written(is_ok=is_ok), now)
        if self._records is not None and characteristic == self._records.records.control_point:
            return self._records.written(event.error, now, is_ok=is_ok)
        if self._exchange is not None:
            return self._exchanged(self._exchange.written(characteristic, is_ok, now))
        return ()

    def _at_leisure(self) -> tuple[Command, ...]:
        """Return the next read that no value needs, where nothing that is asked for waits for it.

        One at a time: after one that got no answer there is none.
        """
        is_over = self.is_over or self.ending is not None
        if is_over or self._is_reading or self._is_mute or self._is_asking():
            return ()
        command = next(self._unread, None)
        self._is_reading = command is not None
        return () if command is None else (command,)

    def _is_asking(self) -> bool:
        """Tell whether a question is open, or still to be asked, that values come by."""
        return (
            not self._is_waiting
            or (self._consent is not None and not self._consent.is_settled)
            or (self._records is not None and self._records.is_active)
            or (self._exchange is not None and not self._may_pause)
        )

    # --- what is asked for once there are subscriptions ------------------------------------------

    def _subscribed(self, now: Moment) -> tuple[Command, ...]:
        if self._consent is None:
            return self._ask(now)
        return self._consented(self._consent.begin(now), now)

    def _consented(self, commands: tuple[Command, ...], now: Moment) -> tuple[Command, ...]:
        """Go on where the question of consent is settled now; ``commands`` go before."""
        assert self._consent is not None, "only a consent that is asked for is settled"
        if not self._consent.is_given or self._records is not None:
            return commands
        return (*commands, *self._ask(now))

    def _ask(self, now: Moment) -> tuple[Command, ...]:
        if self.profile.records is not None:
            return self._ask_for_records(now)
        if self.profile.vendor is None:
            return ()
        # Imported here since makers' protocols speak in the commands of this package.
        from devices.vendor.makers import exchange

        self._exchange = exchange(self.profile.vendor, self.last_sequence, self.proof)
        return self._exchanged(self._exchange.begin(now))

    def _ask_for_records(self, now: Moment) -> tuple[Command, ...]:
        records = self.profile.records
        assert records is not None, "only a profile with records asks for some"
        if records.control_point not in self._present - self._not_subscribed:
            return (NoteEvent("records_refused", "stored records: no control point"),)
        if not records.is_numbered_by_time:
            self._records = RecordAccess(records, self.last_sequence, self.proof)
            return self._records.begin(now)
        if self._session is None:
            return (NoteEvent("session_unknown", "the sensor does not say when it was started"),)
        start = self._session.start
        if start is None:
            return ()
        forgotten: tuple[Command, ...] = ()
        last = self.last_sequence
        if last is not None and self.proof != start:
            # Another sensor, or the same one started anew: its minutes count from the beginning.
            last, forgotten = None, (NoteSequence(records.record, None),)
        self._records = RecordAccess(records, last, fixed_proof=start)
        return (*forgotten, *self._records.begin(now))

    def _exchanged(self, steps: Steps) -> tuple[Command, ...]:
        assert self._exchange is not None, "only an exchange answers"
        commands: list[Command] = []
        for step in steps:
            if isinstance(step, Pause):
                self._may_pause = True
                commands.extend(self._at_leisure())
            else:
                commands.append(step)
        return (*commands, *self._end(Ending.DONE)) if self._exchange.is_done else tuple(commands)

    # --- values, time, the end -------------------------------------------------------------------

    def _heard(self, event: Notified, now: Moment) -> tuple[Command, ...]:
        self._heard_s = now.mono_s
        characteristic, raw = event.characteristic, event.raw
        if self._records is not None and characteristic == self._records.records.record:
            self._records.heard(raw, now, is_kept=event.kept)
        carries_values = characteristic in (*self.profile.measurements, *self.profile.optional)
        self.values += event.kept and carries_values
        if self.ending is not None or self.is_over:
            return ()
        if not event.kept:
            # Hang up before the device sends, and deletes, more than we can keep.
            return self._end(Ending.NOT_KEPT)
        if self._records is not None and characteristic == self._records.records.control_point:
            return self._records.answered(raw, now)
        if self._consent is not None and characteristic == users.CONTROL_POINT:
            was_settled = self._consent.is_settled
            commands = self._consent.answered(raw)
            return commands if was_settled else self._consented(commands, now)
        of_nobody = self._note_nobody(characteristic, raw) if carries_values else ()
        if self._exchange is None:
            return of_nobody
        return (*of_nobody, *self._exchanged(self._exchange.heard(characteristic, raw, now)))

    def _note_nobody(self, characteristic: str, raw: bytes) -> tuple[Command, ...]:
        """Say once a link that the device did not know whose value it is."""
        if (
            self._has_noted_nobody
            or not self.profile.has_users
            or not users.is_of_nobody(characteristic, raw)
        ):
            return ()
        self._has_noted_nobody = True
        return (NoteEvent("unknown_user", "the device does not say whose value it is"),)

    def _tick(self, now: Moment) -> tuple[Command, ...]:
        if now.mono_s - self._began_s >= self.profile.link_max_s:
            return self._end(Ending.TOO_LONG)
        if self._records is not None and self._records.is_active:
            if self._records.has_timed_out(now):
                return self._end(Ending.RECORDS_TIMED_OUT)
            return self._records.tick(now)
        if self._consent is not None and not self._consent.is_settled:
            return self._consent.tick(now)
        if now.mono_s - self._heard_s >= self._quiet_s():
            return self._end(Ending.QUIET)
        if self._exchange is not None:
            return self._exchanged(self._exchange.tick(now))
        return ()

    def _quiet_s(self) -> float:
        after_s = self.profile.quiet_after_s
        return self.profile.quiet_s if self.values == 0 or after_s is None else after_s

    def _end(self, ending: Ending) -> tuple[Command, ...]:
        self.ending = ending
        unfinished = () if self._records is None else self._records.stop()
        return (*unfinished, HangUp())

    def _gone(self) -> tuple[Command, ...]:
        self.is_over = True
        if self.ending is None:
            self.ending = Ending.DEVICE_HUNG_UP if self._is_waiting else Ending.LINK_LOST
        return () if self._records is None else self._records.gone()


def numbered(profile: Profile) -> str | None:
    """Return the characteristic whose last sequence number is remembered between links, or None."""
    if profile.records is not None:
        return profile.records.record
    return profile.measurements[0] if profile.vendor is not None else None
