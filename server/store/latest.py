"""The newest value of every component of every person of a unit, as numpy arrays.

From the table ``latest``, which ingest keeps; nothing is looked for among all values.
Served by the primary key of ``latest`` and by ``patient_unit``.
"""

from __future__ import annotations

from server.store.columns import fetch_columns
from server.store.database import Transaction
from server.store.history import Values
from server.store.patients import VISIBLE_PATIENTS, Reach


async def of_unit(tx: Transaction, reach: Reach) -> Values:
    """Return the newest values of all people within reach, in no order.

    A value is ``inf`` or ``-inf`` beyond its device's range, and ``nan`` where the newest result
    is that there is none (a failed measurement): an older number is not shown in its place.
    """
    return Values(*await fetch_columns(tx, _OF_UNIT, reach.bind()))


_OF_UNIT = f"""
SELECT coalesce(array_agg(l.patient_id), '{{}}'), coalesce(array_agg(l.component_id), '{{}}'),
       coalesce(array_agg(l.measured_at), '{{}}'),
       coalesce(array_agg(coalesce(l.value, CASE l.absent WHEN 'pos_inf' THEN 'inf'::float8
           WHEN 'neg_inf' THEN '-inf' ELSE 'nan' END)), '{{}}')
FROM latest l
WHERE l.patient_id IN {VISIBLE_PATIENTS}
"""
