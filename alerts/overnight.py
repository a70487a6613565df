"""One night of oximetry, summed up as a basis for a physician. Never an alert, never a diagnosis.

Rules of this file: an index is events an hour of *valid* time, so a sensor that fell off never
makes a night look calm; under four valid hours there is no index at all, and the words say why. The
definition of an event is in ``desaturation.py`` and docs/overnight-oximetry.md. No figure is given
a band or a name: what it means is for the physician who knows the person.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from alerts.desaturation import Bools, Desaturation, Percents, Times, falls, trace
from alerts.standing import is_doubted, is_reading
from alerts.wording import Language, number

# clinical.md 1, row odi.
VALID_MIN_S = 4 * 3600
BELOW_PERCENT = (90, 88)

ARTEFACT_FLAGS = frozenset({"implausible", "low_perfusion", "movement", "retracted"})
"""Flags that a single reading may carry and still alarm, but that a second of a night may not."""


def is_artefact(flags: Set[str]) -> bool:
    """Tell whether a sample with these flags counts as artefact in a night's recording."""
    return not is_reading(flags) or is_doubted(flags) or not ARTEFACT_FLAGS.isdisjoint(flags)


@dataclass(frozen=True, slots=True)
class Overnight:
    """What one recording shows. Seconds are of samples that count, if nothing else is said.

    ``recorded_s`` is from the first number to the last and equals ``valid_s``, ``artefact_s`` and
    ``missing_s`` together. Indices are events an hour of valid time; None under four valid hours,
    and so are the times below a level. ``lowest_percent`` and ``mean_percent`` are None where
    nothing counts. ``events3`` and ``events4`` hold every event, also where there is no index.
    ``long_falls`` are falls of 3 points that had not returned in two minutes.
    """

    recorded_s: int
    valid_s: int
    artefact_s: int
    missing_s: int
    lowest_percent: float | None
    mean_percent: float | None
    below_90_s: int | None
    below_88_s: int | None
    odi3_per_h: float | None
    odi4_per_h: float | None
    events3: tuple[Desaturation, ...]
    events4: tuple[Desaturation, ...]
    long_falls: int

    @property
    def is_enough(self) -> bool:
        """Tell whether there is valid time enough for an index."""
        return self.valid_s >= VALID_MIN_S

    @property
    def artefact_share(self) -> float | None:
        """Return the part of the seconds with a number that does not count; None without any."""
        numbered = self.valid_s + self.artefact_s
        return self.artefact_s / numbered if numbered else None


def overnight(at: Times, spo2_percent: Percents, is_doubted: Bools | None = None) -> Overnight:
    """Sum up one night's series of one value a second.

    ``at`` datetime64 in any order; ``spo2_percent`` with ``nan`` for a missing sample;
    ``is_doubted`` True where :func:`is_artefact` says so of the sample's flags, None where the
    series carries none. Raises ReadingError as :func:`alerts.desaturation.trace` does.
    """
    recording = trace(at, spo2_percent, is_doubted)
    counted = recording.tenths[recording.is_valid]
    valid_s = len(counted)
    is_enough = valid_s >= VALID_MIN_S
    at_3, at_4 = falls(recording, 3), falls(recording, 4)
    below = [int((counted < level * 10).sum()) if is_enough else None for level in BELOW_PERCENT]
    return Overnight(
        recorded_s=len(recording.tenths),
        valid_s=valid_s,
        artefact_s=recording.artefact_s,
        missing_s=len(recording.tenths) - valid_s - recording.artefact_s,
        lowest_percent=int(counted.min()) / 10 if valid_s else None,
        mean_percent=int(counted.sum(dtype=np.int64)) / valid_s / 10 if valid_s else None,
        below_90_s=below[0],
        below_88_s=below[1],
        odi3_per_h=len(at_3.events) * 3600 / valid_s if is_enough else None,
        odi4_per_h=len(at_4.events) * 3600 / valid_s if is_enough else None,
        events3=at_3.events,
        events4=at_4.events,
        long_falls=at_3.long_falls,
    )


def words(night: Overnight, language: Language) -> tuple[str, ...]:
    """Say what the night shows, a sentence each; the first says what the text is for."""
    say = _SENTENCES[language]
    sentences = [say["purpose"], say["time"].format(**_times(night, language))]
    if not night.is_enough:
        return (*sentences, say["too_little"])
    assert night.odi3_per_h is not None
    assert night.odi4_per_h is not None
    assert night.lowest_percent is not None
    assert night.mean_percent is not None
    sentences.append(
        say["index"].format(
            odi3=number(night.odi3_per_h, 1, language), odi4=number(night.odi4_per_h, 1, language)
        )
    )
    sentences.append(
        say["level"].format(
            mean=number(night.mean_percent, 0, language),
            lowest=number(night.lowest_percent, 0, language),
            below_90=_duration(night.below_90_s or 0, language),
            below_88=_duration(night.below_88_s or 0, language),
        )
    )
    if night.long_falls:
        sentences.append(say["long"].format(count=night.long_falls))
    return tuple(sentences)


def _times(night: Overnight, language: Language) -> dict[str, str]:
    share = 100 * (night.artefact_share or 0.0)
    return {
        "valid": _duration(night.valid_s, language),
        "recorded": _duration(night.recorded_s, language),
        "artefact": number(share, 0, language),
        "missing": _duration(night.missing_s, language),
    }


def _duration(seconds: int, language: Language) -> str:
    """Write a length of time as ``7 tim 42 min``; under a minute as ``35 s``."""
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    hour = "tim" if language is Language.SV else "h"
    return f"{hours} {hour} {minutes} min" if hours else f"{minutes} min"


_SENTENCES = {
    Language.SV: {
        "purpose": "Underlag för läkare, inget larm och ingen diagnos.",
        "time": "Giltig mättid {valid} av {recorded}. Störd signal: {artefact} % av mätvärdena. "
        "Utan mätvärde: {missing}.",
        "too_little": "För kort giltig mättid: minst 4 timmar behövs. Inget index räknas.",
        "index": "Sänkningar av syremättnaden per timme giltig mättid: {odi3} med minst "
        "3 procentenheter (ODI3), {odi4} med minst 4 (ODI4).",
        "level": "Syremättnad i medeltal {mean} %, lägst {lowest} %. "
        "Under 90 %: {below_90}. Under 88 %: {below_88}.",
        "long": "Sänkningar som inte gått tillbaka inom 2 minuter: {count}. De ingår inte i ODI.",
    },
    Language.EN: {
        "purpose": "Basis for a physician, no alert and no diagnosis.",
        "time": "Valid time {valid} of {recorded}. Disturbed signal: {artefact} % of the values. "
        "Without a value: {missing}.",
        "too_little": "Not enough valid time: at least 4 hours are needed. No index is given.",
        "index": "Falls in oxygen saturation per hour of valid time: {odi3} of at least "
        "3 percentage points (ODI3), {odi4} of at least 4 (ODI4).",
        "level": "Mean oxygen saturation {mean} %, lowest {lowest} %. "
        "Below 90 %: {below_90}. Below 88 %: {below_88}.",
        "long": "Falls that had not returned in 2 minutes: {count}. They are not part of ODI.",
    },
}
