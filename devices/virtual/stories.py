"""What the invented people measured: one function for each story, values as such devices give them.

A story yields what was measured on one day; day 0 is today, day 1 yesterday. Its values have the
shape of life at home: morning and evening, blood pressure higher in the morning, a level that
wanders for days, noise of each measurement, forgotten measurements. Sources of the sizes: the
day-to-day spread of home blood pressure is about 9/5 mmHg and of weight 0.3-0.6 kg; the rest is
plausible, not measured.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from devices.gatt import battery, blood_pressure, plx, temperature, weight
from devices.kinds import KINDS
from devices.measurement import Measurement, Sample
from devices.virtual import cuff, oximeter, scale, thermometer
from devices.virtual.people import SCREEN, OwnedDevice, Person, StoryItem

HOME_ZONE = ZoneInfo("Europe/Stockholm")
BATTERY_EVERY_DAYS = 7
BATTERY_READ_AT = time(8, 0)
LOW_BATTERY_DAYS = 20
DISCHARGED_DAYS = 9
MORNING_DONE = timedelta(hours=10)
SILENT_DAYS = 3
LINK_TIME = timedelta(seconds=4)

ENCODE: Mapping[str, Callable[[Mapping[str, float], datetime | None], bytes]] = {
    "cuff": cuff.encode,
    "scale": scale.encode,
    "thermometer": thermometer.encode,
    "oximeter": oximeter.encode,
}
DECODE: Mapping[str, Callable[[bytes], Measurement]] = {
    "cuff": blood_pressure.decode,
    "scale": weight.decode,
    "thermometer": temperature.decode,
    "oximeter": plx.decode,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """Something measured: with what, when (local), the values, how late it came in."""

    what: str
    at: time
    values: Mapping[str, float]
    after: timedelta = timedelta(0)
    late: timedelta = LINK_TIME


@dataclass(slots=True)
class Teller:
    """One person's chance. ``level`` wanders from day to day and returns to 0 (AR(1))."""

    rng: random.Random
    level: float = 0.0

    def new_day(self) -> None:
        """Let the level wander by one day."""
        self.level = 0.7 * self.level + self.rng.gauss(0, 0.7)

    def morning(self) -> time:
        """A time between half past six and nine."""
        return self._between(6 * 60 + 30, 9 * 60)

    def evening(self) -> time:
        """A time between half past six and nine in the evening."""
        return self._between(18 * 60 + 30, 21 * 60)

    def forgets(self, share: float) -> bool:
        """Whether a measurement is forgotten, with this probability."""
        return self.rng.random() < share

    def pressure(
        self, at: time, systolic: float, diastolic: float, pulse: float, **more: float
    ) -> Taken:
        """A blood pressure around these levels, 5 mmHg higher in the morning."""
        lift = 2.5 if at.hour < 12 else -2.5
        return Taken(
            "cuff",
            at,
            {
                "systolic": systolic + lift + 3 * self.level + self.rng.gauss(0, 6),
                "diastolic": diastolic + lift / 2 + 1.5 * self.level + self.rng.gauss(0, 3.5),
                "pulse": pulse + self.level + self.rng.gauss(0, 3),
                **more,
            },
        )

    def weighing(self, at: time, usual_kg: float) -> Taken:
        """A weight around this one."""
        return Taken(
            "scale", at, {"weight": usual_kg + 0.25 * self.level + self.rng.gauss(0, 0.15)}
        )

    def saturation(self, at: time, spo2: float, pulse: float) -> Taken:
        """A spot-check around these levels; no finger gives more than 100 %."""
        noisy = spo2 + 0.4 * self.level + self.rng.gauss(0, 0.8)
        return Taken(
            "oximeter",
            at,
            {"spo2": min(100.0, noisy), "pulse": pulse + self.level + self.rng.gauss(0, 3)},
        )

    def warmth(self, at: time, celsius: float) -> Taken:
        """A temperature around this one, a little higher in the evening."""
        lift = 0.2 if at.hour >= 12 else -0.1
        return Taken("thermometer", at, {"temperature": celsius + lift + self.rng.gauss(0, 0.12)})

    def _between(self, first_min: int, last_min: int) -> time:
        minutes = self.rng.randint(first_min, last_min)
        return time(minutes // 60, minutes % 60, self.rng.randint(0, 59))


Story = Callable[[Teller, int], Iterator[Taken]]


def _heart_failure_weight_gain(teller: Teller, day: int) -> Iterator[Taken]:
    """Stable, then 0.3 kg a day over the last ten days, pulse and pressure following."""
    gained_kg = 0.33 * max(0, 10 - day)
    if not teller.forgets(0.08):
        yield teller.weighing(teller.morning(), 68.4 + gained_kg)
    if not teller.forgets(0.15):
        yield teller.pressure(teller.morning(), 128 + 2 * gained_kg, 74, 72 + 3 * gained_kg)


def _copd_dip(teller: Teller, day: int) -> Iterator[Taken]:
    """Usually 90 %; a dip for four days a month ago that passed, one that began two days ago."""
    dip = {2: 2.0, 1: 3.5, 0: 4.8}.get(day, 2.5 if 30 <= day <= 33 else 0.0)
    for at in (teller.morning(), teller.evening()):
        if not teller.forgets(0.1):
            yield teller.saturation(at, 90.4 - dip, 82 + 3 * dip)
    if dip:
        yield teller.warmth(teller.evening(), 36.9)


def _white_coat(teller: Teller, day: int) -> Iterator[Taken]:
    """Single highs about once a week that settle when repeated five minutes later."""
    for at in (teller.morning(), teller.evening()):
        if teller.forgets(0.12):
            continue
        if teller.forgets(0.07) or (day == 0 and at.hour < 12):
            high = teller.pressure(at, 168, 92, 84)
            yield high
            repeat = teller.pressure(at, 139, 81, 74)
            yield Taken("cuff", at, repeat.values, after=timedelta(minutes=5))
        else:
            yield teller.pressure(at, 137, 80, 73)


def _silent_gateway(teller: Teller, day: int) -> Iterator[Taken]:
    """Everything as usual until three days ago; then nothing reaches anyone."""
    if day >= SILENT_DAYS:
        yield teller.pressure(teller.morning(), 142, 78, 66)
        yield teller.weighing(teller.morning(), 81.0)


def _low_battery(teller: Teller, day: int) -> Iterator[Taken]:
    """Ordinary values; what is not ordinary is the battery (see :func:`_battery_percent`)."""
    if not teller.forgets(0.1 if day > 6 else 0.3):
        yield teller.pressure(teller.morning(), 134, 77, 70)


def _values_arrive(teller: Teller, day: int) -> Iterator[Taken]:
    """Values inside the limits, almost every day."""
    if not teller.forgets(0.04):
        yield teller.pressure(teller.morning(), 131, 79, 64)
    if not teller.forgets(0.04):
        yield teller.pressure(teller.evening(), 129, 77, 66)
    if day % 3 == 0:
        yield teller.weighing(teller.morning(), 84.5)


def _post_discharge(teller: Teller, day: int) -> Iterator[Taken]:
    """Home from hospital nine days ago: three times a day at first, everything measured."""
    if day > DISCHARGED_DAYS:
        return
    yield teller.weighing(teller.morning(), 61.2 + 0.05 * (DISCHARGED_DAYS - day))
    hours = (time(7, 40), time(13, 15), time(19, 50)) if day > 2 else (time(7, 40), time(19, 50))
    for hour in hours:
        at = hour.replace(minute=teller.rng.randint(0, 59), second=teller.rng.randint(0, 59))
        yield teller.pressure(at, 117, 68, 80)
        yield teller.saturation(at, 95.4, 80)
        yield teller.warmth(at, 36.8)


def _orthostatic(teller: Teller, day: int) -> Iterator[Taken]:
    """Sitting and three minutes later standing; standing often falls by more than 20 mmHg."""
    at = teller.morning()
    if teller.forgets(0.1):
        return
    yield teller.pressure(at, 138, 74, 64)
    standing = teller.pressure(at, 99 if day < 5 else 112, 62, 74)
    yield Taken("cuff", at, standing.values, after=timedelta(minutes=3))


def _gaps(teller: Teller, day: int) -> Iterator[Taken]:
    """Days at the cottage without coverage: nothing at all, or values that come in late."""
    if 18 <= day <= 26 or 47 <= day <= 51 or day in (6, 7, 70, 71):
        return
    late = timedelta(days=day - 9) if 10 <= day <= 13 else timedelta(seconds=5)
    for taken in (
        teller.weighing(teller.morning(), 73.0),
        teller.pressure(teller.morning(), 126, 72, 70),
    ):
        if not teller.forgets(0.15):
            yield Taken(taken.what, taken.at, taken.values, late=late)


def _irregular_pulse(teller: Teller, day: int) -> Iterator[Taken]:
    """Three in a row each morning; in the last week the cuff flags the pulse in most of them."""
    if teller.forgets(0.1):
        return
    at = teller.morning()
    for n in range(3):
        flagged = float(teller.rng.random() < (0.75 if day < 7 else 0.03))
        taken = teller.pressure(at, 136, 80, 78 + 8 * flagged, irregular_pulse=flagged)
        yield Taken("cuff", at, taken.values, after=timedelta(minutes=2 * n))


def _fever(teller: Teller, day: int) -> Iterator[Taken]:
    """Never much above 36.5 °C, so what the last two days show is a great deal."""
    rise = {1: 1.2, 0: 2.0}.get(day, 0.0)
    if day % 2 == 0 or rise:
        yield teller.warmth(teller.evening() if day else teller.morning(), 36.4 + rise)
        yield teller.saturation(teller.morning(), 95.5 - rise, 72 + 8 * rise)
    if day == 0:
        yield teller.warmth(time(9, 30, 10), 36.4 + rise)


def _entered_by_hand(teller: Teller, day: int) -> Iterator[Taken]:
    """A nurse or the home care staff measures twice a week and enters what they read."""
    if day % 7 in (1, 4):
        yield teller.pressure(time(10, teller.rng.randint(0, 59)), 144, 82, 68)


STORIES: Mapping[str, Story] = {
    "heart_failure_weight_gain": _heart_failure_weight_gain,
    "copd_dip": _copd_dip,
    "white_coat": _white_coat,
    "silent_gateway": _silent_gateway,
    "low_battery": _low_battery,
    "values_arrive": _values_arrive,
    "post_discharge": _post_discharge,
    "orthostatic": _orthostatic,
    "gaps": _gaps,
    "irregular_pulse": _irregular_pulse,
    "fever": _fever,
    "entered_by_hand": _entered_by_hand,
}


def tell(person: Person, seed: int, until: datetime, days: int) -> tuple[StoryItem, ...]:
    """One person's values of the ``days`` before ``until``, by the time they were measured."""
    owned = {device.what: device for device in person.devices}
    items = [
        _item(taken, local, owned.get(taken.what))
        for local, taken in measured(person, seed, until, days)
    ]
    for day in range(days, -1, -1):
        items += _batteries(person, _today(until) - timedelta(days=day), day)
    # What is to come in at or after until has not happened yet.
    return tuple(
        sorted(
            (item for item in items if item.received_at < until),
            key=lambda item: (item.measured_at, item.dev, item.measurement.kind),
        )
    )


def measured(
    person: Person, seed: int, until: datetime, days: int
) -> Iterator[tuple[datetime, Taken]]:
    """What one person measured in the ``days`` before ``until``, with the local time, by day.

    The last day is told to its end, also where ``until`` is earlier.
    """
    assert until.tzinfo is not None, "until knows its zone"
    story = STORIES[person.story]
    for day in range(days, -1, -1):
        # Each day has a chance of its own, so that a longer history does not change the shorter
        # one.
        teller = Teller(random.Random(f"{seed}-{person.key}-{day}"))
        for earlier in range(5, -1, -1):
            teller.level = _level(seed, person.key, day + earlier, teller.level)
        on = _today(until) - timedelta(days=day)
        for taken in story(teller, day):
            yield datetime.combine(on, taken.at) + taken.after, taken


def _today(until: datetime) -> date:
    # Before the morning's measurements are done the day is not yet part of any story.
    return (until.astimezone(HOME_ZONE) - MORNING_DONE).date()


def _level(seed: int, key: str, day: int, before: float) -> float:
    teller = Teller(random.Random(f"level-{seed}-{key}-{day}"), before)
    teller.new_day()
    return teller.level


def _item(taken: Taken, local: datetime, device: OwnedDevice | None) -> StoryItem:
    measured_at = local.replace(tzinfo=HOME_ZONE).astimezone(UTC)
    received_at = measured_at + taken.late
    if device is None:
        return StoryItem(_entered(taken.values), measured_at, received_at, SCREEN, "manual")
    raw = ENCODE[taken.what](taken.values, None if taken.what == "thermometer" else local)
    return StoryItem(DECODE[taken.what](raw), measured_at, received_at, device.dev, device.model)


def _entered(values: Mapping[str, float]) -> Measurement:
    kind = KINDS["blood_pressure"]
    samples = tuple(
        Sample(component.code, float(round(values[component.name])), component.unit)
        for component in kind.components
        if component.name in values
    )
    return Measurement(kind.name, samples, characteristic="", raw=b"")


def _batteries(person: Person, today: date, day: int) -> list[StoryItem]:
    """Each device's battery, read at a link: once a week, daily where it runs low."""
    if (person.story == "silent_gateway" and day < SILENT_DAYS) or (
        person.story == "post_discharge" and day > DISCHARGED_DAYS
    ):
        return []
    items = []
    is_low = person.story == "low_battery" and day <= LOW_BATTERY_DAYS
    if day % BATTERY_EVERY_DAYS == 0 or is_low:
        for number, device in enumerate(person.devices):
            at = datetime.combine(today, BATTERY_READ_AT) + timedelta(minutes=number)
            measured_at = at.replace(tzinfo=HOME_ZONE).astimezone(UTC)
            percent = _battery_percent(person, number, day)
            measurement = battery.decode(battery.encode(percent))
            items.append(
                StoryItem(
                    measurement, measured_at, measured_at + LINK_TIME, device.dev, device.model
                )
            )
    return items


def _battery_percent(person: Person, number: int, day: int) -> int:
    """Falls slowly; the low one stands at 12 % today."""
    if person.story == "low_battery":
        return min(100, 12 + round(0.9 * day))
    return min(100, 55 + 7 * number + day // 4)
