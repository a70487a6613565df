"""A night's index is an hour of valid time, and the words promise no more than the figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.overnight import VALID_MIN_S, is_artefact, overnight, words
from alerts.wording import Language
from tests.alerts.fix_nights import falling_night, levels, night, times

EIGHT_H = 8 * 3600


@pytest.mark.parametrize(("depth", "odi3", "odi4"), [(2, 0, 0), (3, 10, 0), (4, 10, 10)])
def test_eighty_falls_in_eight_hours(depth: float, odi3: float, odi4: float) -> None:
    # The last one ends with the recording and has not returned: 79 in 8 h unless a level follows.
    values = np.append(falling_night(80, depth=depth), np.full(3600, 96.0))[: EIGHT_H + 10]
    found = night(values)
    hours = (EIGHT_H + 10) / 3600
    assert found.odi3_per_h == pytest.approx(odi3 * 8 / hours)
    assert found.odi4_per_h == pytest.approx(odi4 * 8 / hours)


def test_an_index_is_an_hour_of_valid_time() -> None:
    # 40 falls in the first four hours; then four hours with the probe off.
    values = np.append(falling_night(40, hours=4), np.full(10, 96.0))
    off = np.append(values, np.zeros(4 * 3600))
    assert night(off).odi4_per_h == night(values).odi4_per_h == pytest.approx(40 * 3600 / 14410)
    assert night(off).artefact_s == 4 * 3600
    assert night(off).artefact_share == pytest.approx(14400 / 28810)


def test_the_times_add_up() -> None:
    values = levels((96, 100), (0, 20), (np.nan, 30), (95, 50))
    found = night(values)
    assert (found.recorded_s, found.valid_s, found.artefact_s, found.missing_s) == (
        200,
        150,
        20,
        30,
    )


@pytest.mark.parametrize("seconds", [VALID_MIN_S - 1, VALID_MIN_S])
def test_four_valid_hours_are_needed(seconds: int) -> None:
    found = night(np.full(seconds, 95.0))
    expected = 0.0 if seconds == VALID_MIN_S else None
    assert (found.odi3_per_h, found.odi4_per_h) == (expected, expected)
    assert (found.below_90_s, found.below_88_s) == (expected, expected)
    assert (found.is_enough, found.lowest_percent) == (seconds == VALID_MIN_S, 95.0)


def test_lowest_mean_and_time_below() -> None:
    # 4 h at 96, 600 s each at 90, 89, 88 and 87 %, in steps of a point that are no jumps.
    values = levels((96, 14400), (93, 1), (90, 600), (89, 600), (88, 600), (87, 600))
    found = night(values)
    assert (found.lowest_percent, found.below_90_s, found.below_88_s) == (87.0, 1800, 600)
    assert found.mean_percent == pytest.approx((96 * 14400 + 93 + 354 * 600) / 16801)


def test_a_spike_is_not_the_lowest() -> None:
    values = np.full(VALID_MIN_S + 1, 96.0)
    values[5000] = 60.0
    found = night(values)
    assert (found.lowest_percent, found.artefact_s, found.odi3_per_h) == (96.0, 1, 0.0)


def test_a_night_without_values() -> None:
    found = night(np.full(100, np.nan))
    assert (found.recorded_s, found.lowest_percent, found.mean_percent) == (0, None, None)
    assert found.artefact_share is None
    assert words(found, Language.SV)[-1].startswith("För kort giltig mättid")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3600), st.sampled_from([np.nan, 0.0, 20.0, 110.0]))
def test_invalid_samples_at_the_end_do_not_change_the_index(seconds: int, value: float) -> None:
    values = np.append(falling_night(25, hours=4), np.full(10, 96.0))
    longer = night(np.append(values, np.full(seconds, value)))
    shorter = night(values)
    assert (longer.odi3_per_h, longer.odi4_per_h) == (shorter.odi3_per_h, shorter.odi4_per_h)
    assert (longer.mean_percent, longer.below_90_s) == (shorter.mean_percent, shorter.below_90_s)


@pytest.mark.parametrize(
    ("flags", "artefact"),
    [
        (set(), False),
        ({"irregular_pulse"}, False),
        ({"movement"}, True),
        ({"low_perfusion"}, True),
        ({"poor_signal"}, True),
        ({"sensor_unconnected_to_user"}, True),
        ({"demonstration"}, True),
    ],
)
def test_what_a_flag_makes_of_a_second(flags: set[str], artefact: bool) -> None:
    assert is_artefact(flags) is artefact


def test_doubted_seconds_are_no_valid_time() -> None:
    values = np.full(VALID_MIN_S + 10, 96.0)
    doubted = np.arange(len(values)) < 20
    found = overnight(times(len(values)), values, doubted)
    assert (found.valid_s, found.artefact_s, found.odi3_per_h) == (VALID_MIN_S - 10, 20, None)


def test_the_words_say_what_it_is_for_and_every_figure() -> None:
    values = np.concatenate([falling_night(80), levels((96, 300), (92, 300), (96, 300))])
    values[100:160] = 0.0
    values[200:240] = np.nan
    assert words(night(values), Language.SV) == (
        "Underlag för läkare, inget larm och ingen diagnos.",
        (
            "Giltig mättid 8 tim 13 min av 8 tim 15 min. Störd signal: 0 % av mätvärdena. "
            "Utan mätvärde: 40 s."
        ),
        (
            "Sänkningar av syremättnaden per timme giltig mättid: 9,7 med minst 3 procentenheter "
            "(ODI3), 9,7 med minst 4 (ODI4)."
        ),
        "Syremättnad i medeltal 96 %, lägst 92 %. Under 90 %: 0 s. Under 88 %: 0 s.",
        "Sänkningar som inte gått tillbaka inom 2 minuter: 1. De ingår inte i ODI.",
    )
    assert words(night(values), Language.EN) == (
        "Basis for a physician, no alert and no diagnosis.",
        (
            "Valid time 8 h 13 min of 8 h 15 min. Disturbed signal: 0 % of the values. "
            "Without a value: 40 s."
        ),
        (
            "Falls in oxygen saturation per hour of valid time: 9.7 of at least 3 percentage "
            "points (ODI3), 9.7 of at least 4 (ODI4)."
        ),
        "Mean oxygen saturation 96 %, lowest 92 %. Below 90 %: 0 s. Below 88 %: 0 s.",
        "Falls that had not returned in 2 minutes: 1. They are not part of ODI.",
    )


def test_too_little_time_gives_no_index_in_words() -> None:
    values = np.append(falling_night(20, hours=2), np.full(120, 96.0))
    assert words(night(values), Language.SV)[1:] == (
        (
            "Giltig mättid 2 tim 2 min av 2 tim 2 min. Störd signal: 0 % av mätvärdena. "
            "Utan mätvärde: 0 s."
        ),
        "För kort giltig mättid: minst 4 timmar behövs. Inget index räknas.",
    )
    assert words(night(values), Language.EN)[2].startswith("Not enough valid time")


def test_no_word_names_a_disease_or_a_band() -> None:
    values = np.append(falling_night(400, depth=4), np.full(10, 96.0))
    text = " ".join(
        [*words(night(values), Language.SV), *words(night(values), Language.EN)]
    ).lower()
    for word in (
        "apné",
        "apnea",
        "mild",
        "måttlig",
        "svår",
        "severe",
        "moderate",
        "normal",
        "risk",
    ):
        assert word not in text
