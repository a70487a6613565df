"""People who use virtual devices: what an invented person would measure now, or has measured since.

Cuff, scale, thermometer and oximeter follow the person's story; glucose, tissue glucose and heart
rate are made for everybody. Meals raise glucose within the hour, more with diabetes; a sensor lags
a few minutes behind the blood. Plausible, not measured. The same person, seed and time give the
same values.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

from devices.virtual.design import Values
from devices.virtual.device import VirtualDevice
from devices.virtual.people import Person
from devices.virtual.place import Place
from devices.virtual.stories import HOME_ZONE, Teller, measured

USUAL: Mapping[str, Values] = {
    "cuff": {"systolic": 132, "diastolic": 78, "pulse": 68},
    "scale": {"weight": 72.0},
    "thermometer": {"temperature": 36.6},
    "oximeter": {"spo2": 96, "pulse": 68},
    "body_composition": {"body_fat": 28.0, "weight": 72.0, "muscle": 36.0},
}
"""What is measured with a device that the person's story does not know."""
SAME = {
    "plain_cuff": "cuff",
    "two_user_cuff": "cuff",
    "taidoc_cuff": "cuff",
    "oximeter_continuous": "oximeter",
    "nonin_oximeter": "oximeter",
    "cgm_with_crc": "cgm",
}
"""Which kinds of device measure the same thing."""
LOOKS_BACK_DAYS = 30
MEALS = (7.5, 12.5, 18.0)
"""Hours of the day."""
GLUCOSE_TIMES = ((time(7, 10), 3), (time(12, 20), 1), (time(14, 30), 2), (time(21, 45), 5))
"""When a meter is used, and the number of the meal (``glucose_context.MEALS``)."""
SENSOR_STEP = timedelta(minutes=5)
SENSOR_LAG = timedelta(minutes=8)
FASTING_MMOL_L, PEAK_MMOL_L, RISES_H = 5.3, 2.0, 0.8
DIABETES_FASTING_MMOL_L, DIABETES_PEAK_MMOL_L = 7.4, 4.5


def values_at(person: Person, what: str, at: datetime, seed: int = 1) -> Values:
    """What ``person`` would measure with a device of kind ``what`` at ``at`` (aware)."""
    assert at.tzinfo is not None, "at knows its zone"
    same = SAME.get(what, what)
    if same == "glucose_meter":
        return {"glucose": round(_glucose(person, at, seed), 1)}
    if same == "cgm":
        now = _glucose(person, at - SENSOR_LAG, seed)
        before = _glucose(person, at - SENSOR_LAG - SENSOR_STEP, seed)
        step_min = SENSOR_STEP.total_seconds() / 60
        return {"glucose": round(now, 1), "trend": round((now - before) / step_min, 3)}
    if same == "heart_rate":
        return {"heart_rate": round(_heart_rate(person, at, seed))}
    return _of_story(person, same, at, seed)


def measured_since(
    person: Person, what: str, since: datetime, until: datetime, seed: int = 1
) -> Iterator[tuple[datetime, Values]]:
    """What ``person`` measured with ``what`` in that time (UTC), oldest first, and when."""
    same = SAME.get(what, what)
    for at in _times(person, same, since, until, seed):
        if since <= at < until:
            values = values_at(person, what, at, seed)
            meal = dict(GLUCOSE_TIMES).get(_local(at).time().replace(second=0))
            tells_meal = same == "glucose_meter" and meal is not None
            yield at, {**values, "meal": float(meal or 0)} if tells_meal else values


async def live(
    place: Place,
    person: Person,
    *,
    since: datetime,
    until: datetime,
    seed: int = 1,
    whats: Iterable[str] = (),
) -> dict[str, VirtualDevice]:
    """Bring ``person``'s devices, with all that was measured in that time and nobody fetched.

    ``whats`` are names of ``DESIGNS``, default the person's own devices. Returns them by what they
    are; wake them to have the values fetched.
    """
    chosen = tuple(whats) or tuple(device.what for device in person.devices)
    devices = {what: await place.add(what) for what in chosen}
    for what, device in devices.items():
        for at, values in measured_since(person, what, since, until, seed):
            device.store(values, at=at)
    return devices


def _times(
    person: Person, what: str, since: datetime, until: datetime, seed: int
) -> Iterator[datetime]:
    days = (until - since).days + 2
    if what == "cgm":
        at = datetime.fromtimestamp(since.timestamp() // 300 * 300, UTC)
        while at < until:
            yield at
            at += SENSOR_STEP
    elif what == "glucose_meter":
        for day in range(days, -1, -1):
            on = _local(until).date() - timedelta(days=day)
            for at_local, _ in GLUCOSE_TIMES:
                yield datetime.combine(on, at_local, HOME_ZONE).astimezone(UTC)
    else:
        for local, taken in measured(person, seed, until, days):
            if taken.what == what:
                yield local.replace(tzinfo=HOME_ZONE).astimezone(UTC)


def _of_story(person: Person, what: str, at: datetime, seed: int) -> Values:
    """The story's value nearest before the end of the day, else what is usual, with its noise."""
    told = {
        local: taken.values
        for local, taken in measured(person, seed, at, LOOKS_BACK_DAYS)
        if taken.what == what
    }
    if told:
        here = _local(at).replace(tzinfo=None)
        return told[min(told, key=lambda local: abs(local - here))]
    rng = random.Random(f"{seed}-{person.key}-{what}-{at.timestamp():.0f}")
    return {name: value * (1 + rng.gauss(0, 0.01)) for name, value in USUAL[what].items()}


def _glucose(person: Person, at: datetime, seed: int) -> float:
    is_diabetic = "diabetes" in person.conditions
    fasting = DIABETES_FASTING_MMOL_L if is_diabetic else FASTING_MMOL_L
    peak = DIABETES_PEAK_MMOL_L if is_diabetic else PEAK_MMOL_L
    local = _local(at)
    day = random.Random(f"{seed}-{person.key}-glucose-{local.date()}")
    level = fasting + day.gauss(0, 0.3)
    hour = local.hour + local.minute / 60 + local.second / 3600
    for meal in MEALS:
        since_h = hour - (meal + day.gauss(0, 0.25))
        size = peak * day.uniform(0.7, 1.3)
        if since_h > 0:
            # Rises to its peak after RISES_H and falls from there.
            level += size * since_h / RISES_H * math.exp(1 - since_h / RISES_H)
    return max(2.5, level)


def _heart_rate(person: Person, at: datetime, seed: int) -> float:
    local = _local(at)
    rng = random.Random(f"{seed}-{person.key}-heart-{at.timestamp():.0f}")
    teller = Teller(random.Random(f"{seed}-{person.key}-rest"))
    resting = 66 + teller.rng.gauss(0, 5)
    by_day = 8 * max(0.0, math.sin((local.hour - 6) / 16 * math.pi))
    return max(45.0, resting + by_day + rng.gauss(0, 3))


def _local(at: datetime) -> datetime:
    return at.astimezone(HOME_ZONE)
