"""The newest of each patient's components: what ``latest`` holds, and how it moves forward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.store.arrays import Array, array, nullable_floats, uuids
from server.store.database import Transaction
from server.store.row_blocks import Column


def newest(patients: Column, components: Column, times: Column, uids: Column) -> Column:
    """Return the positions of the newest of each patient's components, ordered by these two.

    Of two of one moment the greater of ``uids`` (16 bytes each) is the newer, so that the order of
    arrival does not matter.
    """
    if not len(patients):
        return np.empty(0, np.int64)
    words = np.ascontiguousarray(uids).view(">u8").reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0], times, components, patients))
    patient, component = patients[order], components[order]
    is_last = np.append((patient[1:] != patient[:-1]) | (component[1:] != component[:-1]), [True])
    found: Column = order[is_last]
    return found


async def move_latest(
    tx: Transaction,
    *,
    patients: Column,
    components: Column,
    times: Column,
    uids: Column,
    values: Sequence[float | None],
    absents: Sequence[str | None],
) -> None:
    """Move ``latest`` forward, in an order that lets two workers wait for each other.

    One element for each of a patient's components, ordered by patient and component.
    """
    if not len(patients):
        return
    columns: dict[str, Array | list[str | None]] = {
        "patient": array("int4", patients),
        "component": array("int2", components),
        "time": array("timestamptz", times),
        "value": nullable_floats(values),
        "absent": list(absents),
        "uid": uuids([uids.tobytes()]),
    }
    await tx.execute(_LATEST, columns)


_LATEST = """
INSERT INTO latest (patient_id, component_id, measured_at, value, absent, uid)
SELECT * FROM unnest(%(patient)s::int[], %(component)s::smallint[], %(time)s::timestamptz[],
                     %(value)s::float8[], %(absent)s::text[], %(uid)s::uuid[])
ON CONFLICT (patient_id, component_id) DO UPDATE
SET measured_at = excluded.measured_at, value = excluded.value, absent = excluded.absent,
    uid = excluded.uid
WHERE (excluded.measured_at, excluded.uid) > (latest.measured_at, latest.uid)
"""
