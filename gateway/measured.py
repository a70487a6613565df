"""When something was measured: the best estimate, and how it is known (contract.md 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import msgspec

from devices import wire
from devices.gatt import Fields, cgm_session_start
from gateway.clock import ClockReading

# A device's clock may run ahead of a right one by this much before it is called wrong.
AHEAD_MAX = timedelta(minutes=10)
# A gateway whose clock was never set this boot may have been off for so long.
AHEAD_OF_UNSET_MAX = timedelta(days=60)
# Devices keep values for weeks while no gateway listens. An older time is rather a lost clock, and
# a red value must not count as old because of that.
BEHIND_MAX = timedelta(days=35)
# A device's clock counts whole seconds, and is set to whole seconds.
CLOCK_STEP = timedelta(seconds=2)
HALF_MINUTE_MS = 30_000
# A sensor counts whole minutes; nearer than one and a half its session's start is called right.
SESSION_RIGHT_MS = 90_000


@dataclass(frozen=True, slots=True)
class ClockPair:
    """Both clocks read at once: the device's was ``ahead_ms`` ahead, ``age_ms`` before a value.

    ``may_be_set`` where the gateway sets such a clock as soon as it has read it.
    """

    ahead_ms: int
    age_ms: int
    may_be_set: bool


def best_time(
    device_time: datetime | None,
    reading: ClockReading,
    zone: tzinfo,
    pair: ClockPair | None = None,
) -> tuple[datetime, wire.TimeQuality]:
    """Return the best estimate of when it was measured, in UTC, and how it is known.

    ``device_time`` is local to ``zone`` and believed only where it is near the gateway's clock;
    of the two meanings of an hour repeated in autumn the one nearer to that clock is taken.
    By ``pair``, read in this link or just before it, the device's time is corrected, whatever it
    says; but not where it lies after the moment at which the clock was set right.
    """
    if device_time is None:
        return _of_gateway(reading)
    claim = _claim(device_time, reading, zone)
    if pair is not None and not _is_of_set_clock(claim, pair, reading):
        corrected = _claim(device_time, reading, zone, pair.ahead_ms)
        if corrected is not None and -BEHIND_MAX <= corrected - reading.utc <= AHEAD_MAX:
            return corrected, "estimated" if reading.quality == "none" else "corrected"
    if claim is not None and device_time.year >= wire.DEVICE_YEAR_MIN:
        ahead_max = AHEAD_OF_UNSET_MAX if reading.quality == "none" else AHEAD_MAX
        if -BEHIND_MAX <= claim - reading.utc <= ahead_max:
            return claim, "device"
    return _of_gateway(reading)


def _of_gateway(reading: ClockReading) -> tuple[datetime, wire.TimeQuality]:
    return reading.utc, "gateway" if reading.quality == "ntp" else "estimated"


def _is_of_set_clock(claim: datetime | None, pair: ClockPair, reading: ClockReading) -> bool:
    """Tell whether a time was stamped after the clock was set: since then, and not after now.

    A clock that was ahead may have stamped the same, just so long ago; that is far less likely than
    a second reading within the two minutes that a pair of clocks counts.
    """
    if claim is None or not pair.may_be_set or reading.quality == "none":
        return False
    since = timedelta(milliseconds=pair.age_ms) + CLOCK_STEP
    return -since <= claim - reading.utc <= CLOCK_STEP


def clock_ahead_ms(fields: Fields, reading: ClockReading, zone: tzinfo) -> int | None:
    """Return how far the device's clock in ``fields`` is ahead of the gateway's, if it is one."""
    told = fields.fields.get("time")
    if not isinstance(told, str):
        return None
    local = reading.utc.astimezone(zone).replace(tzinfo=None)
    return (datetime.fromisoformat(told) - local) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class SessionTime:
    """When a sensor's minutes were: naive in the home's zone, and how far ahead of our clock."""

    local: datetime
    ahead_ms: int

    @property
    def is_just_now(self) -> bool:
        """Tell whether that is near enough to our clock to be the present."""
        return abs(self.ahead_ms) <= AHEAD_MAX // timedelta(milliseconds=1)


def session_time(
    start: bytes, minutes: object, reading: ClockReading, zone: tzinfo
) -> SessionTime | None:
    """Return when a glucose sensor measured: the start of its session plus its ``minutes``.

    ``start`` are the bytes of CGM Session Start Time (2AAA). The sum is made in UTC, by the zone
    that the sensor says or else the home's, since a change of daylight saving moves no minute.
    None where there is no such time.
    """
    told, _ = cgm_session_start.read(start)
    if told.time is None or not isinstance(minutes, int):
        return None
    begun_in = zone
    if told.zone_min is not None:
        begun_in = timezone(timedelta(minutes=told.zone_min + (told.dst_min or 0)))
    try:
        moment = told.time.replace(tzinfo=begun_in).astimezone(UTC) + timedelta(minutes=minutes)
        local = moment.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return None
    return SessionTime(local, (moment - reading.utc) // timedelta(milliseconds=1))


def session_ahead_ms(
    start: bytes, minutes: object, reading: ClockReading, zone: tzinfo
) -> int | None:
    """Return how far ahead a sensor's minutes are that it says to be now; None where they agree."""
    time = session_time(start, minutes, reading, zone)
    # Minutes that are through: on average half a minute has passed since.
    ahead_ms = None if time is None else time.ahead_ms + HALF_MINUTE_MS
    return None if ahead_ms is None or abs(ahead_ms) <= SESSION_RIGHT_MS else ahead_ms


def true_reading(reading: ClockReading, right: ClockReading | None) -> ClockReading:
    """Return what a clock set as at ``right`` would have said at ``reading``, in the same boot.

    Only a clock that was never set is doubted. The boot-time clock tells how long before or after
    ``right`` it was; the wall clock counts as ``estimated`` then, not as read.
    """
    if right is None or reading.quality != "none":
        return reading
    return replace(reading, utc=_then(reading.mono_ms, right), quality="estimated")


def restamped(item: wire.Item, right: ClockReading, zone: tzinfo) -> wire.Item:
    """Return ``item``, stamped before its boot's clock was right, as it would be stamped now.

    The same sum as the server makes for rows that it has (``t`` moves as ``gw_t`` does); but a
    device's own time is weighed again, since it was weighed against a wrong clock.
    """
    assert item.gw_t is not None, "only what a gateway stamped can be stamped anew"
    assert item.mono_ms is not None, "only what a gateway stamped can be stamped anew"
    then = _then(item.mono_ms, right)
    moved = msgspec.structs.replace(item, gw_t=then, gw_q="estimated")
    if item.t is None:
        return moved
    if item.tq == "estimated" and item.t != item.gw_t:
        # Known as a distance from the gateway's clock: the pair of clocks read in the link.
        return msgspec.structs.replace(moved, t=item.t + (then - item.gw_t), tq="corrected")
    t, tq = best_time(item.dev_t, ClockReading(then, "estimated", item.mono_ms), zone)
    return msgspec.structs.replace(moved, t=t, tq="corrected" if tq == "estimated" else tq)


def _then(mono_ms: int, right: ClockReading) -> datetime:
    return right.utc - timedelta(milliseconds=right.mono_ms - mono_ms)


def _claim(
    device_time: datetime, reading: ClockReading, zone: tzinfo, ahead_ms: int = 0
) -> datetime | None:
    """Return what a local time means, less ``ahead_ms``; None where no calendar has it."""
    try:
        local = device_time - timedelta(milliseconds=ahead_ms)
        claims = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except OverflowError:
        return None
    return min(claims, key=lambda moment: abs(moment - reading.utc))
