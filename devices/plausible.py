"""Which values of a measurement nobody at home can have; they are flagged, never dropped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from devices.kinds import KINDS


class Valued(Protocol):
    """Anything with a code and a value: a sample here or on the wire."""

    @property
    def code(self) -> str:
        """Return the component's code."""

    @property
    def value(self) -> float | None:
        """Return the number in the catalogue's unit, or None where it is absent."""


def implausible(kind: str, samples: Iterable[Valued]) -> tuple[str, ...]:
    """Return the names of the components of ``kind`` whose values lie outside their ranges.

    Absent values and what the catalogue does not know are not judged.
    """
    if kind not in KINDS:
        return ()
    found = []
    for sample in samples:
        component = KINDS[kind].component(sample.code)
        if component and sample.value is not None and not component.is_plausible(sample.value):
            found.append(component.name)
    return tuple(found)
