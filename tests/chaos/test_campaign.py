"""Thirty seeded faults of all kinds on each run of the tests: nothing lost, nothing doubled."""

from __future__ import annotations

import pytest

from hemma.broker import mosquitto_program
from hemma.errors import MissingPartError
from tests.chaos import campaign
from tests.chaos.faults import KINDS, plan
from tests.fix_missing import missing
from tests.fix_postgres import plain_installation, timescale_installation

SEED = 10
FAULTS = 30
STAGES = 3


def test_the_same_seed_makes_the_same_plan() -> None:
    made = [plan(seed, 50, with_engine=True) for seed in ("1-0", "1-0", "1-1")]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("count", [1, 2, 16, 30, 300])
def test_a_plan_has_as_many_faults_as_asked_and_all_kinds_alike(count: int) -> None:
    blows = plan("7", count, with_engine=True)
    kinds = [strike.kind for blow in blows for strike in blow.strikes]
    assert len(kinds) == count
    assert sum(map(len, campaign.blocks(blows))) == len(blows)
    times = [kinds.count(name) for name in KINDS]
    assert max(times) - min(times) <= 2
    for blow in blows:
        parts = [KINDS[strike.kind].part for strike in blow.strikes]
        assert len(set(parts)) == len(parts), "two faults of one part do not overlap"


def test_the_thirty_are_of_all_kinds() -> None:
    played = campaign.casts(SEED, FAULTS, STAGES, ["postgres", "timescale"])
    struck = {strike.kind for one in played for blow in one.blows for strike in blow.strikes}
    assert struck == KINDS.keys()
    assert {one.database for one in played} == {"postgres", "timescale"}


@pytest.mark.integration
def test_thirty_faults_lose_nothing_and_double_nothing() -> None:
    try:
        mosquitto_program()
    except MissingPartError as error:
        missing(error.what)
    found = {"postgres": plain_installation(), "timescale": timescale_installation()}
    played = campaign.casts(SEED, FAULTS, STAGES, list(found))
    report = campaign.run(SEED, played, found, at_once=STAGES, say=print)
    assert report.wrong == [], f"seed {SEED}, {FAULTS} faults, {STAGES} stages"
    assert report.faults == FAULTS
    assert report.total("lost") == report.total("doubled") == 0
    assert report.total("written") == report.total("stored") == report.total("acknowledged") > 0
