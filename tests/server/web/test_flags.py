"""Every flag is said in words, and what is no reading is shown as what it is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import devices.gatt
from alerts.standing import DOUBTED, NO_READING
from devices import gatt
from devices.errors import DecodeError
from devices.gatt import (
    battery_status,
    blood_pressure,
    cgm,
    glucose,
    health_observation,
    plx,
)
from server.web import words
from server.web.nurse import flags
from server.web.words import Language
from tests.bench.fuzz_codecs import inputs
from tests.server.fix_ward import NOW, Ward

TABLES = (
    blood_pressure._STATUS_NAMES,
    battery_status._FAULTS,
    cgm.STATUS,
    glucose.STATUS,
    health_observation.STATUS,
    plx.MEASUREMENT_STATUS,
    plx.SENSOR_STATUS,
)
OF_TABLES = frozenset(name for table in TABLES for name in table.values())


def test_every_flag_of_the_tables_is_said() -> None:
    assert set(flags.SAYINGS) >= OF_TABLES


def test_every_flag_that_decoders_really_give_is_said() -> None:
    given = set()
    for uuid, raw in inputs(60_000, seed=1):
        try:
            decoded = gatt.decode(uuid, raw)
        except DecodeError:
            continue
        if isinstance(decoded, gatt.Reading):
            given |= {name for one in decoded.measurements for name in one.flags}
    # Most of what there is, so that the test cannot pass by seeing nothing.
    assert len(given) > 60
    assert given <= set(flags.SAYINGS)


def test_every_flag_written_out_in_a_decoder_is_said() -> None:
    text = "".join(file.read_text() for file in Path(devices.gatt.__file__).parent.glob("*.py"))
    # Those that come from no table: the ones appended, and the doubts about a time.
    written = set(re.findall(r'(?:notes\.append\(|notes, |None, \()"([a-z_]+)"', text))
    assert {"measurement_failed", "device_time_invalid", "base_time_only"} <= written
    assert written <= set(flags.SAYINGS)


def test_what_the_rules_treat_apart_is_said_loudly() -> None:
    assert set(flags.SAYINGS) >= NO_READING | DOUBTED
    assert flags.ALARMING >= NO_READING | DOUBTED


def test_a_flag_nobody_knows_is_shown_as_it_came() -> None:
    assert flags.saying("new_thing_2027", words.load()[Language.SV]) == "new thing 2027"


@pytest.mark.integration
async def test_a_demonstration_is_listed_as_one_and_stays_out_of_everything_else(
    ward: Ward,
) -> None:
    anna = await ward.logged_in("anna")
    numbers = {"spo2": 97.0, "pulse": 70.0}
    await ward.receive("pulse_oximetry", numbers, at=NOW - timedelta(minutes=9))
    alerts = await ward.count("alert")
    numbers = {"spo2": 71.0, "pulse": 70.0}
    at = NOW - timedelta(minutes=5)
    await ward.receive("pulse_oximetry", numbers, at=at, flags=("demonstration",))
    assert await ward.count("alert") == alerts
    page = (await anna.get(f"/patient/{ward.patient.public_id}")).text
    row = re.search(r"<td>[^\n]*71 %[^\n]*</td>", page)
    assert row is not None
    for said in ("demonstration, ingen mätning", "räknas inte, larmar inte"):
        assert said in row[0]
    # The figure is drawn from readings, and so is the person's latest value.
    figure = re.search(r'<figure id="syremattnad">.*?</figure>', page, re.DOTALL)
    assert figure is not None
    assert "97 %" in figure[0]
    assert "71 %" not in figure[0]
    async with ward.database.transaction() as tx:
        cursor = await tx.execute("SELECT value FROM latest WHERE component_id = 201")
        assert await cursor.fetchall() == [(97.0,)]
        cursor = await tx.execute("SELECT decided, reason FROM decision ORDER BY id DESC LIMIT 1")
        assert await cursor.fetchall() == [("suppress", "no_reading")]
