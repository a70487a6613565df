"""Decode stored bytes again and compare with the values that stand beside them.

What a gateway once read out of a device's bytes must be what the same bytes say now: after a
restore, and after a decoder has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from devices.errors import DecodeError
from devices.gatt import CHARACTERISTICS, Fields, decode
from devices.kinds import KINDS
from server.store.database import errors_named

SAMPLE = 400
# Every decoder is exact in decimal; this is for the way there and back through text.
RELATIVE_ERROR_MAX = 1e-9


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A measurement whose bytes say something else than its stored values."""

    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class DerivedAgain:
    """How many were ``compared``, with the ``disagreements``; ``not_known``: no decoder here."""

    compared: int
    not_known: int
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class _Stored:
    uid: UUID
    kind_id: int
    characteristic: str
    raw: bytes
    components: list[int]
    values: list[float | None]
    absents: list[str | None]

    @property
    def samples(self) -> dict[int, tuple[float | None, str | None]]:
        facts = zip(self.components, self.values, self.absents, strict=True)
        return {component: (value, absent) for component, value, absent in facts}


def derive_again(held: psycopg.Connection[Any], *, limit: int = SAMPLE) -> DerivedAgain:
    """Compare a sample of at most ``limit`` values that carry bytes, spread over all there are."""
    with errors_named():
        rows = [_Stored(*row) for row in held.execute(_SAMPLE, (limit,)).fetchall()]
    known = [one for one in rows if one.characteristic in CHARACTERISTICS]
    judged = [
        (one.uid.hex, fault_of(one.kind_id, one.characteristic, one.raw, one.samples))
        for one in known
    ]
    return DerivedAgain(
        compared=len(known),
        not_known=len(rows) - len(known),
        disagreements=tuple(Disagreement(uid, why) for uid, why in judged if why is not None),
    )


def fault_of(
    kind_id: int,
    characteristic: str,
    raw: bytes,
    stored: Mapping[int, tuple[float | None, str | None]],
) -> str | None:
    """Return what is wrong with values ``stored`` by component beside these bytes, None if nothing.

    One characteristic value may hold several records of a kind: the stored ones must be all of one.
    """
    try:
        decoded = decode(characteristic, raw)
    except DecodeError as error:
        return f"bytes cannot be decoded: {error.reason}"
    if isinstance(decoded, Fields):
        return "bytes hold no measurement"
    kind = next(one for one in KINDS.values() if one.number == kind_id)
    numbers = {component.code: component.number for component in kind.components}
    said = [
        {
            numbers[s.code]: (s.value, None if s.absent is None else s.absent.value)
            for s in one.samples
            if s.code in numbers
        }
        for one in decoded.measurements
        if one.kind == kind.name
    ]
    if not said:
        return f"bytes hold no {kind.name}"
    return None if _is_one_of(stored, said) else "other values than the bytes hold"


def _is_one_of(
    stored: Mapping[int, tuple[float | None, str | None]],
    said: Collection[Mapping[int, tuple[float | None, str | None]]],
) -> bool:
    return any(
        stored.keys() == one.keys()
        and all(_agree(stored[number], one[number]) for number in stored)
        for one in said
    )


def _agree(stored: tuple[float | None, str | None], said: tuple[float | None, str | None]) -> bool:
    (value, absent), (again, why) = stored, said
    if value is None or again is None:
        return value is again and absent == why
    return abs(value - again) <= RELATIVE_ERROR_MAX * max(abs(value), abs(again))


# By a hash of the uid: the same sample each time, spread over devices and years.
_SAMPLE = """
WITH chosen AS (
    SELECT uid, kind_id, characteristic, raw FROM measurement
    WHERE type = 'value' AND raw IS NOT NULL AND characteristic IS NOT NULL
      AND NOT 'erased' = ANY(flags)
    ORDER BY md5(uid::text) LIMIT %s
)
SELECT c.uid, c.kind_id, c.characteristic, c.raw,
       coalesce(array_agg(o.component_id) FILTER (WHERE o.uid IS NOT NULL), '{}'),
       coalesce(array_agg(o.value) FILTER (WHERE o.uid IS NOT NULL), '{}'),
       coalesce(array_agg(o.absent) FILTER (WHERE o.uid IS NOT NULL), '{}')
FROM chosen c LEFT JOIN observation o ON o.uid = c.uid
GROUP BY c.uid, c.kind_id, c.characteristic, c.raw
"""
