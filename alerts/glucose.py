"""Two weeks of glucose, summed up: time in range and what belongs beside it.

Rules of this file; docs/glucose-summary.md has the sources:

- shares are shares of *readings*, one for each interval of the sensor, as the international
  consensus counts them (Battelino 2019); a gap is nobody's time in any range;
- a reading is put in its range by whole mg/dL, the unit the consensus drew its bounds in. So 70 and
  180 mg/dL are in range, 181 is not, and 3.9 and 10.0 mmol/L are in range, 10.1 is not: no reading
  changes side with the unit its sensor speaks;
- LO and HI count as readings, below 3.0 and above 13.9; they have no number, so the mean and what
  follows from it leave them out, and say how many;
- under 14 days or 70 % of the expected readings the shares are shown with that said, and no GMI;
- finger-stick values are never mixed in: nobody pricks a finger at random, so they have no time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC

import numpy as np
import numpy.typing as npt

from alerts.rules import Direction
from alerts.series import Reading

Times = npt.NDArray[np.datetime64]
Glucose = npt.NDArray[np.float64]
Sides = npt.NDArray[np.int8]

# clinical.md 1 (units); devices use the same number.
MG_PER_DL_PER_MMOL_PER_L = 18.016
# The consensus's bounds. In mmol/L it prints them as 3.0, 3.9, 10.0 and 13.9.
VERY_LOW_MG_PER_DL, LOW_MG_PER_DL, HIGH_MG_PER_DL, VERY_HIGH_MG_PER_DL = 54, 70, 180, 250
DAYS_NEEDED = 14
WEAR_NEEDED = 0.70

BELOW, WITHIN, ABOVE = -1, 0, 1
"""What ``side`` holds: LO, a number, HI."""

_DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of one source, one element each in three arrays, in any order.

    ``at`` datetime64; ``mmol_per_l`` float64, ``nan`` where the device has no number; ``side`` int8
    says which way such a reading lies (BELOW, ABOVE) and is WITHIN for a number. What has neither a
    number nor a side is no reading and is left out.
    """

    at: Times
    mmol_per_l: Glucose
    side: Sides

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        same = len(self.at) == len(self.mmol_per_l) == len(self.side)
        assert same, "times, values and sides differ in length"


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the readings, 0–1, named by their bound in tenths of a mmol/L.

    ``below_39``, ``in_range`` and ``above_100`` add up to 1; ``below_39`` includes ``below_30``,
    and ``above_100`` includes ``above_139``, as in the consensus.
    """

    below_30: float
    below_39: float
    in_range: float
    above_100: float
    above_139: float


@dataclass(frozen=True, slots=True)
class SensorSummary:
    """A sensor's readings over a period.

    ``readings`` of ``expected`` came, on ``days_with_readings`` of ``days``. ``shares`` is None
    without readings. Mean, standard deviation (n − 1) and coefficient of variation are of the
    readings with a number; ``beyond_low`` (LO) and ``beyond_high`` (HI) are those without. GMI is
    None unless :attr:`is_enough`.
    """

    days: float
    days_with_readings: int
    readings: int
    expected: int
    beyond_low: int
    beyond_high: int
    shares: Shares | None
    mean_mmol_per_l: float | None
    sd_mmol_per_l: float | None
    cv_percent: float | None
    gmi_percent: float | None
    gmi_mmol_per_mol: float | None

    @property
    def wear(self) -> float:
        """Return the part of the expected readings that came, 0–1."""
        return self.readings / self.expected

    @property
    def is_enough(self) -> bool:
        """Tell whether the period is long and covered enough for the figures to be leant on."""
        return self.days >= DAYS_NEEDED and self.wear >= WEAR_NEEDED


@dataclass(frozen=True, slots=True)
class FingerStickSummary:
    """Finger-stick values over a period: counts, never time. Mean and ends are of the numbers."""

    readings: int
    below_39: int
    above_100: int
    beyond_low: int
    beyond_high: int
    mean_mmol_per_l: float | None
    lowest_mmol_per_l: float | None
    highest_mmol_per_l: float | None


def believed(readings: Iterable[Reading]) -> Readings:
    """Return the arrays of one source's readings, without those that the rules would not lean on.

    Out go control solutions, retracted and implausible values, and what the device itself doubts; a
    sensor that doubts much is thereby worn less, and that is said. Pass readings of one component:
    a sensor's and a meter's never together.
    """
    kept = [r for r in readings if r.may_count(r.beyond or Direction.LOW)]
    assert len({r.component for r in kept}) < 2, "readings of one component at a time"
    side = {None: WITHIN, Direction.LOW: BELOW, Direction.HIGH: ABOVE}
    return Readings(
        np.array(
            [r.measured_at.astimezone(UTC).replace(tzinfo=None) for r in kept], "datetime64[us]"
        ),
        np.array([np.nan if r.value is None else r.value for r in kept], np.float64),
        np.array([side[r.beyond] for r in kept], np.int8),
    )


def from_mg_per_dl(mg_per_dl: Glucose) -> Glucose:
    """Convert to mmol/L. For values that come from outside in that unit."""
    converted: Glucose = mg_per_dl / MG_PER_DL_PER_MMOL_PER_L
    return converted


def gmi_percent(mean_mmol_per_l: float) -> float:
    """Return the glucose management indicator in % (Bergenstal 2018), from a sensor's mean."""
    return 3.31 + 0.02392 * mean_mmol_per_l * MG_PER_DL_PER_MMOL_PER_L


def gmi_mmol_per_mol(mean_mmol_per_l: float) -> float:
    """Return the glucose management indicator in mmol/mol (Bergenstal 2018)."""
    return 12.71 + 4.70587 * mean_mmol_per_l


def summarise_sensor(
    readings: Readings, since: np.datetime64, until: np.datetime64, *, interval_s: int
) -> SensorSummary:
    """Sum up a sensor's readings in [since, until).

    ``interval_s`` is the sensor's own interval (300, 60, 900). Of several readings in one interval
    the earliest counts, so that what was sent twice, or read by two phones, weighs once. Days are
    counted in 24 hours from ``since``. The period must hold at least one interval.
    """
    period_s = float((until - since) / np.timedelta64(1, "s"))
    assert 0 < interval_s <= period_s, "the period holds no interval of the sensor"
    expected = int(period_s // interval_s)
    inside = _in_period(readings, since, until)
    kept = _one_an_interval(inside, interval_s)
    days = np.unique((kept.at - since) // np.timedelta64(_DAY_S, "s"))
    numbers = _numbers(kept)
    mean = float(numbers.mean()) if len(numbers) else None
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    # A clock that was set may put one reading more in the period than it has room for.
    count = min(len(kept.at), expected)
    is_enough = period_s >= DAYS_NEEDED * _DAY_S and count / expected >= WEAR_NEEDED
    has_gmi = is_enough and mean is not None
    return SensorSummary(
        days=period_s / _DAY_S,
        days_with_readings=len(days),
        readings=count,
        expected=expected,
        beyond_low=int((kept.side == BELOW).sum()),
        beyond_high=int((kept.side == ABOVE).sum()),
        shares=_shares(kept),
        mean_mmol_per_l=mean,
        sd_mmol_per_l=sd,
        cv_percent=100 * sd / mean if sd is not None and mean else None,
        gmi_percent=gmi_percent(mean) if has_gmi and mean is not None else None,
        gmi_mmol_per_mol=gmi_mmol_per_mol(mean) if has_gmi and mean is not None else None,
    )


def summarise_finger_sticks(
    readings: Readings, since: np.datetime64, until: np.datetime64
) -> FingerStickSummary:
    """Sum up finger-stick values in [since, until), each value once."""
    inside = _in_period(readings, since, until)
    rounded = _mg_per_dl(inside)
    numbers = _numbers(inside)
    return FingerStickSummary(
        readings=len(inside.at),
        below_39=int((rounded < LOW_MG_PER_DL).sum()),
        above_100=int((rounded > HIGH_MG_PER_DL).sum()),
        beyond_low=int((inside.side == BELOW).sum()),
        beyond_high=int((inside.side == ABOVE).sum()),
        mean_mmol_per_l=float(numbers.mean()) if len(numbers) else None,
        lowest_mmol_per_l=float(numbers.min()) if len(numbers) else None,
        highest_mmol_per_l=float(numbers.max()) if len(numbers) else None,
    )


def _in_period(readings: Readings, since: np.datetime64, until: np.datetime64) -> Readings:
    """Return what is a reading in the period, by time; ties by value, LO before numbers before HI.

    The same time, value and side twice is one reading.
    """
    is_reading = np.isfinite(readings.mmol_per_l) | (readings.side != WITHIN)
    wanted = is_reading & (readings.at >= since) & (readings.at < until)
    at, side = readings.at[wanted], readings.side[wanted]
    # A side goes before a number: what the device says is beyond its range has none.
    value = np.where(side == WITHIN, readings.mmol_per_l[wanted], 0.0)
    order = np.lexsort((value, side, at))
    at, side, value = at[order], side[order], value[order]
    is_new = np.ones(len(at), np.bool_)
    is_new[1:] = (at[1:] != at[:-1]) | (side[1:] != side[:-1]) | (value[1:] != value[:-1])
    return Readings(at[is_new], value[is_new], side[is_new])


def _one_an_interval(inside: Readings, interval_s: int) -> Readings:
    """Keep the earliest reading of each interval; intervals are centred on the first reading's."""
    if not len(inside.at):
        return inside
    since_first_s = (inside.at - inside.at[0]) / np.timedelta64(1, "s")
    slot = np.floor(since_first_s / interval_s + 0.5)
    is_first = np.append(True, slot[1:] != slot[:-1])
    return Readings(inside.at[is_first], inside.mmol_per_l[is_first], inside.side[is_first])


def _numbers(readings: Readings) -> Glucose:
    numbers: Glucose = readings.mmol_per_l[readings.side == WITHIN]
    return numbers


def _mg_per_dl(readings: Readings) -> Glucose:
    """Return whole mg/dL, with LO and HI beyond every bound."""
    rounded: Glucose = np.rint(readings.mmol_per_l * MG_PER_DL_PER_MMOL_PER_L)
    rounded[readings.side == BELOW] = -np.inf
    rounded[readings.side == ABOVE] = np.inf
    return rounded


def _shares(readings: Readings) -> Shares | None:
    count = len(readings.at)
    if not count:
        return None
    rounded = _mg_per_dl(readings)
    below, above = int((rounded < LOW_MG_PER_DL).sum()), int((rounded > HIGH_MG_PER_DL).sum())
    return Shares(
        below_30=int((rounded < VERY_LOW_MG_PER_DL).sum()) / count,
        below_39=below / count,
        in_range=(count - below - above) / count,
        above_100=above / count,
        above_139=int((rounded > VERY_HIGH_MG_PER_DL).sum()) / count,
    )
