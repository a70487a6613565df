"""A person's readings in the order the server received them, and what is read out of them.

Rules of this file: nothing is deleted or changed; a duplicate is the same ``uid`` and component;
what proves nothing never takes part in a median; a result beyond its device's range has a side and
no number (docs/decisions/0016).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.rules import Direction
from alerts.standing import is_doubted, is_reading
from devices.kinds import COMPONENTS

IMPLAUSIBLE = "implausible"
RETRACTED = "retracted"


@dataclass(frozen=True, slots=True)
class Reading:
    """One component of one stored measurement.

    ``uid`` is the item's identity in hex, ``value`` in the component's unit, ``measured_at`` the
    best estimate of when, ``received_seq`` the server's order. Both times are aware. Exactly one of
    ``value`` and ``beyond`` is set: a device that shows HI or LO says a side and no number.
    """

    uid: str
    component: int
    value: float | None
    measured_at: datetime
    received_seq: int
    flags: frozenset[str] = frozenset()
    beyond: Direction | None = None

    def __post_init__(self) -> None:
        """Check that there is a number or a side."""
        assert (self.value is None) != (self.beyond is None), "a reading has a number or a side"

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
        """Tell whether it may reassure: a plausible number that its device stands by."""
        return self.value is not None and self._is_believed()

    def may_count(self, side: Direction) -> bool:
        """Tell whether it takes part in medians before rules of that side.

        HI and LO do before the rules of their own side, where they can only alarm.
        """
        return self.beyond in (None, side) and self._is_believed()

    def _is_believed(self) -> bool:
        return self.is_of_the_person() and self.is_plausible() and not self.is_doubted()

    def is_plausible(self) -> bool:
        """Tell whether nobody doubts the value: not the gateway, the catalogue or the patient.

        The catalogue has nothing to say of HI and LO: the device itself says that it is beyond.
        """
        if IMPLAUSIBLE in self.flags or self.is_retracted():
            return False
        return self.value is None or COMPONENTS[self.component].is_plausible(self.value)


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


def median_of_repeats(
    known: Sequence[Reading], reading: Reading, window_s: int, side: Direction
) -> float | None:
    """Return the median of the believed readings of this component in the window that ends with
    ``reading``, as a rule of that side reads them. None: it lies beyond the range on that side.

    ``reading`` itself must be plausible and not beyond the other side; it takes part whether or not
    it is among ``known``.
    """
    assert reading.beyond in (None, side), "beyond the other side"
    since = reading.measured_at - timedelta(seconds=window_s)
    repeats = {r.key: r.value for r in known if _is_repeat(r, reading, since, side)}
    repeats[reading.key] = reading.value
    # Only for the order: all that have no number lie on the same side.
    edge = math.inf if side is Direction.HIGH else -math.inf
    median = float(statistics.median(edge if v is None else v for v in repeats.values()))
    return None if math.isinf(median) else median


def _is_repeat(other: Reading, reading: Reading, since: datetime, side: Direction) -> bool:
    same = other.component == reading.component and since < other.measured_at <= reading.measured_at
    return same and other.may_count(side)


def _order(reading: Reading) -> tuple[int, datetime, str, int, str, float]:
    return (
        reading.received_seq,
        reading.measured_at,
        reading.uid,
        reading.component,
        reading.beyond or "",
        reading.value or 0.0,
    )
