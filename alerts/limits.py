"""Four bounds around what is expected of one component, and where each came from.

Rules of this file: the outer bounds contain the inner ones (red_low ≤ yellow_low < yellow_high ≤
red_high), checked when the object is built. A missing bound is "no limit in that direction", never
zero. A low bound is reached at or below it, a high bound at or above it, as in the NEWS2 table
(clinical.md 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import pairwise

from alerts.errors import LimitsContradictError


class Origin(StrEnum):
    """Which layer a bound came from (clinical.md 4a). Municipality and template layers come
    between.
    """

    NATIONAL = "national"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Bounds of one component, in the component's unit. Raises LimitsContradictError when built
    wrong.
    """

    red_low: float | None = None
    yellow_low: float | None = None
    yellow_high: float | None = None
    red_high: float | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that are not numbers, or whose outer ones do not contain the inner ones."""
        given = [(f.name, getattr(self, f.name)) for f in fields(self)]
        given = [(name, value) for name, value in given if value is not None]
        for name, value in given:
            if not math.isfinite(value):
                raise LimitsContradictError(f"{name} is not a number")
        for (inner, low), (outer, high) in pairwise(given):
            same_side = inner.endswith("_low") == outer.endswith("_low")
            if low > high or (low == high and not same_side):
                raise LimitsContradictError(f"{inner} {low:g} does not lie below {outer} {high:g}")

    def is_empty(self) -> bool:
        """Tell whether no bound at all is set, so that no threshold rule reads the component."""
        return all(getattr(self, f.name) is None for f in fields(self))


BOUNDS = tuple(f.name for f in fields(Guardrail))


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """The bounds that hold for one component of one person, and the origin of each bound that is
    set.
    """

    component: int
    bounds: Guardrail
    origins: Mapping[str, Origin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Override:
    """One person's own bounds for one component. A bound that is None leaves the layer below in
    force.

    ``set_by`` names who decided it and ``reason`` why; both are shown beside the limit.
    """

    component: int
    bounds: Guardrail
    set_by: str = ""
    reason: str = ""


def merge(component: int, national: Guardrail | None, own: Guardrail | None) -> EffectiveLimit:
    """Lay ``own`` over ``national`` field by field and keep each field's origin.

    Raises LimitsContradictError when the result's outer bounds do not contain its inner ones, which
    happens when a person's yellow bound passes the national red one that was not moved with it.
    """
    values: dict[str, float] = {}
    origins: dict[str, Origin] = {}
    for origin, layer in ((Origin.NATIONAL, national), (Origin.PATIENT, own)):
        for bound in BOUNDS:
            value = None if layer is None else getattr(layer, bound)
            if value is not None:
                values[bound] = value
                origins[bound] = origin
    return EffectiveLimit(component, Guardrail(**values), origins)
