"""judge_inbox() on real databases: exactly once, in order, by several engines, through crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from alerts.decision import Inputs
from alerts.lifecycle import fold
from alerts.limits import Guardrail, Override
from alerts.plan import SPO2
from server.alerting.judge import judge_inbox, re_evaluate
from server.store import alert_commands, alerts, bindings, limits
from server.store.database import Database
from tests.server.alerting.fix_engine import arrive, engine, judge, minutes, saturation
from tests.server.homes import NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with engine(database_url) as database:
        yield database


def brief(url: str) -> list[tuple[object, ...]]:
    """Every alert in short, and how much it cites."""
    return rows(
        url,
        """SELECT a.rule, a.severity, a.handling, a.condition,
                  (SELECT count(*) FROM alert_evidence e WHERE e.alert_id = a.id)
           FROM alert a ORDER BY a.opened_at, a.rule""",
    )


async def test_a_red_value_becomes_an_alert_that_cites_it(
    database: Database, home: Home, database_url: str
) -> None:
    item = saturation(1, 88.0)
    await arrive(database, home, item)
    judged = await judge(database)
    assert (judged.measurements, judged.fired, judged.left) == (1, 1, 0)
    ((patient, unit, severity, text, why, version, uid, value),) = rows(
        database_url,
        """SELECT a.patient_id, a.unit_id, a.severity, a.text_sv, a.why, a.version,
                  replace(e.uid::text, '-', ''), e.value
           FROM alert a JOIN alert_evidence e ON e.alert_id = a.id""",
    )
    assert (patient, unit, severity, version) == (home.patient, home.unit, "red", 1)
    assert text == "Syremättnad under gräns: syremättnad 88 % (gräns 91 %)."
    assert why.startswith("Förslag")
    assert (uid, value) == (item.uid, 88.0)


async def test_an_alert_can_be_derived_again(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, saturation(1, 88.0))
    await judge(database)
    ((kept,),) = rows(database_url, "SELECT inputs FROM alert")
    inputs = msgspec.convert(kept, Inputs)
    assert inputs.origins[str(SPO2)] == {"red_low": "national", "yellow_low": "national"}
    assert inputs.rule.rule == "spo2.target"


async def test_what_is_fine_opens_nothing_and_waits_no_more(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, pressure(1), saturation(2, 97.0))
    assert (await judge(database)).decisions == ()
    assert brief(database_url) == []
    assert (await judge(database)).measurements == 0


async def test_more_evidence_extends_recovers_and_never_doubles(
    database: Database, home: Home, database_url: str
) -> None:
    for seq, (systolic, minute) in enumerate([(170.0, 0), (175.0, 30), (230.0, 60)], start=1):
        await arrive(database, home, pressure(seq, at=minutes(minute), systolic=systolic))
        await judge(database, minutes(minute))
    assert brief(database_url) == [("bp.high", "red", "open", "firing", 3)]
    await arrive(database, home, pressure(9, at=minutes(90)))
    await judge(database, minutes(90))
    assert brief(database_url) == [("bp.high", "red", "open", "recovered", 3)]
    events = [row[0] for row in rows(database_url, "SELECT event FROM alert_event ORDER BY id")]
    assert events == ["fired", "extended", "raised", "recovered"]
    assert rows(database_url, "SELECT text_sv FROM alert")[0][0].startswith(
        "Blodtryck över gräns: övertryck 230 mmHg (gräns 220 mmHg)"
    )


async def test_the_row_is_the_fold_of_its_events(
    database: Database, home: Home, database_url: str
) -> None:
    for seq, systolic in enumerate([170.0, 230.0, 128.0, 165.0], start=1):
        at = minutes(seq * 20)
        await arrive(database, home, pressure(seq, at=at, systolic=systolic))
        await judge(database, at)
    ((alert_id, severity, condition, version, measured_at),) = rows(
        database_url, "SELECT id, severity, condition, version, measured_at FROM alert"
    )
    async with database.transaction() as tx:
        state = fold(await alerts.events_of(tx, alert_id))
    assert (state.severity, state.condition, state.version) == (severity, condition, version)
    assert state.measured_at == measured_at


async def test_a_week_s_backlog_is_one_alert(
    database: Database, home: Home, database_url: str
) -> None:
    week = [
        pressure(day, at=NOON - timedelta(days=9 - day), systolic=170.0 + day)
        for day in range(1, 8)
    ]
    await arrive(database, home, *week, stored_at=NOON)
    await judge(database)
    assert brief(database_url) == [("bp.high", "yellow", "open", "firing", 7)]
    assert rows(database_url, "SELECT text_sv FROM alert")[0][0].startswith("Sen mätning. ")


async def test_repeats_are_found_among_what_is_stored(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, pressure(1, systolic=130.0))
    await judge(database)
    await arrive(database, home, pressure(2, at=minutes(2), systolic=170.0))
    await judge(database, minutes(2))
    assert brief(database_url) == []
    assert rows(database_url, "SELECT decided, reason, alert_id FROM decision") == [
        ("suppress", "repeats_disagree", None)
    ]


async def test_implausible_yellow_is_a_recorded_decision_and_red_an_alert(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, pressure(1, systolic=170.0, flags=("implausible",)))
    await arrive(database, home, saturation(2, 55.0))
    await judge(database)
    assert rows(database_url, "SELECT decided, reason FROM decision ORDER BY id") == [
        ("ask_repeat", "implausible"),
        ("fire", "limit_reached"),
    ]
    assert rows(database_url, "SELECT text_sv FROM alert")[0][0].startswith("Orimligt värde")


async def test_a_person_s_own_limit_holds_from_its_day(
    database: Database, home: Home, database_url: str
) -> None:
    own = Override(SPO2, Guardrail(red_low=85, yellow_low=88), "Dr Exempel", "KOL")
    async with database.transaction() as tx:
        await limits.set_limit(tx, home.patient, own, at=NOON)
        plan = await limits.plan_of(tx, home.patient, at=NOON)
        neighbour = await limits.plan_of(tx, home.neighbour, at=NOON)
    assert plan.limits[SPO2].origins["red_low"] == "patient"
    assert neighbour.limits[SPO2].bounds.red_low == 91
    await arrive(database, home, saturation(1, 89.0))
    await judge(database)
    assert brief(database_url) == []
    async with database.transaction() as tx:
        ended = Override(SPO2, Guardrail(), "Dr Exempel", "Åter till gemensam gräns")
        await limits.set_limit(tx, home.patient, ended, at=minutes(1))
        assert (await limits.plan_of(tx, home.patient, at=minutes(1))).limits[
            SPO2
        ].bounds.red_low == 91
        history = await limits.history_of(tx, home.patient)
    assert [(row.since, row.until) for row in history] == [(NOON, minutes(1))]


async def test_a_limit_that_contradicts_itself_stops_nobody(
    database: Database, home: Home, database_url: str
) -> None:
    rows(
        database_url,
        """INSERT INTO patient_limit (patient_id, component_id, red_low, yellow_low, set_by, valid)
           VALUES (%s, 201, 95, 90, 'någon', tstzrange(%s, NULL)) RETURNING id""",
        home.patient,
        NOON - timedelta(days=1),
    )
    await arrive(database, home, saturation(1, 88.0))
    await judge(database)
    assert brief(database_url) == [("spo2.target", "red", "open", "firing", 1)]
    async with database.transaction() as tx:
        plan = await limits.plan_of(tx, home.patient, at=NOON)
    assert [refused.component for refused in plan.refused] == [SPO2]


async def test_engines_side_by_side_judge_each_value_once(
    database: Database, home: Home, database_url: str
) -> None:
    for seq in range(1, 41):
        at = minutes(seq * 15)
        await arrive(database, home, pressure(seq, at=at, systolic=170.0), stored_at=NOON)

    async def work() -> int:
        judged = 0
        async with engine(database_url) as own:
            while True:
                async with own.transaction() as tx:
                    done = await judge_inbox(tx, now=minutes(700), limit=3)
                judged += done.measurements
                if done.left == 0:
                    return judged

    counts = await asyncio.gather(work(), work(), work())
    assert sum(counts) == 40
    assert brief(database_url) == [("bp.high", "yellow", "open", "firing", 40)]
    assert rows(database_url, "SELECT count(*) FROM decision") == [(40,)]


async def test_a_person_is_one_engine_s_at_a_time(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, saturation(1, 88.0))
    async with engine(database_url) as other:
        async with database.transaction() as first:
            assert (await judge_inbox(first, now=NOON)).fired == 1
            await arrive(other, home, saturation(2, 87.0, minutes(1)))
            async with other.transaction() as second:
                meanwhile = await judge_inbox(second, now=minutes(1))
            assert (meanwhile.measurements, meanwhile.left) == (0, 2)
        assert (await judge(other, minutes(1))).measurements == 1
    assert brief(database_url) == [("spo2.target", "red", "open", "firing", 2)]


async def test_an_engine_killed_before_commit_leaves_nothing_half_done(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, saturation(1, 88.0))

    async def dies() -> None:
        async with database.transaction() as tx:
            assert (await judge_inbox(tx, now=NOON)).fired == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await dies()
    assert brief(database_url) == []
    assert rows(database_url, "SELECT count(*) FROM engine_inbox") == [(1,)]
    first = await judge(database)
    assert first.fired == 1
    assert len(rows(database_url, "SELECT 1 FROM alert_event")) == 1


async def test_judging_a_value_again_changes_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    item = saturation(1, 88.0)
    await arrive(database, home, item)
    await judge(database)
    ((uid,),) = rows(database_url, "SELECT uid FROM measurement")
    async with database.transaction() as tx:
        assert await re_evaluate(tx, uid, at=NOON)
        assert not await re_evaluate(tx, UUID(int=0), at=NOON)
    assert (await judge(database)).measurements == 1
    assert brief(database_url) == [("spo2.target", "red", "open", "firing", 1)]
    assert len(rows(database_url, "SELECT 1 FROM alert_event")) == 1


async def test_a_red_value_of_an_unbound_device_alerts_the_gateway_s_unit(
    database: Database, home: Home, database_url: str
) -> None:
    spare = "ble-00aabbccddee"
    await arrive(
        database,
        home,
        saturation(1, 88.0, dev=spare),
        saturation(2, 92.0, dev=spare),  # yellow: asked of nobody
    )
    await judge(database)
    ((patient, gateway, unit, rule, severity, text),) = rows(
        database_url, "SELECT patient_id, gateway_id, unit_id, rule, severity, text_sv FROM alert"
    )
    assert (patient, gateway, unit) == (None, home.gateway, home.unit)
    assert (rule, severity) == (f"unassigned.spo2.target/{spare}", "red")
    assert text.startswith("Rött värde från okopplad apparat. ")
    async with database.transaction() as tx:
        device = await bindings.register_device(tx, spare)
        await bindings.bind(
            tx, device_id=device, patient_id=home.neighbour, since=minutes(-60), at=minutes(5)
        )
    await judge(database, minutes(5))
    assert rows(
        database_url, "SELECT patient_id, rule, severity FROM alert WHERE patient_id IS NOT NULL"
    ) == [(home.neighbour, "spo2.target", "red")]


async def test_two_unbound_devices_are_two_alerts_and_fresh_is_not_hidden_by_late(
    database: Database, home: Home, database_url: str
) -> None:
    one, other = "ble-00aabbccddee", "ble-00aabbccddef"
    old = NOON - timedelta(hours=26)
    await arrive(database, home, saturation(1, 88.0, old, dev=one), stored_at=NOON)
    await judge(database)
    await arrive(database, home, saturation(2, 85.0, dev=other), saturation(3, 84.0, dev=one))
    await judge(database)
    found = rows(
        database_url,
        """SELECT a.rule, a.text_sv, count(e.uid) FROM alert a
           JOIN alert_evidence e ON e.alert_id = a.id GROUP BY a.id ORDER BY a.rule""",
    )
    assert [(rule, cited) for rule, _, cited in found] == [
        (f"unassigned.spo2.target/{one}", 2),
        (f"unassigned.spo2.target/{other}", 1),
    ]
    assert "Sen mätning" not in found[0][1]
    assert "84 %" in found[0][1]


async def _late_red_taken(database: Database, home: Home, url: str) -> UUID:
    old = NOON - timedelta(hours=26)
    await arrive(database, home, pressure(1, at=old, systolic=227.0), stored_at=NOON)
    await judge(database)
    ((alert_id,),) = rows(url, "SELECT id FROM alert")
    async with database.transaction() as tx:
        await alert_commands.take(
            tx, alert_id, staff_id=home.staff, expected_version=1, at=minutes(1)
        )
    assert isinstance(alert_id, UUID)
    return alert_id


async def test_a_fresh_red_stands_in_the_alert_that_a_late_red_had_opened(
    database: Database, home: Home, database_url: str
) -> None:
    alert_id = await _late_red_taken(database, home, database_url)
    async with aclosing(database.notifications("hemma_alert")) as notes:
        assert await anext(notes) == ""
        await arrive(database, home, pressure(2, at=minutes(5), systolic=231.0))
        await judge(database, minutes(5))
        assert await asyncio.wait_for(anext(notes), 5) == str(home.unit)
    ((same, text, at, handling, owner),) = rows(
        database_url, "SELECT id, text_sv, measured_at, handling, owner_id FROM alert"
    )
    assert (same, at, handling, owner) == (alert_id, minutes(5), "open", home.staff)
    assert text == "Blodtryck över gräns: övertryck 231 mmHg (gräns 220 mmHg)."
    fired, raised = rows(
        database_url,
        """SELECT event, detail ->> 'text', detail ->> 'reason', detail -> 'why',
                  detail -> 'rule_version', detail -> 'inputs' ->> 'is_late'
           FROM alert_event WHERE event <> 'taken' ORDER BY id""",
    )
    assert "227" in fired[1]
    assert (raised[0], raised[2], raised[5]) == ("raised", "fresh", "false")
    assert "231" in raised[1]
    assert raised[3].startswith("Förslag")
    assert raised[4] == rows(database_url, "SELECT rule_version FROM alert")[0][0]


async def test_it_is_raised_once_and_what_comes_after_is_more_evidence(
    database: Database, home: Home, database_url: str
) -> None:
    await _late_red_taken(database, home, database_url)
    for seq, systolic in enumerate([231.0, 233.0], start=2):
        await arrive(database, home, pressure(seq, at=minutes(seq), systolic=systolic))
        await judge(database, minutes(seq))
    assert rows(database_url, "SELECT event FROM alert_event ORDER BY id") == [
        ("fired",),
        ("taken",),
        ("raised",),
        ("extended",),
    ]


async def test_the_unit_is_told_at_commit(
    database: Database, home: Home, database_url: str
) -> None:
    async with aclosing(database.notifications("hemma_alert")) as notes:
        assert await anext(notes) == ""
        await arrive(database, home, saturation(1, 88.0))
        await judge(database)
        assert await asyncio.wait_for(anext(notes), 5) == str(home.unit)
