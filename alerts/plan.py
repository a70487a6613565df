"""Which limits hold for a person, and the threshold rules that follow from them.

Rules of this file: every figure has its source, and each is a *proposal* until a named clinical
owner signs it. A component without a limit is covered by no rule, and the screens must say so: it
never looks approved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.errors import LimitsContradictError
from alerts.limits import EffectiveLimit, Guardrail, Override, merge
from alerts.rules import Bound, Direction, Severity, Text, Threshold
from devices.kinds import COMPONENTS, kind_of

SYSTOLIC, DIASTOLIC, CUFF_PULSE = 101, 102, 104
SPO2, OXIMETER_PULSE = 201, 202
TEMPERATURE, WEIGHT = 301, 401

_PULSE = Guardrail(red_low=40, yellow_low=50, yellow_high=111, red_high=131)

# Proposals. Weight has no default: what matters is the change, which is another kind of rule
# (clinical.md 1, hf.weight).
NATIONAL: Mapping[int, Guardrail] = {
    SYSTOLIC: Guardrail(red_low=90, yellow_low=100, yellow_high=160, red_high=220),
    DIASTOLIC: Guardrail(yellow_high=100),
    CUFF_PULSE: _PULSE,
    SPO2: Guardrail(red_low=91, yellow_low=93),
    OXIMETER_PULSE: _PULSE,
    TEMPERATURE: Guardrail(red_low=35.0, yellow_high=38.1, red_high=39.1),
}

# How far inside a value must return: the smallest spread that home readings of the quantity have
# (clinical.md 2, floors of the median absolute deviation). Others: one step of what the device
# shows.
_RETURN = {
    "systolic": 5.0,
    "diastolic": 5.0,
    "mean": 5.0,
    "pulse": 4.0,
    "spo2": 1.0,
    "temperature": 0.2,
    "weight": 0.3,
}


@dataclass(frozen=True, slots=True)
class _Family:
    """One lineage: the components it reads in one direction, its words and its source."""

    rule: str
    direction: Direction
    components: tuple[int, ...]
    text: Text
    why: str


_BP = (SYSTOLIC, DIASTOLIC)
_PULSES = (CUFF_PULSE, OXIMETER_PULSE)
_HIGH, _LOW = Direction.HIGH, Direction.LOW

_OWN_WHY = "Personens egen gräns"
_NEWS2 = "Förslag: samma gräns som i NEWS2-tabellen (RCP 2017)"


def _words(sv: str, en: str, direction: Direction) -> Text:
    """Name a quantity and the side of its limit: the lead of the sentence in both languages."""
    side_sv, side_en = ("över", "above") if direction is _HIGH else ("under", "below")
    return Text(f"{sv} {side_sv} gräns: {{findings}}", f"{en} {side_en} limit: {{findings}}")


def _family(
    rule: str, direction: Direction, components: tuple[int, ...], sv_en: tuple[str, str], why: str
) -> _Family:
    return _Family(rule, direction, components, _words(*sv_en, direction), why)


_BP_NAME = ("Blodtryck", "Blood pressure")
_SPO2_NAME = ("Syremättnad", "Oxygen saturation")
_PULSE_NAME = ("Puls", "Pulse")
_TEMP_NAME = ("Temperatur", "Temperature")
_BP_HIGH_WHY = (
    "Förslag: 160/100 mmHg stämde bäst med ett vårdlags egen bedömning (studien TIHM); "
    "220 mmHg är gränsen i NEWS2-tabellen (RCP 2017)"
)
_SPO2_WHY = (
    "Förslag: 91 % är gränsen i NEWS2-tabellen, skala 1 (RCP 2017); "
    "93 % ligger strax under målet 94–98 % (BTS 2017)"
)
_FAMILIES = (
    _family("bp.high", _HIGH, _BP, _BP_NAME, _BP_HIGH_WHY),
    _family("bp.low", _LOW, _BP, _BP_NAME, _NEWS2),
    _family("spo2.target", _LOW, (SPO2,), _SPO2_NAME, _SPO2_WHY),
    _family("spo2.high", _HIGH, (SPO2,), _SPO2_NAME, _OWN_WHY),
    _family("pulse.tachy", _HIGH, _PULSES, _PULSE_NAME, _NEWS2),
    _family("pulse.brady", _LOW, _PULSES, _PULSE_NAME, _NEWS2),
    _family("temp.high", _HIGH, (TEMPERATURE,), _TEMP_NAME, _NEWS2),
    _family("temp.low", _LOW, (TEMPERATURE,), _TEMP_NAME, _NEWS2),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A person's own limits that contradict the national ones, so that the national ones hold
    instead.
    """

    component: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A person's effective limits by component, the rules made of them, and the overrides that
    could not be used.
    """

    limits: Mapping[int, EffectiveLimit]
    rules: tuple[Threshold, ...]
    refused: tuple[Refused, ...] = ()

    def covers(self, component: int) -> bool:
        """Tell whether any rule reads the component; if not, its values are shown with "ingen gräns
        satt".
        """
        return any(b.component == component for rule in self.rules for b in rule.bounds)


def plan_for(overrides: Iterable[Override] = ()) -> Plan:
    """Lay a person's overrides over the national proposal.

    An override that contradicts what it is laid over is left out and named in ``refused``: the
    engine must go on judging with the national limits. Whoever writes a limit calls
    ``check_override`` first.
    """
    limits: dict[int, EffectiveLimit] = {}
    refused: list[Refused] = []
    own = {o.component: o.bounds for o in overrides}
    for component in sorted(set(NATIONAL) | set(own)):
        national = NATIONAL.get(component)
        try:
            limits[component] = merge(component, national, own.get(component))
        except LimitsContradictError as error:
            refused.append(Refused(component, str(error)))
            limits[component] = merge(component, national, None)
    return Plan(limits, _rules(limits), tuple(refused))


def check_override(override: Override) -> EffectiveLimit:
    """Return what would hold with this override. Raises LimitsContradictError when it cannot be
    used.
    """
    return merge(override.component, NATIONAL.get(override.component), override.bounds)


def covers(component: int, overrides: Iterable[Override] = ()) -> bool:
    """Tell whether any rule reads the component for a person with these overrides."""
    return plan_for(overrides).covers(component)


def unassigned_rules() -> tuple[Threshold, ...]:
    """Return the national red levels alone: what is asked of a value that belongs to nobody
    (contract.md 1).
    """
    red = {
        rule: tuple(
            Bound(b.component, None, b.red, b.hysteresis) for b in rule.bounds if b.red is not None
        )
        for rule in plan_for().rules
    }
    return tuple(_unassigned(rule, bounds) for rule, bounds in red.items() if bounds)


def _unassigned(rule: Threshold, bounds: tuple[Bound, ...]) -> Threshold:
    text = Text(
        f"Rött värde från okopplad apparat. {rule.text.sv}",
        f"Red value from an unassigned device. {rule.text.en}",
    )
    return Threshold(f"unassigned.{rule.rule}", rule.direction, bounds, text, rule.why)


def _rules(limits: Mapping[int, EffectiveLimit]) -> tuple[Threshold, ...]:
    rules = []
    for family in (*_FAMILIES, *_own_families(limits)):
        bounds = _bounds(limits, family)
        if bounds:
            rules.append(Threshold(family.rule, family.direction, bounds, family.text, family.why))
    return tuple(rules)


def _own_families(limits: Mapping[int, EffectiveLimit]) -> Sequence[_Family]:
    """Make a lineage for each component that only a person's own limits cover, such as weight."""
    known = {component for family in _FAMILIES for component in family.components}
    families = []
    for number in sorted(set(limits) - known):
        component = COMPONENTS[number]
        lineage = f"{kind_of(number).name}.{component.name}"
        names = (component.sv.capitalize(), component.en.capitalize())
        families.append(_family(f"{lineage}.high", _HIGH, (number,), names, _OWN_WHY))
        families.append(_family(f"{lineage}.low", _LOW, (number,), names, _OWN_WHY))
    return families


def _bounds(limits: Mapping[int, EffectiveLimit], family: _Family) -> tuple[Bound, ...]:
    found = []
    for number in family.components:
        guard = limits[number].bounds
        high = family.direction is _HIGH
        yellow = guard.yellow_high if high else guard.yellow_low
        red = guard.red_high if high else guard.red_low
        if yellow is not None or red is not None:
            step = float(10.0 ** -COMPONENTS[number].decimals)
            found.append(Bound(number, yellow, red, _RETURN.get(COMPONENTS[number].name, step)))
    return tuple(found)


def levels_of(limit: EffectiveLimit) -> tuple[tuple[Severity, Direction, float], ...]:
    """List the bounds that are set, for a chart's lines or a table's row, from the lowest to the
    highest.
    """
    guard = limit.bounds
    listed = (
        (Severity.RED, _LOW, guard.red_low),
        (Severity.YELLOW, _LOW, guard.yellow_low),
        (Severity.YELLOW, _HIGH, guard.yellow_high),
        (Severity.RED, _HIGH, guard.red_high),
    )
    return tuple((severity, side, value) for severity, side, value in listed if value is not None)


NAMED: Mapping[str, tuple[Threshold, ...]] = {
    "national": plan_for().rules,
    "hypertension": tuple(
        rule for rule in plan_for().rules if rule.rule.partition(".")[0] in ("bp", "pulse")
    ),
}
"""Rules by the name of a plan, all of them proposals; ``national`` holds for everybody."""
