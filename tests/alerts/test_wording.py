"""Numbers, units and ages as they are read aloud."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from alerts.errors import ReadingError
from alerts.wording import Language, age, name, number, quantity, rounded
from devices.kinds import COMPONENTS, KINDS

SV, EN = Language.SV, Language.EN


@pytest.mark.parametrize(
    ("component", "value", "sv", "en"),
    [
        (101, 183.0, "183 mmHg", "183 mmHg"),
        (104, 72.0, "72 slag/min", "72 beats/min"),
        (201, 88.0, "88 %", "88 %"),
        (301, 38.44, "38,4 °C", "38.4 °C"),
        (401, 81.25, "81,3 kg", "81.3 kg"),
    ],
)
def test_quantities_read_as_a_nurse_says_them(
    component: int, value: float, sv: str, en: str
) -> None:
    assert quantity(value, COMPONENTS[component], SV) == sv
    assert quantity(value, COMPONENTS[component], EN) == en


def test_breaths_are_not_beats() -> None:
    breaths = KINDS["respiratory_rate"].components[0]
    assert quantity(18, breaths, SV) == "18 per minut"
    assert quantity(18, breaths, EN) == "18 per minute"


def test_a_number_no_body_has_is_read_all_the_same() -> None:
    assert rounded(8388605e127, 0) > 10**133  # the largest that a device can send
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ReadingError):
            rounded(wrong, 0)


def test_the_trap_of_36_05() -> None:
    assert rounded(36.05, 1) == Decimal("36.1")
    assert rounded(36.049, 1) == Decimal("36.0")
    assert number(-2.25, 1, SV) == "−2,3"


@pytest.mark.parametrize(
    ("minutes", "sv", "en"),
    [
        (11, "11 min", "11 min"),
        (119, "119 min", "119 min"),
        (120, "2 timmar", "2 hours"),
        (47 * 60, "47 timmar", "47 hours"),
        (48 * 60, "2 dygn", "2 days"),
    ],
)
def test_ages(minutes: int, sv: str, en: str) -> None:
    assert age(timedelta(minutes=minutes), SV) == sv
    assert age(timedelta(minutes=minutes), EN) == en


def test_names() -> None:
    assert name(COMPONENTS[101], SV) == COMPONENTS[101].sv
    assert name(COMPONENTS[101], EN) == COMPONENTS[101].en
