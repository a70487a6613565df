"""Values on their way out of the system: selected, under pseudonyms, a batch at a time.

A person is the ``public_id``, which says nothing about him. People with protected identity are left
out of a unit's export; one that is named is not. What does not count (``is_counted`` of
0009_reads.sql) is there and marked: whoever counts decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from devices.kinds import KINDS
from server.store import access_log
from server.store.access_log import Action, Entry
from server.store.database import Transaction
from server.store.days import each_day
from server.store.history import MUCH_AT_ONCE

# So many rows are in memory at one moment, and in one row group of a Parquet file.
ROWS_AT_ONCE = 50_000
_COMPONENTS = {
    component.number: (kind.name, component.name, component.code, component.unit)
    for kind in KINDS.values()
    for component in kind.components
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose values of which kinds, of Stockholm's days from ``first`` to ``last``.

    Of all people of a unit or of one person. ``kinds`` are the catalogue's names; none: all.
    """

    first: date
    last: date
    unit_id: int | None = None
    patient_id: int | None = None
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert (self.unit_id is None) != (self.patient_id is None), "a unit's or a person's"
        assert all(name in KINDS for name in self.kinds), "kinds are the catalogue's"

    @property
    def words(self) -> str:
        """Return the selection for the access log, without personal data."""
        return f"export {','.join(self.kinds) or 'all kinds'} {self.first} to {self.last}"


class Row(NamedTuple):
    """One value. ``value`` is in ``unit`` (UCUM); None: there is none, and ``absent`` says why.

    ``counts`` is False for what was taken back or is no reading; ``flags`` has the words.
    """

    person: UUID
    measured_at: datetime
    measured_how: str
    stored_at: datetime
    kind: str
    component: str
    code: str
    value: float | None
    unit: str
    absent: str | None
    counts: bool
    flags: str


async def log_export(tx: Transaction, selection: Selection, *, by: str, at: datetime) -> int:
    """Write who takes what, a line for each person, before anything leaves; return of how many.

    Of a unit there is a line for the unit, too. Commit it before the first row is fetched.
    """
    wanted = {"unit": selection.unit_id, "patient": selection.patient_id}
    cursor = await tx.execute(_PEOPLE, wanted)
    people = await cursor.fetchall()
    whole = Entry(
        at=at,
        staff_id=None,
        login=by,
        assignment_id=None,
        unit_id=selection.unit_id,
        role="operator",
        address="",
        action=Action.LIST,
        target=selection.words,
        patient_id=None,
        outcome="granted",
        reason="",
    )
    if selection.unit_id is not None:
        await access_log.append(tx, whole)
    for patient_id, is_protected in people:
        action = Action.READ_PROTECTED if is_protected else Action.READ
        await access_log.append(tx, replace(whole, action=action, patient_id=patient_id))
    return len(people)


async def exported(
    tx: Transaction, selection: Selection, *, rows_at_once: int = ROWS_AT_ONCE
) -> AsyncIterator[Sequence[Row]]:
    """Yield the selected values, oldest first, so many at once: memory does not grow with them."""
    await tx.execute("SET LOCAL statement_timeout = 0")
    # All rows are fetched. A plan for the first of them looks each measurement up by itself, which
    # took minutes for a day of ten thousand people.
    await tx.execute("SET LOCAL cursor_tuple_fraction = 1")
    await tx.execute(MUCH_AT_ONCE)
    for _, since, until in each_day(selection.first, selection.last):
        wanted = {
            "unit": selection.unit_id,
            "patient": selection.patient_id,
            "since": since,
            "until": until,
            "components": _components(selection.kinds),
        }
        async with tx.cursor(name="hemma_export", binary=True) as cursor:
            await cursor.execute(_VALUES, wanted)
            while found := await cursor.fetchmany(rows_at_once):
                yield [_row(*row) for row in found]


def _components(kinds: Sequence[str]) -> list[int]:
    return [number for number, (kind, *_) in _COMPONENTS.items() if not kinds or kind in kinds]


def _row(
    person: UUID,
    measured_at: datetime,
    measured_how: str,
    stored_at: datetime,
    component_id: int,
    value: float | None,
    absent: str | None,
    counts: bool,
    flags: list[str],
) -> Row:
    kind, component, code, unit = _COMPONENTS[component_id]
    told = " ".join(flags)
    return Row(
        person, measured_at, measured_how, stored_at, kind, component, code, value, unit, absent,
        counts, told,
    )  # fmt: skip


_SELECTED = """
(SELECT p.id, p.public_id, p.protected FROM patient p
 WHERE p.id = %(patient)s OR (p.unit_id = %(unit)s AND NOT p.protected))
"""

_PEOPLE = f"SELECT p.id, p.protected FROM {_SELECTED} p ORDER BY p.id"

_VALUES = f"""
SELECT p.public_id, o.measured_at, m.measured_how, m.stored_at, o.component_id, o.value, o.absent,
       is_counted(m.flags), m.flags
FROM observation o
JOIN {_SELECTED} p ON p.id = o.patient_id
JOIN measurement m ON m.measured_at = o.measured_at AND m.uid = o.uid
WHERE o.measured_at >= %(since)s AND o.measured_at < %(until)s
  AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
  AND o.component_id = ANY(%(components)s::smallint[])
ORDER BY o.measured_at, o.uid, o.component_id
"""
