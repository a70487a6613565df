"""Time in range and what belongs beside it, against published figures and by hand.

Published:

- one person's sensor in the R package iglu (its ``example_data_1_subject``, Dexcom G4, every five
  minutes, mg/dL; Broll et al. 2021, doi 10.1371/journal.pone.0248560). What iglu 4.3.0 answers for
  each day stands in the repository staskh/iglu_python, ``tests/expected_results.json``. Two of its
  days are below as value counts; all fourteen agree.
- the GMI table of Bergenstal et al. 2018 (doi 10.2337/dc18-1581).
- the bands of the consensus in both units, as the American Diabetes Association prints them
  (Standards of Care, table 6.2): 54–69 mg/dL or 3.0–3.8 mmol/L, 70–180 or 3.9–10.0, 181–250 or
  10.1–13.9.
- the toy example of iglu's own tests: 100, 120 and 150 mg/dL.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.glucose import (
    ABOVE,
    BELOW,
    WITHIN,
    Glucose,
    Readings,
    SensorSummary,
    believed,
    from_mg_per_dl,
    gmi_mmol_per_mol,
    gmi_percent,
    summarise_finger_sticks,
    summarise_sensor,
)
from alerts.glucose_words import words
from alerts.rules import Direction
from alerts.wording import Language
from tests.alerts.fix_readings import beyond, reading

START = np.datetime64("2026-11-01T00:00:00", "us")
DAY = np.timedelta64(1, "D")
FIVE_MIN = np.timedelta64(300, "s")

_JUNE_8 = """66:2 67 69 73:2 75 78 79 80 81:4 82:2 83 85 86:2 88:2 89:3 90:4 91:3 92:9 93:8 94:18
95:8 96:19 97:7 98:8 99:4 100 101:5 103:3 104:3 105:6 106:4 107:5 108:4 109:7 110:7 112:2 113 114:2
115:2 117:3 118:2 119:2 120 121:2 122:3 123:2 157 168 173 175 178 179 180 183"""
_JUNE_11 = """75 76:3 77 78:3 80 81 84 85 86:6 87:11 88:6 89:2 90:4 91 92 93 94:3 95:3 96:2 97 98
99:4 100:2 101:5 102:4 103:2 104 105:4 106:2 107:2 108 109:8 110:5 111:4 112:3 113:6 114:3 115 116:3
117:3 118:4 119:4 120:4 121:7 122:5 123:5 124:4 125:3 126:3 127:3 128:2 129 130 131:3 132:3 134:4
135:2 136 137 138:2 139:2 140:3 141 142:2 143 144:3 145 148 150 151:2 153 154:2 155 156 157 158:2
162 164:2 166 167 170 173 174 176 177 178 179 180:2 181 183 185:2 186 187:3 188 190 193:2 194 195:2
196 199:2 200:3 201 202:2 204 206:2 208 209:3 219 220 223 224 234 237 240 243 245 250:2 255 258 260
262 263 264 266 267 271 273 276"""


def _counted(text: str) -> Glucose:
    """The values of a table of counts, in mg/dL."""
    pairs = [word.partition(":") for word in text.split()]
    return np.repeat([float(v) for v, _, _ in pairs], [int(n or 1) for _, _, n in pairs])


def _series(mmol_per_l: Glucose, start: np.datetime64 = START) -> Readings:
    """One reading each five minutes."""
    count = len(mmol_per_l)
    return Readings(start + np.arange(count) * FIVE_MIN, mmol_per_l, np.zeros(count, np.int8))


def _summary(readings: Readings, days: int = 1) -> SensorSummary:
    return summarise_sensor(readings, START, START + days * DAY, interval_s=300)


@pytest.mark.parametrize(
    ("day", "below_70", "above_180", "above_250", "cv", "ea1c", "active"),
    [
        (
            _JUNE_8,
            2.127659574468085,
            0.5319148936170213,
            0.0,
            18.72442266119599,
            5.1678404625991545,
            65.27777777777779,
        ),
        (
            _JUNE_11,
            0.0,
            19.557195571955717,
            4.059040590405904,
            35.09775654703389,
            6.382825256823995,
            94.09722222222221,
        ),
    ],
)
def test_a_day_of_a_real_sensor_as_iglu_sums_it_up(
    day: str,
    below_70: float,
    above_180: float,
    above_250: float,
    cv: float,
    ea1c: float,
    active: float,
) -> None:
    found = _summary(_series(from_mg_per_dl(_counted(day))))
    assert found.shares is not None
    assert found.mean_mmol_per_l is not None
    assert 100 * found.shares.below_39 == pytest.approx(below_70)
    assert 100 * found.shares.above_100 == pytest.approx(above_180)
    assert 100 * found.shares.above_139 == pytest.approx(above_250)
    assert 100 * found.shares.in_range == pytest.approx(100 - below_70 - above_180)
    assert found.shares.below_30 == 0.0
    assert found.cv_percent == pytest.approx(cv)
    # iglu's eA1C is (46.7 + mean in mg/dL) / 28.7 (Nathan 2008); it gives its mean back exactly.
    assert found.mean_mmol_per_l * 18.016 == pytest.approx(28.7 * ea1c - 46.7)
    assert 100 * found.wear == pytest.approx(active)


def test_the_toy_example_of_iglu() -> None:
    shares = _summary(_series(from_mg_per_dl(np.array([100.0, 120.0, 150.0])))).shares
    assert shares is not None
    assert (shares.below_39, shares.in_range, shares.above_100) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("mean_mg_per_dl", "percent"),
    [
        (100, 5.7), (125, 6.3), (150, 6.9), (175, 7.5), (200, 8.1), (225, 8.7), (250, 9.3),
        (275, 9.9), (300, 10.5), (350, 11.7),
    ],
)  # fmt: skip
def test_gmi_by_its_table(mean_mg_per_dl: float, percent: float) -> None:
    mean = float(from_mg_per_dl(np.array([mean_mg_per_dl]))[0])
    assert round(gmi_percent(mean), 1) == percent


@pytest.mark.parametrize("mean", [4.0, 5.5, 8.0, 10.0, 15.0])
def test_gmi_in_both_units_is_the_same_indicator(mean: float) -> None:
    # NGSP to IFCC: mmol/mol = 10.93 % − 23.5 (ngsp.org).
    assert gmi_mmol_per_mol(mean) == pytest.approx(10.93 * gmi_percent(mean) - 23.5, abs=0.5)


def _band(mmol_per_l: float) -> int:
    """Which of the consensus's five bands the value lands in, from very low to very high."""
    shares = _summary(_series(np.array([mmol_per_l]))).shares
    assert shares is not None
    above = shares.above_100 + shares.above_139
    return round(2 - shares.below_39 - shares.below_30 + above)


@pytest.mark.parametrize(
    ("mg_per_dl", "mmol_per_l", "band"),
    [
        (53, 2.9, 0), (54, 3.0, 1), (69, 3.8, 1), (70, 3.9, 2), (180, 10.0, 2), (181, 10.1, 3),
        (250, 13.9, 3), (251, 14.0, 4),
    ],
)  # fmt: skip
def test_both_sides_of_every_bound_in_both_units(
    mg_per_dl: float, mmol_per_l: float, band: int
) -> None:
    assert _band(float(from_mg_per_dl(np.array([mg_per_dl]))[0])) == band
    assert _band(mmol_per_l) == band


def test_no_reading_changes_band_with_the_unit_its_sensor_speaks() -> None:
    tenths = np.arange(6, 334)
    as_mmol = np.searchsorted([30, 39, 101, 140], tenths, side="right")
    assert [_band(t / 10) for t in tenths] == as_mmol.tolist()
    whole = np.arange(10, 601)
    as_mg = np.searchsorted([54, 70, 181, 251], whole, side="right")
    assert [_band(v) for v in from_mg_per_dl(whole.astype(float))] == as_mg.tolist()


def _beyond(values: list[float], sides: list[int]) -> Readings:
    at = START + np.arange(len(values)) * FIVE_MIN
    return Readings(at, np.array(values), np.array(sides, np.int8))


def test_lo_and_hi_count_on_their_side_and_not_in_the_mean() -> None:
    nan = np.nan
    found = _summary(_beyond([nan, 5.0, 7.0, nan, nan], [BELOW, WITHIN, WITHIN, ABOVE, ABOVE]))
    assert found.shares is not None
    assert (found.shares.below_30, found.shares.below_39) == (0.2, 0.2)
    assert (found.shares.above_100, found.shares.above_139) == (0.4, 0.4)
    assert found.shares.in_range == pytest.approx(0.4)
    assert (found.beyond_low, found.beyond_high, found.mean_mmol_per_l) == (1, 2, 6.0)
    assert found.sd_mmol_per_l == pytest.approx(2**0.5)
    last = words(found, Language.SV)[-1]
    assert last.startswith("Utan siffra: 1 under sensorns mätområde (LO), 2 över (HI).")


def test_only_hi_has_shares_and_no_mean() -> None:
    found = _summary(_beyond([np.nan], [ABOVE]))
    assert found.shares is not None
    assert (found.shares.above_139, found.mean_mmol_per_l, found.cv_percent) == (1.0, None, None)


def test_what_has_neither_number_nor_side_is_no_reading() -> None:
    found = _summary(_beyond([np.nan, 5.0], [WITHIN, WITHIN]))
    assert (found.readings, found.mean_mmol_per_l) == (1, 5.0)


def test_without_readings_there_is_nothing_but_that() -> None:
    found = _summary(_series(np.empty(0)))
    assert (found.readings, found.wear, found.shares, found.sd_mmol_per_l) == (0, 0.0, None, None)
    assert words(found, Language.EN)[1:] == (
        "0 of 288 expected sensor readings (0 %), on 0 of 1 days.",
        (
            "Too little to go by: 14 days with at least 70 % of the readings are needed. "
            "Read the figures with care."
        ),
    )


@pytest.mark.parametrize(
    ("days", "kept", "enough"),
    [(14, 2823, True), (14, 2822, False), (13, 13 * 288, False)],
)
def test_fourteen_days_and_seventy_percent_are_needed(days: int, kept: int, enough: bool) -> None:
    # 70 % of 14 × 288 = 4,032 is 2,822.4.
    found = _summary(_series(np.full(kept, 8.0)), days)
    assert found.is_enough is enough
    assert (found.gmi_percent is not None) is enough
    assert (found.gmi_mmol_per_mol is not None) is enough
    assert any(text.startswith("För litet underlag") for text in words(found, Language.SV)) is (
        not enough
    )


def test_days_are_counted_from_the_start_of_the_period() -> None:
    at = START + np.array([0, 1430, 1440, 4000]).astype("timedelta64[m]")
    found = _summary(Readings(at, np.full(4, 6.0), np.zeros(4, np.int8)), 14)
    assert (found.days, found.days_with_readings, found.expected) == (14.0, 3, 4032)


def test_what_lies_outside_the_period_does_not_count() -> None:
    at = np.array([START - FIVE_MIN, START, START + DAY])
    found = _summary(Readings(at, np.array([2.0, 6.0, 20.0]), np.zeros(3, np.int8)))
    assert (found.readings, found.mean_mmol_per_l) == (1, 6.0)


def test_of_several_in_one_interval_the_earliest_counts() -> None:
    at = START + np.array([0, 60, 300, 310]).astype("timedelta64[s]")
    found = _summary(Readings(at, np.array([5.0, 20.0, 7.0, 20.0]), np.zeros(4, np.int8)))
    assert (found.readings, found.mean_mmol_per_l) == (2, 6.0)


def test_a_sensor_a_little_too_fast_wears_no_more_than_all_the_time() -> None:
    at = START + np.arange(289) * np.timedelta64(299, "s")
    found = _summary(Readings(at, np.full(289, 6.0), np.zeros(289, np.int8)))
    assert (found.readings, found.wear) == (288, 1.0)


def test_finger_sticks_are_counted_and_have_no_time() -> None:
    at = START + np.array([0, 0, 1, 2, 3, 99999]).astype("timedelta64[m]")
    values = np.array([3.8, 3.8, 12.0, np.nan, np.nan, 5.0])
    side = np.array([WITHIN, WITHIN, WITHIN, BELOW, ABOVE, WITHIN], np.int8)
    found = summarise_finger_sticks(Readings(at, values, side), START, START + DAY)
    assert (found.readings, found.below_39, found.above_100) == (4, 2, 2)
    assert (found.beyond_low, found.beyond_high) == (1, 1)
    assert found.mean_mmol_per_l == pytest.approx(7.9)
    assert (found.lowest_mmol_per_l, found.highest_mmol_per_l) == (3.8, 12.0)
    nothing = summarise_finger_sticks(_series(np.empty(0)), START, START + DAY)
    assert (nothing.readings, nothing.mean_mmol_per_l, nothing.lowest_mmol_per_l) == (0, None, None)


def test_only_what_the_rules_would_lean_on_is_summed_up() -> None:
    low, high = Direction.LOW, Direction.HIGH
    kept = believed(
        [
            reading(801, 6.0, 0),
            reading(801, 6.1, 5, seq=2, flags=("control_solution",)),
            reading(801, 6.2, 10, seq=3, flags=("retracted",)),
            reading(801, 6.3, 15, seq=4, flags=("sensor_malfunction",)),
            reading(801, 99.0, 20, seq=5),
            beyond(801, low, 25, seq=6),
            beyond(801, high, 30, seq=7),
            beyond(801, high, 35, seq=8, flags=("sensor_malfunction",)),
        ]
    )
    assert kept.side.tolist() == [WITHIN, BELOW, ABOVE]
    assert kept.mmol_per_l[0] == 6.0
    assert kept.at.tolist()[0].hour == 7
    assert len(believed([]).at) == 0


def test_a_sensor_and_a_meter_are_never_mixed() -> None:
    with pytest.raises(AssertionError):
        believed([reading(801, 6.0), reading(601, 6.0, seq=2)])


def test_arrays_belong_together_and_the_period_holds_an_interval() -> None:
    with pytest.raises(AssertionError):
        Readings(np.array([START]), np.empty(0), np.zeros(1, np.int8))
    with pytest.raises(AssertionError):
        summarise_sensor(_series(np.empty(0)), START, START, interval_s=300)


def test_every_figure_in_words() -> None:
    # By hand: mean 32,793.4 / 4,032 = 8.133; squares 23,351 / 4,031 = 5.793: SD 2.407, CV 29.6 %.
    values = np.full(14 * 288, 8.0)
    values[:403] = 3.5
    values[403:484] = 2.9
    values[484:1000] = 12.0
    values[1000:1100] = 15.0
    found = _summary(_series(values), 14)
    assert words(found, Language.SV) == (
        "Underlag för samtal och för läkare, inget larm och ingen diagnos.",
        "4032 av 4032 väntade sensorvärden (100 %), på 14 av 14 dygn.",
        (
            "I målområdet 3,9–10,0 mmol/L: 73 %. Under 3,9: 12,0 %, varav under 3,0: 2,0 %. "
            "Över 10,0: 15 %, varav över 13,9: 2,5 %."
        ),
        "Medelglukos 8,1 mmol/L.",
        "Variation (CV) 30 %, standardavvikelse 2,4 mmol/L.",
        "GMI 51 mmol/mol (6,8 %), räknat ur sensorns medelglukos. Det är inte ett HbA1c-prov.",
    )
    english = words(found, Language.EN)
    assert english[2].startswith("In range 3.9–10.0 mmol/L: 73 %. Below 3.9: 12.0 %")
    assert english[5].startswith("GMI 51 mmol/mol (6.8 %)")


_VALUES = st.lists(st.integers(20, 600), min_size=1, max_size=120)


@settings(deadline=None)
@given(_VALUES, st.integers(-(10**9), 10**9))
def test_a_shift_in_time_changes_nothing(mg_per_dl: list[int], ms: int) -> None:
    values = from_mg_per_dl(np.array(mg_per_dl, float))
    moved = START + np.timedelta64(ms, "ms")
    shifted = summarise_sensor(_series(values, moved), moved, moved + DAY, interval_s=300)
    assert shifted == _summary(_series(values))


@settings(deadline=None)
@given(_VALUES, st.randoms(use_true_random=False))
def test_order_and_repeats_change_nothing(mg_per_dl: list[int], random: Random) -> None:
    readings = _series(from_mg_per_dl(np.array(mg_per_dl, float)))
    order = [*range(len(mg_per_dl)), *range(len(mg_per_dl))]
    random.shuffle(order)
    shuffled = Readings(readings.at[order], readings.mmol_per_l[order], readings.side[order])
    assert _summary(shuffled) == _summary(readings)


@settings(deadline=None)
@given(_VALUES)
def test_shares_add_up_and_contain_each_other(mg_per_dl: list[int]) -> None:
    shares = _summary(_series(from_mg_per_dl(np.array(mg_per_dl, float)))).shares
    assert shares is not None
    assert shares.below_39 + shares.in_range + shares.above_100 == pytest.approx(1)
    assert 0 <= shares.below_30 <= shares.below_39 <= 1
    assert 0 <= shares.above_139 <= shares.above_100 <= 1
