"""Tables of series, plan and now → decisions: both sides of each threshold, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from alerts.absence import GATEWAY_SILENT
from alerts.decision import Decision, Inputs, inputs_of
from alerts.engine import KNOWN_MAX, State
from alerts.limits import Guardrail, Override
from alerts.plan import SYSTOLIC, plan_for, unassigned_rules
from alerts.rules import Severity
from alerts.series import Reading
from tests.alerts.fix_readings import ANNA, at, decide, pressure, reading, said

FIRE_YELLOW = ("fire", "limit_reached", "yellow")
FIRE_RED = ("fire", "limit_reached", "red")


def closed(state: State, lineage: str) -> State:
    """As after a person has closed the alert."""
    episode = replace(state.episodes[lineage], is_open=False)
    return replace(state, episodes={**state.episodes, lineage: episode})


@pytest.mark.parametrize(
    ("component", "value", "expected"),
    [
        (101, 90, [("bp.low", *FIRE_RED)]),
        (101, 91, [("bp.low", *FIRE_YELLOW)]),
        (101, 100, [("bp.low", *FIRE_YELLOW)]),
        (101, 101, []),
        (101, 159, []),
        (101, 159.5, [("bp.high", *FIRE_YELLOW)]),  # shown as 160
        (101, 160, [("bp.high", *FIRE_YELLOW)]),
        (101, 219, [("bp.high", *FIRE_YELLOW)]),
        (101, 220, [("bp.high", *FIRE_RED)]),
        (102, 99, []),
        (102, 100, [("bp.high", *FIRE_YELLOW)]),
        (201, 91, [("spo2.target", *FIRE_RED)]),
        (201, 92, [("spo2.target", *FIRE_YELLOW)]),
        (201, 93, [("spo2.target", *FIRE_YELLOW)]),
        (201, 94, []),
        (104, 40, [("pulse.brady", *FIRE_RED)]),
        (104, 50, [("pulse.brady", *FIRE_YELLOW)]),
        (202, 51, []),
        (202, 110, []),
        (202, 111, [("pulse.tachy", *FIRE_YELLOW)]),
        (104, 131, [("pulse.tachy", *FIRE_RED)]),
        (301, 35.0, [("temp.low", *FIRE_RED)]),
        (301, 35.1, []),
        (301, 38.04, []),
        (301, 38.05, [("temp.high", *FIRE_YELLOW)]),  # compared as 38.1, by decimal rounding
        (301, 39.0, [("temp.high", *FIRE_YELLOW)]),
        (301, 39.1, [("temp.high", *FIRE_RED)]),
        (401, 300, []),
    ],
)
def test_both_sides_of_each_threshold(
    component: int, value: float, expected: list[tuple[str, str, str, str]]
) -> None:
    assert said(decide([reading(component, value)])[1]) == expected


def test_one_pressure_is_one_alert_and_reads_as_a_sentence() -> None:
    _, (decision,) = decide(pressure(183, 112))
    assert decision.text.sv == (
        "Blodtryck över gräns: övertryck 183 mmHg (gräns 160 mmHg), "
        "undertryck 112 mmHg (gräns 100 mmHg)."
    )
    assert decision.text.en.startswith("Blood pressure above limit: systolic 183 mmHg (limit 160")
    assert decision.alert_id is not None
    assert not decision.is_late


def test_red_names_the_red_limit() -> None:
    _, (decision,) = decide([reading(201, 88)])
    assert decision.text.sv == "Syremättnad under gräns: syremättnad 88 % (gräns 91 %)."


def test_more_evidence_extends_and_worse_raises_and_nothing_lowers() -> None:
    state, first = decide(pressure(165, 90))
    state, second = decide(pressure(170, 90, 30, seq=2), 30, state=state)
    state, third = decide(pressure(225, 90, 60, seq=3), 60, state=state)
    state, fourth = decide(pressure(165, 90, 90, seq=4), 90, state=state)
    assert said(first + second + third + fourth) == [
        ("bp.high", "fire", "limit_reached", "yellow"),
        ("bp.high", "extend", "more_evidence", "yellow"),
        ("bp.high", "extend", "raised", "red"),
        ("bp.high", "extend", "more_evidence", "red"),
    ]
    assert len({d.alert_id for d in first + second + third + fourth}) == 1
    assert len(state.episodes["bp.high"].cited) == 4


@pytest.mark.parametrize(("back_to", "clears"), [(156, False), (155, True)])
def test_recovery_needs_hysteresis(back_to: float, clears: bool) -> None:
    state, _ = decide(pressure(165, 90))
    _, decisions = decide(pressure(back_to, 90, 60, seq=2), 60, state=state)
    assert said(decisions) == ([("bp.high", "clear", "returned", "yellow")] if clears else [])


def test_recovery_needs_all_that_was_cited() -> None:
    state, _ = decide(pressure(165, 105))
    _, only_one = decide([reading(101, 130, 60, seq=2)], 60, state=state)
    _, one_still_high = decide(pressure(130, 97, 60, seq=2), 60, state=state)
    _, both = decide(pressure(130, 80, 60, seq=2), 60, state=state)
    assert said(only_one) == said(one_still_high) == []
    assert said(both) == [("bp.high", "clear", "returned", "yellow")]


def test_a_pulse_from_the_oximeter_answers_for_one_from_the_cuff() -> None:
    state, _ = decide([reading(104, 120)])
    _, decisions = decide([reading(202, 80, 60, seq=2)], 60, state=state)
    assert said(decisions) == [("pulse.tachy", "clear", "returned", "yellow")]


def test_recovery_is_said_once_and_a_new_value_fires_again_in_the_same_alert() -> None:
    state, fired = decide(pressure(165, 90))
    state, cleared = decide(pressure(130, 80, 60, seq=2), 60, state=state)
    state, nothing = decide(pressure(131, 80, 90, seq=3), 90, state=state)
    state, again = decide(pressure(166, 90, 120, seq=4), 120, state=state)
    assert said(cleared + nothing + again) == [
        ("bp.high", "clear", "returned", "yellow"),
        ("bp.high", "extend", "fired_again", "yellow"),
    ]
    assert again[0].alert_id == fired[0].alert_id


def test_an_older_value_that_comes_late_clears_nothing() -> None:
    state, _ = decide(pressure(165, 90, 60), 60)
    _, decisions = decide(pressure(130, 80, 30, seq=2), 60, state=state)
    assert decisions == ()


def test_repeats_that_disagree_hold_yellow_back_with_a_reason_and_never_red() -> None:
    state, _ = decide(pressure(130, 80))
    _, yellow = decide(pressure(170, 85, 2, seq=2), 2, state=state)
    _, red = decide(pressure(230, 85, 2, seq=2), 2, state=state)
    _, later = decide(pressure(170, 85, 10, seq=2), 10, state=state)
    assert said(yellow) == [("bp.high", "suppress", "repeats_disagree", "yellow")]
    assert said(red) == [("bp.high", *FIRE_RED)]
    assert said(later) == [("bp.high", *FIRE_YELLOW)]


def test_the_median_of_repeats_must_have_returned_too() -> None:
    state, _ = decide(pressure(200, 90))
    state, soon = decide(pressure(150, 80, 2, seq=2), 2, state=state)
    state, then = decide(pressure(150, 80, 4, seq=3), 4, state=state)
    assert said(soon + then) == [("bp.high", "clear", "returned", "yellow")]
    assert then


@pytest.mark.parametrize("flags", [("implausible",), ()])
def test_what_cannot_be_believed_still_fires_red(flags: tuple[str, ...]) -> None:
    _, (decision,) = decide([reading(201, 55, flags=flags)])
    assert decision.severity is Severity.RED
    assert decision.text.sv.startswith("Orimligt värde, kontrollera. Syremättnad")
    assert decision.text.en.startswith("Implausible value, please check. ")


def test_what_cannot_be_believed_asks_for_a_repeat_instead_of_yellow() -> None:
    _, decisions = decide([reading(101, 170, flags=("implausible",))])
    assert said(decisions) == [("bp.high", "ask_repeat", "implausible", "yellow")]
    assert decisions[0].alert_id is None


def test_what_cannot_be_believed_clears_nothing_and_is_no_repeat() -> None:
    state, _ = decide(pressure(165, 90))
    doubted = [replace(r, flags=frozenset({"implausible"})) for r in pressure(130, 80, 60, seq=2)]
    state, decisions = decide(doubted, 60, state=state)
    assert decisions == ()
    _, again = decide(pressure(170, 90, 62, seq=3), 62, state=state)
    assert said(again) == [("bp.high", "extend", "more_evidence", "yellow")]


def test_not_me_stops_no_red() -> None:
    _, (decision,) = decide([reading(201, 85, flags=("retracted",))])
    assert decision.severity is Severity.RED
    assert decision.text.sv.startswith("Personen har sagt att det inte var den som mätte")


@pytest.mark.parametrize(
    ("minutes_ago", "is_late", "start", "end"),
    [
        (10, False, "Syre", "91 %)."),
        (11, False, "Syre", "Uppmätt för 11 min sedan."),
        (24 * 60, False, "Syre", "Uppmätt för 24 timmar sedan."),
        (24 * 60 + 1, True, "Sen mätning. Syre", "Uppmätt för 24 timmar sedan."),
    ],
)
def test_a_late_red_is_full_red_for_a_day_and_a_card_after(
    minutes_ago: int, is_late: bool, start: str, end: str
) -> None:
    _, (decision,) = decide([reading(201, 88)], minutes_ago)
    assert (decision.severity, decision.is_late) == (Severity.RED, is_late)
    assert decision.text.sv.startswith(start)
    assert decision.text.sv.endswith(end)


def test_a_time_in_the_future_holds_yellow_back_and_never_red() -> None:
    _, yellow = decide([reading(201, 92, 3)], 0)
    _, red = decide([reading(201, 88, 3)], 0)
    _, near = decide([reading(201, 92, 2)], 0)
    assert said(yellow) == [("spo2.target", "suppress", "future_time", "yellow")]
    assert red[0].text.sv.startswith("Mättiden ligger i framtiden, kontrollera klockan. ")
    assert said(near) == [("spo2.target", *FIRE_YELLOW)]


def test_after_close_the_same_reading_fires_nothing() -> None:
    sample = reading(201, 88)
    state, _ = decide([sample])
    bare = replace(closed(state, "spo2.target"), known=())
    assert decide([sample], 60, state=bare)[1] == ()


def test_after_close_red_fires_on_any_new_reading() -> None:
    state, first = decide([reading(201, 88)])
    _, again = decide([reading(201, 88, 5, seq=2)], 5, state=closed(state, "spo2.target"))
    assert said(again) == [("spo2.target", *FIRE_RED)]
    assert again[0].alert_id != first[0].alert_id


def test_after_close_yellow_waits_for_return_or_for_the_episode_s_end() -> None:
    state, _ = decide([reading(201, 93)])
    shut = closed(state, "spo2.target")
    _, same = decide([reading(201, 93, 60, seq=2)], 60, state=shut)
    ends = 72 * 60
    _, before = decide([reading(201, 93, ends - 1, seq=2)], ends, state=shut)
    _, after = decide([reading(201, 93, ends, seq=2)], ends, state=shut)
    returned, cleared = decide([reading(201, 97, 60, seq=2)], 60, state=shut)
    assert (
        said(same)
        == said(before)
        == [("spo2.target", "suppress", "closed_episode_goes_on", "yellow")]
    )
    assert same[0].alert_id is not None
    assert said(after) == [("spo2.target", *FIRE_YELLOW)]
    assert said(cleared) == [("spo2.target", "clear", "returned", "yellow")]
    _, new = decide([reading(201, 93, 90, seq=3)], 90, state=closed(returned, "spo2.target"))
    assert said(new) == [("spo2.target", *FIRE_YELLOW)]


def test_a_person_s_own_limit_is_what_judges() -> None:
    own = plan_for([Override(201, Guardrail(red_low=85, yellow_low=88), "Dr Exempel", "KOL")])
    assert decide([reading(201, 89)], rules=own.rules)[1] == ()
    assert said(decide([reading(201, 88)], rules=own.rules)[1]) == [("spo2.target", *FIRE_YELLOW)]


def test_a_rule_with_red_alone_recovers_from_its_red_limit() -> None:
    rules = unassigned_rules()
    state, fired = decide([reading(201, 88)], rules=rules)
    _, between = decide([reading(201, 91.6, 60, seq=2)], 60, rules=rules, state=state)
    assert said(fired) == [("unassigned.spo2.target", *FIRE_RED)]
    assert said(between) == [("unassigned.spo2.target", "clear", "returned", "red")]


DAY = 24 * 60


def test_a_fresh_red_never_hides_behind_a_late_one() -> None:
    state, late = decide(pressure(227, 90), 26 * 60)
    state, fresh = decide(pressure(231, 90, 26 * 60, seq=2), 26 * 60, state=state)
    _, more = decide(pressure(229, 90, 26 * 60 + 5, seq=3), 26 * 60 + 5, state=state)
    assert said(late + fresh + more) == [
        ("bp.high", *FIRE_RED),
        ("bp.high", "extend", "fresh", "red"),
        ("bp.high", "extend", "more_evidence", "red"),
    ]
    assert fresh[0].alert_id == late[0].alert_id
    assert fresh[0].text.sv == "Blodtryck över gräns: övertryck 231 mmHg (gräns 220 mmHg)."
    assert (late[0].is_late, fresh[0].is_late) == (True, False)


def test_a_late_red_and_a_fresh_one_in_the_same_round() -> None:
    both = [*pressure(227, 90), *pressure(231, 90, 26 * 60, seq=2)]
    assert said(decide(both, 26 * 60)[1]) == [
        ("bp.high", *FIRE_RED),
        ("bp.high", "extend", "fresh", "red"),
    ]


def test_a_fresh_yellow_lifts_a_late_yellow_and_leaves_a_late_red_late() -> None:
    state, _ = decide(pressure(165, 90), 26 * 60)
    _, fresh = decide(pressure(166, 90, 26 * 60, seq=2), 26 * 60, state=state)
    assert said(fresh) == [("bp.high", "extend", "fresh", "yellow")]
    state, _ = decide(pressure(227, 90), 26 * 60)
    state, yellow = decide(pressure(166, 90, 26 * 60, seq=2), 26 * 60, state=state)
    _, red = decide(pressure(227, 90, 27 * 60, seq=3), 27 * 60, state=state)
    assert said(yellow + red) == [
        ("bp.high", "extend", "more_evidence", "red"),
        ("bp.high", "extend", "fresh", "red"),
    ]


def test_a_late_red_that_raises_a_fresh_yellow_is_itself_raised_by_a_fresh_red() -> None:
    state, _ = decide(pressure(165, 90, 2 * DAY), 2 * DAY)
    state, late = decide(pressure(227, 90, seq=2), 2 * DAY, state=state)
    _, fresh = decide(pressure(228, 90, 2 * DAY, seq=3), 2 * DAY, state=state)
    assert said(late + fresh) == [
        ("bp.high", "extend", "raised", "red"),
        ("bp.high", "extend", "fresh", "red"),
    ]


def test_a_red_that_had_returned_stands_anew_when_red_comes_back() -> None:
    state, _ = decide(pressure(227, 90))
    state, _ = decide(pressure(130, 80, 60, seq=2), 60, state=state)
    _, again = decide(pressure(226, 90, 120, seq=3), 120, state=state)
    assert said(again) == [("bp.high", "extend", "fresh", "red")]


def test_technical_rules_are_judged_elsewhere() -> None:
    assert decide([reading(201, 88)], rules=(GATEWAY_SILENT,))[1] == ()


def test_the_state_is_bounded() -> None:
    samples = [reading(201, 97, n, seq=n + 1) for n in range(KNOWN_MAX + 50)]
    state, _ = decide(samples, KNOWN_MAX + 50)
    assert len(state.known) == KNOWN_MAX


def test_the_same_inputs_give_the_same_alert() -> None:
    # Written down once: the id of an alert must not change between releases.
    _, (decision,) = decide([reading(201, 88)])
    assert str(decision.alert_id) == "f3c5c41e-4132-5951-b808-f9c5491897be"


def test_a_decision_keeps_what_it_was_made_from() -> None:
    _, (decision,) = decide([reading(201, 55, flags=("implausible",))])
    kept = msgspec.json.decode(
        inputs_of(decision, {201: {"red_low": "patient"}, 101: {"red_low": "national"}}),
        type=Inputs,
    )
    assert kept.rule == decision.rule
    assert kept.origins == {"201": {"red_low": "patient"}}
    assert kept.evidence[0].flags == ("implausible",)
    again = [
        Reading(c.uid, c.component, c.value, c.measured_at, 1, frozenset(c.flags), c.beyond)
        for c in kept.evidence
    ]
    assert _rederived(kept, again) == decision


def _rederived(kept: Inputs, samples: list[Reading]) -> Decision:
    minutes = (kept.as_of - at(0)) / timedelta(minutes=1)
    _, (decision,) = decide(samples, minutes, state=ANNA, rules=(kept.rule,))
    return decision


def test_the_largest_number_a_device_can_send_is_red() -> None:
    _, (decision,) = decide([reading(101, 8388605e127)])
    assert said((decision,)) == [("bp.high", *FIRE_RED)]
    assert decision.text.sv.startswith("Orimligt värde, kontrollera. ")


def test_a_limit_changed_while_the_alert_is_open_does_not_end_it() -> None:
    loose = plan_for([Override(SYSTOLIC, Guardrail(yellow_high=190), "Dr Exempel", "")]).rules
    fired, (first,) = decide([reading(101, 170)])
    state, decisions = decide([reading(101, 168, 30, seq=2)], 30, state=fired, rules=loose)
    assert decisions == ()
    _, (cleared,) = decide([reading(101, 150, 60, seq=3)], 60, state=state, rules=loose)
    assert said((cleared,)) == [("bp.high", "clear", "returned", "yellow")]
    assert (cleared.rule, cleared.version) == (first.rule, first.version)


def test_a_limit_made_stricter_extends_what_the_rule_that_fired_would_end() -> None:
    strict = plan_for([Override(SYSTOLIC, Guardrail(yellow_high=140), "Dr Exempel", "")]).rules
    fired, _ = decide([reading(101, 170)])
    state, decisions = decide([reading(101, 150, 30, seq=2)], 30, state=fired, rules=strict)
    assert said(decisions) == [("bp.high", "extend", "more_evidence", "yellow")]
    assert state.episodes["bp.high"].pinned == fired.episodes["bp.high"].pinned


def test_a_component_that_the_rule_that_fired_did_not_read_ends_nothing() -> None:
    only = tuple(
        msgspec.structs.replace(rule, bounds=rule.bounds[:1])
        for rule in plan_for().rules
        if rule.rule == "pulse.tachy"
    )
    fired, _ = decide([reading(104, 120)], rules=only)
    _, decisions = decide([reading(202, 70, 30, seq=2)], 30, state=fired)
    assert decisions == ()


def test_a_late_red_fires_until_the_next_value_that_has_returned() -> None:
    state, _ = decide([reading(201, 97, 60, seq=1)], 60)
    late, (fired,) = decide([reading(201, 88, 0, seq=2)], 61, state=state)
    assert said((fired,)) == [("spo2.target", *FIRE_RED)]
    assert fired.text.sv.endswith("Uppmätt för 61 min sedan.")
    assert late.episodes["spo2.target"].is_firing
    later, (cleared,) = decide([reading(201, 97, 90, seq=3)], 90, state=late)
    assert cleared.decided == "clear"
    assert later.episodes["spo2.target"].is_open
