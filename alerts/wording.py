"""Numbers, units and ages as a nurse says them, in Swedish and English.

Swedish: decimal comma, a real minus sign, "slag/min" for pulse. Nothing here decides anything.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum

from alerts.errors import ReadingError
from alerts.rules import Direction
from devices.kinds import Component


class Language(StrEnum):
    """The languages in which every alert is written when it fires."""

    SV = "sv"
    EN = "en"


_UNITS = {
    Language.SV: {"mm[Hg]": "mmHg", "Cel": "°C", "/min": "slag/min"},
    Language.EN: {"mm[Hg]": "mmHg", "Cel": "°C", "/min": "beats/min"},
}
# Room for every float there is: a device may send 8e133 (IEEE 11073 FLOAT), and it is read as red,
# not refused.
_ALL_DIGITS = Context(prec=400)
# A pulse is counted in beats; breaths and steps are not.
_PER_MINUTE = {Language.SV: "per minut", Language.EN: "per minute"}


def rounded(value: float, decimals: int) -> Decimal:
    """Return ``value`` with the component's decimals, halves away from zero.

    Limits are compared on this number, not on the float: 36.05 °C must not become 36.0 on one
    machine and 36.1 on another (clinical.md 1, NEWS2). Rounding can only widen a limit by less than
    one step. Raises ReadingError for what is not a number.
    """
    exact = Decimal(repr(float(value)))
    if not exact.is_finite():
        raise ReadingError("a stored value is not a number")
    step = Decimal(1).scaleb(-decimals)
    return exact.quantize(step, rounding=ROUND_HALF_UP, context=_ALL_DIGITS)


def number(value: float, decimals: int, language: Language) -> str:
    """Write ``value`` with its decimals: ``36,9`` and ``−2`` in Swedish, ``36.9`` in English."""
    text = str(rounded(value, decimals)).replace("-", "−")
    return text.replace(".", ",") if language is Language.SV else text


def unit(component: Component, language: Language) -> str:
    """Return the unit of ``component`` as it is said, from its UCUM unit."""
    if component.unit == "/min" and "pulse" not in component.name and "heart" not in component.name:
        return _PER_MINUTE[language]
    return _UNITS[language].get(component.unit, component.unit)


def quantity(value: float, component: Component, language: Language) -> str:
    """Write a value with its unit, such as ``183 mmHg`` or ``38,4 °C``."""
    return f"{number(value, component.decimals, language)} {unit(component, language)}"


DISPLAYED = {Direction.HIGH: "HI", Direction.LOW: "LO"}
"""What stands on the display instead of a number, in every language."""
_BEYOND = {
    (Language.SV, Direction.HIGH): "över mätarens mätområde",
    (Language.SV, Direction.LOW): "under mätarens mätområde",
    (Language.EN, Direction.HIGH): "above the meter's range",
    (Language.EN, Direction.LOW): "below the meter's range",
}


def beyond(side: Direction, language: Language) -> str:
    """Say where a result lies that the device has no number for."""
    return _BEYOND[language, side]


def name(component: Component, language: Language) -> str:
    """Return what the component is called, in lower case as it stands inside a sentence."""
    return component.sv if language is Language.SV else component.en


def age(elapsed: timedelta, language: Language) -> str:
    """Write how long ago something was, in the largest unit that is at least two (one hour is 60
    min).
    """
    minutes = int(elapsed.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} {'timmar' if language is Language.SV else 'hours'}"
    return f"{minutes // (24 * 60)} {'dygn' if language is Language.SV else 'days'}"
