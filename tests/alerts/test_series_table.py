"""A history written as a table."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import Direction
from alerts.series_table import TableError, read

HEAD = "patient,time,kind,code,value,unit"
PRESSURE = [
    "p1,2026-11-22T07:12:00Z,blood_pressure,150021,183,mm[Hg]",
    "p1,2026-11-22T07:12:00Z,blood_pressure,150022,82,mm[Hg]",
]


def table(*rows: str, head: str = HEAD) -> list[str]:
    return [head, *rows]


def test_rows_of_one_moment_and_kind_are_one_measurement() -> None:
    ((arrival,),) = read(table(*PRESSURE)).values()
    assert arrival.received_at == datetime(2026, 11, 22, 7, 12, tzinfo=UTC)
    assert [(r.component, r.value) for r in arrival.readings] == [(101, 183.0), (102, 82.0)]
    assert len({r.uid for r in arrival.readings}) == 1


def test_the_same_row_twice_is_one_reading_and_another_value_another_measurement() -> None:
    again = [*PRESSURE, PRESSURE[0], PRESSURE[0].replace("183", "171")]
    (arrivals,) = read(table(*again)).values()
    assert sorted(len(one.readings) for one in arrivals) == [1, 2]
    assert sorted(one.readings[0].value or 0 for one in arrivals) == [171.0, 183.0]


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(chance: random.Random) -> None:
    rows = [
        *PRESSURE,
        *(one.replace("p1", "p2") for one in PRESSURE),
        PRESSURE[0].replace("183", "171"),
    ]
    mixed = rows.copy()
    chance.shuffle(mixed)
    expected = read(table(*rows))
    found = read(table(*mixed))
    assert {p: sorted(map(repr, a)) for p, a in found.items()} == {
        p: sorted(map(repr, a)) for p, a in expected.items()
    }


def test_optional_columns_in_any_order() -> None:
    head = "device,flags,received,ctx," + HEAD
    row = 'cuff,irregular_pulse;cuff_loose,2026-11-22T09:00:00+01:00,"{""user_index"":1}",'
    ((arrival,),) = read(table(row + PRESSURE[0], head=head)).values()
    assert arrival.received_at == datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    assert arrival.readings[0].flags == {"irregular_pulse", "cuff_loose"}


def test_what_has_no_number_has_a_side() -> None:
    row = "p1,2026-11-22T07:12:00Z,glucose,160184,HI,mmol/L"
    ((arrival,),) = read(table(row)).values()
    assert (arrival.readings[0].value, arrival.readings[0].beyond) == (None, Direction.HIGH)


@pytest.mark.parametrize(
    ("kind", "code", "value", "unit", "expected"),
    [
        ("glucose", "160184", "90.08", "mg/dL", 5.0),
        ("body_temperature", "150364", "100.4", "[degF]", 38.0),
        ("body_temperature", "150364", "38", "°C", 38.0),
        ("body_weight", "188736", "100", "[lb_av]", 45.359237),
        ("blood_pressure", "150021", "20", "kPa", 150.0124),
        ("blood_pressure", "149546", "71", "beats/min", 71.0),
    ],
)
def test_units_are_converted_to_the_catalogues(
    kind: str, code: str, value: str, unit: str, expected: float
) -> None:
    row = f"p1,2026-11-22T07:12:00Z,{kind},{code},{value},{unit}"
    ((arrival,),) = read(table(row)).values()
    assert arrival.readings[0].value == pytest.approx(expected, abs=1e-9)


def test_a_time_without_a_zone_is_utc() -> None:
    ((arrival,),) = read(table(PRESSURE[0].replace("T07:12:00Z", " 07:12:00"))).values()
    assert arrival.readings[0].measured_at == datetime(2026, 11, 22, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["patient,time,kind,code,value"], "line 1: column unit is missing"),
        ([HEAD + ",colour"], "line 1: unknown column colour"),
        ([HEAD + ",unit"], "stands there twice"),
        ([HEAD, "p1,2026-11-22T07:12:00Z,blood_pressure"], "line 2: as many fields"),
        ([HEAD, PRESSURE[0] + ",9"], "line 2: as many fields"),
        ([HEAD, PRESSURE[0].replace("p1", " ")], "column patient: is empty"),
        ([HEAD, PRESSURE[0].replace("blood_pressure", "blod")], "hemma devices kinds"),
        ([HEAD, PRESSURE[0].replace("150021", "150456")], "it has 150021 (systolic)"),
        ([HEAD, PRESSURE[0], PRESSURE[1].replace("82", "8x")], "line 3, column value: '8x'"),
        ([HEAD, PRESSURE[0].replace("183", "nan")], "column value"),
        ([HEAD, PRESSURE[0].replace("mm[Hg]", "cm")], "'cm' is not mm[Hg] or mmHg or kPa"),
        ([HEAD, PRESSURE[0].replace("2026-11-22", "22/11")], "write 2026-11-22T07:12:00Z"),
        ([HEAD + ",flags", PRESSURE[0] + ",Irregular!"], "lower_case_words"),
        ([HEAD + ",ctx", PRESSURE[0] + ",[1]"], "is no JSON object"),
        ([HEAD, 'p1,"2026'], "not a line of CSV"),
        ([], "line 1: column patient"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_a_remedy(
    rows: list[str], said: str
) -> None:
    with pytest.raises(TableError) as refused:
        read(rows)
    assert said in str(refused.value)
