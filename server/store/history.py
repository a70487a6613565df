"""What was measured over weeks, as numpy arrays: one person's for a page, everyone's for the rules.

Values that were taken back or are no reading (alerts/standing.py; ``is_counted`` of 0009_reads.sql)
are not here. What lies beyond its device's range (docs/decisions/0016) is an infinity.

Served by ``observation_patient`` and ``measurement_uncounted_patient`` for one person, by
``observation_time`` and ``measurement_uncounted`` for everyone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.store.columns import Column, fetch_columns
from server.store.database import Transaction
from server.store.patients import VISIBLE_PATIENTS, Reach

# Everyone's values are read so much time at once: the rows lie side by side in the order of their
# time, and what is in memory at one moment stays some ten megabytes for ten thousand people.
WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Values:
    """Measured values, one element each in four arrays of one length.

    ``patient_id`` int32; ``component_id`` int16; ``measured_at`` datetime64[us], UTC; ``value``
    float64 in the component's unit of the catalogue, ``inf`` or ``-inf`` beyond its device's range.
    """

    patient_id: Column
    component_id: Column
    measured_at: Column
    value: Column

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self.value)


async def of_patient(
    tx: Transaction, reach: Reach, patient_id: int, *, since: datetime, until: datetime
) -> Values:
    """Return a person's values measured in [since, until), by component and then by time.

    Empty for a person out of reach.
    """
    wanted = {"patient_id": patient_id, "since": since, "until": until}
    return Values(*await fetch_columns(tx, _OF_PATIENT, wanted | reach.bind()))


async def of_everyone(
    tx: Transaction,
    *,
    since: datetime,
    until: datetime,
    component_ids: Sequence[int] | None = None,
    window: timedelta = WINDOW,
) -> AsyncIterator[Values]:
    """Yield everyone's values measured in [since, until), ``window`` by ``window``, oldest first.

    Within a window they are in no order. ``component_ids`` None: all. For the server's own work
    only: no reach bounds it. The planner's settings change for the rest of this transaction.
    """
    await tx.execute(MUCH_AT_ONCE)
    start = since
    while start < until:
        end = min(start + window, until)
        wanted = {"since": start, "until": end, "components": _listed(component_ids)}
        yield Values(*await fetch_columns(tx, _OF_EVERYONE, wanted))
        start = end


def _listed(component_ids: Sequence[int] | None) -> list[int] | None:
    return None if component_ids is None else list(component_ids)


# Over one day, to compile a statement or to start workers takes longer than to run it; hashes stay
# in memory.
MUCH_AT_ONCE = """
SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true),
       set_config('max_parallel_workers_per_gather', '0', true)
"""

_GATHERED = """
SELECT coalesce(array_agg(patient_id), '{}'), coalesce(array_agg(component_id), '{}'),
       coalesce(array_agg(measured_at), '{}'), coalesce(array_agg(value), '{}')
"""

_VALUE = """
       coalesce(o.value, CASE o.absent WHEN 'pos_inf' THEN 'inf'::float8 ELSE '-inf' END) AS value
"""

_HAS_RESULT = "(o.value IS NOT NULL OR o.absent IN ('pos_inf', 'neg_inf'))"

_OF_PATIENT = f"""
{_GATHERED} FROM (
    SELECT o.patient_id, o.component_id, o.measured_at, {_VALUE}
    FROM observation o
    WHERE o.patient_id = %(patient_id)s AND o.patient_id IN {VISIBLE_PATIENTS}
      AND o.measured_at >= %(since)s AND o.measured_at < %(until)s AND {_HAS_RESULT}
      AND NOT EXISTS (
          SELECT FROM measurement m
          WHERE m.patient_id = %(patient_id)s AND m.uid = o.uid AND m.measured_at = o.measured_at
            AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
            AND NOT is_counted(m.flags))
    ORDER BY o.component_id, o.measured_at, o.uid
) v
"""

_OF_EVERYONE = f"""
{_GATHERED} FROM (
    SELECT o.patient_id, o.component_id, o.measured_at, {_VALUE}
    FROM observation o
    WHERE o.measured_at >= %(since)s AND o.measured_at < %(until)s
      AND o.patient_id IS NOT NULL AND {_HAS_RESULT}
      AND (%(components)s::smallint[] IS NULL OR o.component_id = ANY(%(components)s))
      AND NOT EXISTS (
          SELECT FROM measurement m
          WHERE m.uid = o.uid AND m.measured_at = o.measured_at
            AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
            AND NOT is_counted(m.flags))
) v
"""
