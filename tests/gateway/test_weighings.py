"""A scale with both characteristics gives one body weight; nothing it said is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices import wire
from devices.gatt import body_composition, weight
from devices.gatt.body_composition import BodyComposition
from devices.gatt.weight import Weight
from tests.gateway.fix_home import STOCKHOLM, Home, make_home

SCALE, OTHER = "ble-c0ffee00000a", "ble-c0ffee00000b"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


def now(home: Home) -> datetime:
    return home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0)


def weigh(home: Home, kg: float, time: datetime | None, *, dev: str = SCALE) -> None:
    raw = weight.encode(Weight(kg, time=time))
    home.journal.append(dev=dev, model="m", characteristic="2A9D", raw=raw)
    home.intake.take_all()


def analyse(home: Home, kg: float | None, time: datetime | None, *, dev: str = SCALE) -> None:
    raw = body_composition.encode(BodyComposition(25.3, time=time, weight=kg))
    home.journal.append(dev=dev, model="m", characteristic="2A9C", raw=raw)
    home.intake.take_all()


def said(home: Home) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    query = "SELECT item FROM outbox WHERE item <> x'00' ORDER BY seq"
    items = [wire.decode_item(row["item"]) for row in home.outbox.connection.execute(query)]
    return [(item.kind, item.char, item.flags) for item in items]


WEIGHT = ("body_weight", "2A9D", ())
COMPOSITION = ("body_composition", "2A9C", ())
WEIGHT_OF_COMPOSITION = ("body_weight", "2A9C", ())


@pytest.mark.parametrize("has_clock", [True, False])
def test_one_weighing_is_one_weight(home: Home, has_clock: bool) -> None:
    time = now(home) if has_clock else None
    weigh(home, 79.6, time)
    home.push(12)
    analyse(home, 79.6, time)
    assert said(home) == [WEIGHT, COMPOSITION]


def test_the_composition_keeps_the_bytes_of_its_weight(home: Home) -> None:
    weigh(home, 79.6, now(home))
    analyse(home, 79.6, now(home))
    rows = home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=99)
    raw = wire.decode_item(rows[1].item).raw
    assert raw is not None
    again = body_composition.decode(bytes.fromhex(raw))
    assert [one.kind for one in again.measurements] == ["body_composition", "body_weight"]


@pytest.mark.parametrize(
    ("first", "second", "is_same"), [(1, 1, True), (1, 2, False), (None, 2, True), (1, None, True)]
)
def test_two_people_may_weigh_the_same(
    home: Home, first: int | None, second: int | None, is_same: bool
) -> None:
    for characteristic, raw in (
        ("2A9D", weight.encode(Weight(79.6, user=first))),
        ("2A9C", body_composition.encode(BodyComposition(25.3, user=second, weight=79.6))),
    ):
        home.journal.append(dev=SCALE, model="m", characteristic=characteristic, raw=raw)
    home.intake.take_all()
    kept = [] if is_same else [WEIGHT_OF_COMPOSITION]
    assert said(home) == [WEIGHT, COMPOSITION, *kept]


@pytest.mark.parametrize(
    ("kg", "dev", "minutes"),
    [(79.7, SCALE, 0), (79.6, OTHER, 0), (79.6, SCALE, 10)],
)
def test_another_weight_scale_or_time_is_kept(
    home: Home, kg: float, dev: str, minutes: int
) -> None:
    weigh(home, 79.6, now(home))
    analyse(home, kg, now(home) - timedelta(minutes=minutes), dev=dev)
    assert said(home) == [WEIGHT, COMPOSITION, WEIGHT_OF_COMPOSITION]


def test_a_weight_long_before_is_another_weighing(home: Home) -> None:
    weigh(home, 79.6, None)
    home.push(121)
    analyse(home, 79.6, None)
    assert said(home) == [WEIGHT, COMPOSITION, WEIGHT_OF_COMPOSITION]


def test_a_composition_alone_gives_its_weight_and_one_without_gives_none(home: Home) -> None:
    analyse(home, 79.6, now(home))
    analyse(home, None, now(home))
    assert said(home) == [COMPOSITION, WEIGHT_OF_COMPOSITION, COMPOSITION]


def test_the_composition_first_leaves_both_and_marks_the_second(home: Home) -> None:
    analyse(home, 79.6, now(home))
    weigh(home, 79.6, now(home))
    assert said(home) == [
        COMPOSITION,
        WEIGHT_OF_COMPOSITION,
        ("body_weight", "2A9D", ("possible_repeat",)),
    ]


def test_the_memory_of_the_scale_brings_no_second_weight(home: Home) -> None:
    time = now(home)
    weigh(home, 79.6, time)
    analyse(home, 79.6, time)
    home.push(3600)
    weigh(home, 79.6, time)
    analyse(home, 79.6, time)
    assert [kind for kind, _, _ in said(home)] == ["body_weight", "body_composition"]


def test_a_row_that_cannot_be_read_is_no_twin(home: Home) -> None:
    weigh(home, 79.6, now(home))
    home.outbox.connection.execute("UPDATE outbox SET item=x'00'")
    analyse(home, 79.6, now(home))
    assert [kind for kind, _, _ in said(home)] == ["body_composition", "body_weight"]
