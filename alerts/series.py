"""A person's readings in the order the server received them, and what is read out of them.

Rules of this file: nothing is deleted or changed; a duplicate is the same ``uid`` and component;
what proves nothing never takes part in a median.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.standing import is_doubted, is_reading
from devices.kinds import COMPONENTS

IMPLAUSIBLE = "implausible"
RETRACTED = "retracted"


@dataclass(frozen=True, slots=True)
class Reading:
    """One component of one stored measurement.

    ``uid`` is the item's identity in hex, ``value`` in the component's unit, ``measured_at`` the
    best estimate of when, ``received_seq`` the server's order. Both times are aware.
    """

    uid: str
    component: int
    value: float
    measured_at: datetime
    received_seq: int
    flags: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, int]:
        """What makes two readings the same one."""
        return (self.uid, self.component)

    def is_retracted(self) -> bool:
        """Tell whether somebody has said that it was not them. It marks; it never deletes."""
        return RETRACTED in self.flags

    def is_of_the_person(self) -> bool:
        """Tell whether it is a reading at all, and not a control solution or a demonstration."""
        return is_reading(self.flags)

    def is_doubted(self) -> bool:
        """Tell whether the device itself doubts it."""
        return is_doubted(self.flags)

    def proves(self) -> bool:
        """Tell whether it may reassure: a plausible reading that its device stands by."""
        return self.is_of_the_person() and self.is_plausible() and not self.is_doubted()

    def is_plausible(self) -> bool:
        """Tell whether nobody doubts the value: not the gateway, the catalogue or the patient."""
        if IMPLAUSIBLE in self.flags or self.is_retracted():
            return False
        return COMPONENTS[self.component].is_plausible(self.value)


def in_received_order(readings: Iterable[Reading]) -> list[tuple[Reading, ...]]:
    """Drop duplicates and group what belongs to one measurement, in the server's order.

    Ties are broken by time, identity and component, so that the result does not depend on the order
    given.
    """
    unique = {r.key: r for r in sorted(readings, key=_order, reverse=True)}
    groups: dict[str, list[Reading]] = {}
    for reading in sorted(unique.values(), key=_order):
        groups.setdefault(reading.uid, []).append(reading)
    return [tuple(group) for group in groups.values()]


def median_of_repeats(known: Sequence[Reading], reading: Reading, window_s: int) -> float:
    """Return the median of the readings of this component that prove something, in the window that
    ends with ``reading``.

    ``reading`` itself must be plausible; it takes part whether or not it is among ``known``.
    """
    since = reading.measured_at - timedelta(seconds=window_s)
    repeats = {r.key: r.value for r in known if _is_repeat(r, reading, since)}
    repeats[reading.key] = reading.value
    return float(statistics.median(repeats.values()))


def _is_repeat(other: Reading, reading: Reading, since: datetime) -> bool:
    same = other.component == reading.component and since < other.measured_at <= reading.measured_at
    return same and other.proves()


def _order(reading: Reading) -> tuple[int, datetime, str, int, float]:
    return (
        reading.received_seq,
        reading.measured_at,
        reading.uid,
        reading.component,
        reading.value,
    )
