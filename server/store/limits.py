"""A person's own limits, with their dates and who set them.

A change ends one row and begins another: nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg.rows import class_row

from alerts.errors import LimitsContradictError
from alerts.limits import EffectiveLimit, Guardrail, Override
from alerts.plan import Plan, Refused, check_override, plan_for
from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One person's own bounds for one component; ``until`` None is still in force."""

    patient_id: int
    component_id: int
    red_low: float | None
    yellow_low: float | None
    yellow_high: float | None
    red_high: float | None
    set_by: str
    reason: str
    since: datetime
    until: datetime | None

    def override(self) -> Override:
        """Return what the plan is made of.

        Raises LimitsContradictError if the row's bounds contradict each other, which
        :func:`set_limit` never writes.
        """
        bounds = Guardrail(self.red_low, self.yellow_low, self.yellow_high, self.red_high)
        return Override(self.component_id, bounds, self.set_by, self.reason)


async def plans_of(tx: Transaction, patient_ids: Sequence[int], *, at: datetime) -> dict[int, Plan]:
    """Return the plan in force at ``at`` for each of these patients."""
    async with tx.cursor(row_factory=class_row(LimitRow)) as cursor:
        await cursor.execute(f"{_LIMITS} AND valid @> %(at)s", {"ids": list(patient_ids), "at": at})
        rows = await cursor.fetchall()
    own: dict[int, list[LimitRow]] = {}
    for row in rows:
        own.setdefault(row.patient_id, []).append(row)
    # Most people have no limits of their own: their plan is made once.
    national = plan_for()
    return {p: _plan(own[p]) if p in own else national for p in patient_ids}


def _plan(rows: Sequence[LimitRow]) -> Plan:
    """Make a plan; a row that contradicts itself is refused, not raised: judging must go on."""
    overrides: list[Override] = []
    refused: list[Refused] = []
    for row in rows:
        try:
            overrides.append(row.override())
        except LimitsContradictError as error:
            refused.append(Refused(row.component_id, str(error)))
    plan = plan_for(overrides)
    return replace(plan, refused=(*plan.refused, *refused))


async def plan_of(tx: Transaction, patient_id: int, *, at: datetime) -> Plan:
    """Return the plan in force at ``at`` for one patient."""
    return (await plans_of(tx, [patient_id], at=at))[patient_id]


async def history_of(tx: Transaction, patient_id: int) -> list[LimitRow]:
    """Return all own limits a patient has had, newest first."""
    async with tx.cursor(row_factory=class_row(LimitRow)) as cursor:
        await cursor.execute(
            f"{_LIMITS} ORDER BY lower(valid) DESC, id DESC", {"ids": [patient_id]}
        )
        return await cursor.fetchall()


async def set_limit(
    tx: Transaction, patient_id: int, override: Override, *, at: datetime
) -> EffectiveLimit:
    """Put a person's own bounds in force from ``at``; return what then holds, with origins.

    Bounds that are all None end the person's own limit. Raises LimitsContradictError when the
    result would contradict itself; nothing is written then.
    """
    effective = check_override(override)
    values = {"patient": patient_id, "component": override.component, "at": at}
    # Two people who change the same limit take turns.
    await tx.execute("SELECT 1 FROM patient WHERE id = %(patient)s FOR UPDATE", values)
    await tx.execute(_END, values)
    if not override.bounds.is_empty():
        bounds = override.bounds
        await tx.execute(
            _BEGIN,
            values
            | {
                "red_low": bounds.red_low,
                "yellow_low": bounds.yellow_low,
                "yellow_high": bounds.yellow_high,
                "red_high": bounds.red_high,
                "set_by": override.set_by,
                "reason": override.reason,
            },
        )
    return effective


_LIMITS = """
SELECT patient_id, component_id, red_low, yellow_low, yellow_high, red_high, set_by, reason,
       lower(valid) AS since, upper(valid) AS until
FROM patient_limit WHERE patient_id = ANY(%(ids)s::int[]) AND NOT isempty(valid)
"""

# A row that would begin later than ``at`` is replaced too: the newest decision holds.
_END = """
UPDATE patient_limit
SET valid = CASE WHEN lower(valid) < %(at)s THEN tstzrange(lower(valid), %(at)s)
                 ELSE 'empty'::tstzrange END
WHERE patient_id = %(patient)s AND component_id = %(component)s
  AND NOT isempty(valid) AND (upper(valid) IS NULL OR upper(valid) > %(at)s)
"""

_BEGIN = """
INSERT INTO patient_limit (patient_id, component_id, red_low, yellow_low, yellow_high, red_high,
                           set_by, reason, valid)
VALUES (%(patient)s, %(component)s, %(red_low)s, %(yellow_low)s, %(yellow_high)s, %(red_high)s,
        %(set_by)s, %(reason)s, tstzrange(%(at)s, NULL))
"""
