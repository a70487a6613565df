"""Whose a value is when it comes: the devices of a batch and their bindings, looked up once.

The rule is that of ``corrections.binding_of``, which finds the patient of what was stored earlier:
the binding that holds both times, of that user or of any. No binding can appear between the look
and the commit: who binds waits for his turn (``corrections.take_turn``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from devices.wire import Item
from server.store.database import Transaction

_EVER = datetime.min.replace(tzinfo=UTC)


class Binding(NamedTuple):
    """One binding; ``since`` and ``until`` None: open to that side. Both ends as stored."""

    user_index: int | None
    patient_id: int
    since: datetime | None
    until: datetime | None
    holds_since: bool
    holds_until: bool

    def holds(self, time: datetime) -> bool:
        """Tell whether the binding is valid at ``time``."""
        if self.since is not None and (
            time < self.since or (time == self.since and not self.holds_since)
        ):
            return False
        return self.until is None or (
            time < self.until or (time == self.until and self.holds_until)
        )


class _Bound(NamedTuple):
    """Whose all values of a device are that were measured after ``since``, by any user."""

    patient: tuple[int, None]
    since: datetime


@dataclass(frozen=True, slots=True)
class Device:
    """A device that is known, with all its bindings.

    ``still``: how nearly each device is, bound once, to one person, to this day.
    """

    id: int
    bindings: Sequence[Binding]
    still: _Bound | None

    def patient_of(self, item: Item) -> tuple[int | None, str | None]:
        """Return whose ``item`` is, or why it is nobody's."""
        t, gw_t, still = item.t, item.gw_t, self.still
        if still is not None and t is not None and gw_t is not None:
            _, since = still
            if since < t and since < gw_t:
                return still.patient
        user = item.ctx.get("user_index")
        is_inside = False
        for binding in self.bindings:
            if t is None or gw_t is None or not (binding.holds(t) and binding.holds(gw_t)):
                continue
            if binding.user_index is None or binding.user_index == user:
                return binding.patient_id, None
            is_inside = True
        if not self.bindings:
            return None, "unbound_device"
        return None, "other_user" if is_inside else "outside_binding"


async def devices_of(tx: Transaction, models: Mapping[str, str]) -> dict[str, Device]:
    """Return the devices of these names (with the models they say of themselves), new ones added.

    Known devices are read only: a row that every value of a device wrote would make workers wait
    for each other.
    """
    cursor = await tx.execute(_READ, (sorted(models),))
    rows = await cursor.fetchall()
    known = {name: model for name, _, model, *_ in rows}
    to_write = {
        name: model
        for name, model in models.items()
        if name not in known or (model and not known[name])
    }
    if to_write:
        names = sorted(to_write)
        await tx.execute(_ADD, (names, [to_write[name] for name in names]))
        cursor = await tx.execute(_READ, (sorted(models),))
        rows = await cursor.fetchall()
    found: dict[str, tuple[int, list[Binding]]] = {}
    for name, number, _, patient_id, *rest in rows:
        _, bindings = found.setdefault(name, (number, []))
        if patient_id is not None:
            user_index, since, until, holds_since, holds_until = rest
            bindings.append(Binding(user_index, patient_id, since, until, holds_since, holds_until))
    return {
        name: Device(number, tuple(bound), _still(bound)) for name, (number, bound) in found.items()
    }


def _still(bindings: Sequence[Binding]) -> _Bound | None:
    if len(bindings) != 1:
        return None
    (only,) = bindings
    if only.user_index is not None or only.until is not None:
        return None
    return _Bound((only.patient_id, None), only.since or _EVER)


_READ = """
SELECT d.name, d.id, d.model, b.patient_id, b.user_index,
       nullif(lower(b.valid), '-infinity'), nullif(upper(b.valid), 'infinity'),
       lower_inc(b.valid), upper_inc(b.valid)
FROM device d LEFT JOIN binding b ON b.device_id = d.id
WHERE d.name = ANY(%s)
ORDER BY b.id
"""

_ADD = """
INSERT INTO device (name, model)
SELECT * FROM unnest(%s::text[], %s::text[])
ON CONFLICT (name) DO UPDATE SET model = excluded.model
    WHERE device.model = '' AND excluded.model <> ''
"""
