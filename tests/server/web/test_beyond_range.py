"""HI and LO as a nurse reads them: where the result lies, never a number that nobody measured."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest

from alerts.limits import Guardrail, Override
from devices.wire.shapes import AbsentReason
from server.store import cited
from server.store.cited import EvidenceRow
from server.store.limits import set_limit
from server.web.nurse.sayings import parts_of, reading
from server.web.words import Language, load
from tests.server.fix_ward import NOW, Ward
from tests.server.web.test_newest_values import worklist_entry

WORDS = load()
GLUCOSE = 601


def test_a_whole_reading_says_where_it_lies() -> None:
    for absent, flags, sv, en in (
        ("pos_inf", set(), "över mätarens mätområde (HI)", "above the meter's range (HI)"),
        ("neg_inf", set(), "under mätarens mätområde (LO)", "below the meter's range (LO)"),
        (
            "nan",
            {"result_too_high"},
            "över mätarens mätområde (HI)",
            "above the meter's range (HI)",
        ),
        ("nan", set(), "inget tal (apparaten fick inget värde)", None),
    ):
        parts = parts_of([GLUCOSE], [None], [absent], flags)
        assert reading(6, parts, WORDS[Language.SV]) == f"blodsocker {sv}"
        if en is not None:
            assert reading(6, parts, WORDS[Language.EN]) == f"glucose {en}"


def test_a_pressure_beyond_the_range_is_not_written_as_a_pair() -> None:
    parts = parts_of([101, 102], [None, 120.0], ["pos_inf", None])
    assert reading(1, parts, WORDS[Language.SV]) == (
        "övertryck över mätarens mätområde (HI), undertryck 120 mmHg"
    )


def test_beyond_is_the_worst_of_its_side() -> None:
    def row(minute: int, value: float | None, beyond: str | None = None) -> EvidenceRow:
        at = NOW + timedelta(minutes=minute)
        return EvidenceRow(UUID(int=0), UUID(int=minute), GLUCOSE, at, value, (), beyond)

    rows = [row(1, 17.0), row(2, None, "high"), row(3, 30.0)]
    assert cited.worst(rows, is_high=True) == [rows[1]]
    lows = [row(1, 2.0), row(2, None, "low"), row(3, 3.5)]
    assert cited.worst(lows, is_high=False) == [lows[1]]
    assert rows[1].flags == []


async def own_limit(ward: Ward, component: int = GLUCOSE) -> None:
    bounds = Guardrail(red_low=3, yellow_low=4, yellow_high=15, red_high=20)
    async with ward.database.transaction() as tx:
        override = Override(component, bounds, "Lars Läkare", "")
        await set_limit(tx, ward.patient.id, override, at=NOW - timedelta(days=30))


@pytest.mark.integration
async def test_the_page_says_hi_in_alert_and_table(ward: Ward) -> None:
    await own_limit(ward)
    at = NOW - timedelta(minutes=5)
    uid = await ward.receive("glucose", {"glucose": "pos_inf"}, at=at, flags=("result_too_high",))
    await ward.receive("glucose", {"glucose": 17.0}, at=NOW - timedelta(minutes=1))
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}"
    page = (await anna.get(path)).text
    assert "Värst i larmet: Blodsocker över mätarens mätområde (HI), över rött 20,0" in page
    assert "Blodsocker över gräns: blodsocker över mätarens mätområde (HI, gräns 20,0" in page
    assert "Personens egen gräns: blodsocker 20,0 mmol/L eller högre" in page
    row = re.search(r"<td><span class=\"num\">blodsocker över[^\n]*</td>", page)
    assert row is not None
    assert "blodsocker över mätarens mätområde (HI)</span>" in row[0]
    assert "ingen gräns satt" not in row[0]
    alert = await worklist_entry(anna, "glucose.glucose.high")
    (sample,) = [one for one in alert["evidence"] if one["uid"] == uid]
    assert (sample["value"], sample["absent"], sample["flags"]) == (
        None,
        "pos_inf",
        ["result_too_high"],
    )
    assert [one["absent"] for one in alert["worst"]] == ["pos_inf"]


@pytest.mark.integration
async def test_the_list_leads_with_lo_and_without_a_limit_says_so(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}"
    before = await ward.count("alert")
    await ward.receive("glucose", {"glucose": "neg_inf"}, at=NOW - timedelta(minutes=9))
    row = re.search(r"<td>[^\n]*\(LO\)[^\n]*</td>", (await anna.get(path)).text)
    assert row is not None
    assert "ingen gräns satt" in row[0]
    assert await ward.count("alert") == before
    await own_limit(ward)
    await ward.receive("glucose", {"glucose": "neg_inf"}, at=NOW - timedelta(minutes=5))
    assert (
        "Blodsocker under mätarens mätområde (LO), under rött 3,0"
        in (await anna.get("/arbetslista")).text
    )


@pytest.mark.integration
async def test_a_figure_says_hi_as_the_latest_and_draws_no_point_for_it(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    page = f"/patient/{ward.patient.public_id}"
    numbers = {"systolic": 150.0, "diastolic": 90.0, "pulse": 70.0}
    await ward.receive("blood_pressure", numbers, at=NOW - timedelta(hours=1))
    beyond: dict[str, float | AbsentReason] = {"systolic": "pos_inf", "diastolic": 130.0}
    await ward.receive("blood_pressure", beyond, at=NOW - timedelta(minutes=5))
    text = (await anna.get(page)).text
    figure = re.search(r'<figure id="blodtryck">.*?</figure>', text, re.DOTALL)
    assert figure is not None
    assert "Senast övertryck över mätarens mätområde (HI), undertryck 130 mmHg" in figure[0]
    # Read aloud: what has no number is told apart, and counts in no highest.
    assert re.search(r"Övertryck: \d värden, lägst \d+, högst \d{3}\.", figure[0])
    assert "Övertryck: 1 utanför mätarens mätområde." in figure[0]
    assert 'class="mark red"' in figure[0]
    for wrong in ("inf", "nan"):
        assert not re.search(rf'"[^"<>]*[\d ,M-]{wrong}\b', figure[0])
