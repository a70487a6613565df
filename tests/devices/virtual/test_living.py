"""Invented people use every kind of device, plausibly and the same way each time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from devices import gatt
from devices.plausible import implausible
from devices.virtual.designs import DESIGNS
from devices.virtual.living import live, measured_since, values_at
from devices.virtual.people import PEOPLE, Person
from devices.virtual.place import Place

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
BY_KEY = {person.key: person for person in PEOPLE}
DIABETIC, WELL = BY_KEY["DEMO-05"], BY_KEY["DEMO-06"]


@pytest.mark.parametrize("what", DESIGNS)
@pytest.mark.parametrize("person", [DIABETIC, BY_KEY["DEMO-11"]], ids=lambda one: one.key)
async def test_what_a_person_measures_is_plausible(person: Person, what: str) -> None:
    async with Place(utc=lambda: NOW) as place:
        device = await place.add(what)
        record = device.store(values_at(person, what, NOW))
    decoded = gatt.decode(device.design.measurement, record.raw)
    assert isinstance(decoded, gatt.Reading)
    for measurement in decoded.measurements:
        assert measurement.samples
        assert implausible(measurement.kind, measurement.samples) == ()


def test_the_same_seed_measures_the_same() -> None:
    for what in DESIGNS:
        assert values_at(WELL, what, NOW, 3) == values_at(WELL, what, NOW, 3)
    one, other = (values_at(WELL, "cgm", NOW, seed) for seed in (1, 2))
    assert one != other


def test_glucose_rises_after_a_meal_and_more_with_diabetes() -> None:
    def day(person: Person) -> list[float]:
        midnight = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
        until = midnight + timedelta(days=1)
        return [values["glucose"] for _, values in measured_since(person, "cgm", midnight, until)]

    well, diabetic = day(WELL), day(DIABETIC)
    assert len(well) == len(diabetic) == 288
    assert max(well) > well[0] + 1
    assert max(diabetic) > max(well) + 1
    steps = [abs(later - earlier) for earlier, later in pairwise(diabetic)]
    assert max(steps) < 1.5, "tissue glucose does not jump"


def test_a_meter_is_used_around_meals() -> None:
    since = NOW - timedelta(days=2)
    used = list(measured_since(DIABETIC, "glucose_meter", since, NOW))
    assert [values["meal"] for _, values in used] == [2.0, 5.0, 3.0, 1.0, 2.0, 5.0, 3.0, 1.0]
    assert [at for at, _ in used] == sorted(at for at, _ in used)


async def test_devices_hold_what_nobody_fetched() -> None:
    async with Place(utc=lambda: NOW) as place:
        since = NOW - timedelta(days=1)
        devices = await live(
            place, DIABETIC, since=since, until=NOW, whats=("cuff", "glucose_meter", "cgm")
        )
        assert len(devices["cgm"].undelivered) == 288
        assert len(devices["glucose_meter"].undelivered) == 4
        assert len(devices["cuff"].undelivered) == 1
        mine = await live(place, DIABETIC, since=since, until=NOW)
        assert list(mine) == ["cuff"]
        assert [one.raw for one in mine["cuff"].undelivered] != []
