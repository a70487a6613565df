"""Patients, and the one place that says who may see which of them.

Every read of a patient, an alert or a value, wherever it stands in ``server.store``, takes a
:class:`Reach` and puts :data:`VISIBLE_PATIENTS` or :data:`VISIBLE_ALERT` in its statement. Another
unit's patient is not refused here: it simply is not there, so that the answer never tells whether
it exists.

A protected identity (skyddade personuppgifter) is not in any list: the statements that list people
leave name, number and year of birth out, so that no page can show them by mistake. The person's own
page has them, and opening it is written down as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Reach:
    """What one assignment may see: the patients of its unit.

    ``provider_id`` widens nothing about patients; it bounds what an administrator sees of gateways
    and devices.
    """

    unit_id: int
    provider_id: int

    def bind(self) -> dict[str, int]:
        """Return the parameters that the fragments below name."""
        return {"reach_unit": self.unit_id, "reach_provider": self.provider_id}


VISIBLE_PATIENTS = "(SELECT visible.id FROM patient visible WHERE visible.unit_id = %(reach_unit)s)"

# An alert follows its patient, so a person who moves between units takes the open alerts along.
# Without a patient (technical, or a red value of an unbound device) it is its unit's.
VISIBLE_ALERT = f"""(CASE WHEN a.patient_id IS NULL THEN a.unit_id = %(reach_unit)s
                          ELSE a.patient_id IN {VISIBLE_PATIENTS} END)"""

UNITS_OF_PROVIDER = "(SELECT own.id FROM unit own WHERE own.provider_id = %(reach_provider)s)"


def handle_of(public_id: UUID) -> str:
    """Return what a unit calls a person with protected identity, such as ``3F7-A2C``.

    From the random part of the link, so that it tells nothing about the person.
    """
    code = public_id.hex[:6].upper()
    return f"{code[:3]}-{code[3:]}"


@dataclass(frozen=True, slots=True)
class Patient:
    """One person as the pages show them. ``birth_year`` may be unknown.

    In a list, a person with protected identity has empty names, number and year.
    """

    id: int
    public_id: UUID
    identifier_system: str
    identifier_value: str
    given_name: str
    family_name: str
    birth_year: int | None
    protected: bool
    matters_text: str
    matters_date: date | None
    unit_id: int
    unit_name: str
    watch_text: str

    @property
    def name(self) -> str:
        """Return given and family name."""
        return f"{self.given_name} {self.family_name}"

    @property
    def handle(self) -> str:
        """Return what the unit calls a person with protected identity."""
        return handle_of(self.public_id)


_PATIENT = """
    SELECT p.id, p.public_id, p.identifier_system, p.identifier_value, p.given_name, p.family_name,
           p.birth_year, p.protected, p.matters_text, p.matters_date, p.unit_id,
           u.name AS unit_name, u.watch_text
    FROM patient p JOIN unit u ON u.id = p.unit_id
"""


_LISTED = """
    SELECT p.id, p.public_id, p.protected, p.matters_date, p.unit_id,
           CASE WHEN p.protected THEN '' ELSE p.matters_text END AS matters_text,
           CASE WHEN p.protected THEN '' ELSE p.identifier_system END AS identifier_system,
           CASE WHEN p.protected THEN '' ELSE p.identifier_value END AS identifier_value,
           CASE WHEN p.protected THEN '' ELSE p.given_name END AS given_name,
           CASE WHEN p.protected THEN '' ELSE p.family_name END AS family_name,
           CASE WHEN NOT p.protected THEN p.birth_year END AS birth_year,
           u.name AS unit_name, u.watch_text
    FROM patient p JOIN unit u ON u.id = p.unit_id
"""


async def find(tx: Transaction, reach: Reach, public_id: UUID) -> Patient | None:
    """Return the patient behind a link, or None when there is none *within reach*."""
    async with tx.cursor(row_factory=class_row(Patient)) as cursor:
        await cursor.execute(
            _PATIENT + f"WHERE p.public_id = %(public_id)s AND p.id IN {VISIBLE_PATIENTS}",
            {"public_id": public_id} | reach.bind(),
        )
        return await cursor.fetchone()


async def page(tx: Transaction, reach: Reach, *, limit: int, offset: int) -> list[Patient]:
    """Return patients within reach by family name, at most ``limit`` from ``offset``.

    Those with protected identity come last, in an order that tells nothing of their names.
    """
    async with tx.cursor(row_factory=class_row(Patient)) as cursor:
        await cursor.execute(
            _LISTED + f"WHERE p.id IN {VISIBLE_PATIENTS}"
            " ORDER BY p.protected, CASE WHEN NOT p.protected THEN p.family_name END,"
            " CASE WHEN NOT p.protected THEN p.given_name END, p.public_id"
            " LIMIT %(limit)s OFFSET %(offset)s",
            {"limit": limit, "offset": offset} | reach.bind(),
        )
        return await cursor.fetchall()


async def count(tx: Transaction, reach: Reach) -> int:
    """Return how many patients are within reach."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            f"SELECT count(*) FROM patient p WHERE p.id IN {VISIBLE_PATIENTS}", reach.bind()
        )
        return int(await cursor.fetchone() or 0)


@dataclass(frozen=True, slots=True)
class NewPatient:
    """A patient to add. The identity is a (system, value) pair, never a key."""

    identifier_system: str
    identifier_value: str
    given_name: str
    family_name: str
    birth_year: int | None
    unit_id: int
    matters_text: str = ""
    matters_date: date | None = None
    protected: bool = False


async def add(tx: Transaction, patient: NewPatient) -> Patient:
    """Add a patient to a unit and return the row.

    An identity that exists raises the driver's unique violation.
    """
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO patient (identifier_system, identifier_value, given_name, family_name,"
            " birth_year, unit_id, matters_text, matters_date, protected)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (
                patient.identifier_system,
                patient.identifier_value,
                patient.given_name,
                patient.family_name,
                patient.birth_year,
                patient.unit_id,
                patient.matters_text,
                patient.matters_date,
                patient.protected,
            ),
        )
        patient_id = await cursor.fetchone()
    async with tx.cursor(row_factory=class_row(Patient)) as rows:
        await rows.execute(_PATIENT + "WHERE p.id = %s", (patient_id,))
        added = await rows.fetchone()
    assert added is not None, "the row was inserted in this transaction"
    return added
