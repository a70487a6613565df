"""What the interface answers with.

Times are UTC; codes are the catalogue's, words are pages' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

from alerts.rules import Direction
from devices.kinds import COMPONENTS, KINDS
from devices.measurement import Absent
from server.auth.sessions import Identity
from server.store.bound_devices import BoundDevice
from server.store.cited import EvidenceRow, newest, worst
from server.store.patients import Patient, handle_of
from server.store.series import ValueRow
from server.store.worklist import AlertRow

_KIND_NAMES = {kind.number: kind.name for kind in KINDS.values()}
T = TypeVar("T")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None


class Listed(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    total: int
    limit: int
    offset: int


class Login(BaseModel):
    """A try to log in. ``assignment`` is needed when the person has several."""

    login: str = Field(max_length=1000)
    password: str = Field(max_length=10_000)
    assignment: int | None = None


class Session(BaseModel):
    """Who is logged in; ``csrf`` goes into the ``X-CSRF-Token`` header of every change."""

    login: str
    name: str
    role: str
    unit: str
    assignment: int
    csrf: str

    @classmethod
    def of(cls, who: Identity) -> Session:
        """Return the session as the interface shows it."""
        one = who.assignment
        return cls(
            login=who.login,
            name=who.display_name,
            role=one.role,
            unit=one.unit_name,
            assignment=one.id,
            csrf=who.csrf,
        )


class Sample(BaseModel):
    """One cited sample, or one component of a value."""

    code: str
    name: str
    value: float | None
    unit: str
    absent: str | None = None


class Evidence(Sample):
    """One sample that an alert cites; ``flags`` say what is doubted, such as ``implausible``."""

    uid: str
    measured_at: datetime
    flags: list[str]


class Alert(BaseModel):
    """One alert. ``version`` goes back with the command that acts on it.

    ``text``, ``why`` and ``late`` are as it fired, or as it was last raised (``risen_at``). What it
    has cited since stands in ``newest`` and, for each component, ``worst``. ``needs_attention``: it
    was raised after ``owner`` took it. ``evidence_changed``: a value it cites is not the person's
    any more.

    ``patient_name`` is None for a person with protected identity, who has a ``handle`` instead.
    """

    id: UUID
    patient: UUID | None
    patient_name: str | None
    handle: str | None
    gateway: str | None
    rule: str
    severity: str
    handling: str
    condition: str
    text: dict[str, str]
    why: str
    opened_at: datetime
    measured_at: datetime
    received_at: datetime | None
    owner: str | None
    taken_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    version: int
    late: bool
    risen_at: datetime
    needs_attention: bool
    evidence_changed: bool
    newest: list[Evidence]
    worst: list[Evidence]
    evidence: list[Evidence]

    @classmethod
    def of(cls, row: AlertRow, evidence: Sequence[EvidenceRow]) -> Alert:
        """Return the alert as the interface shows it, with all that it cites, oldest first."""
        is_high = row.is_high
        # Which end is the worst is not known of an alert whose rule cannot be read.
        lowest_or_highest = [] if is_high is None else worst(evidence, is_high=is_high)
        is_named = row.public_id is not None and not row.protected
        name = f"{row.given_name} {row.family_name}" if is_named else None
        return cls(
            id=row.id,
            patient=row.public_id,
            patient_name=name,
            handle=handle_of(row.public_id) if row.public_id and row.protected else None,
            gateway=row.gateway_name,
            rule=row.rule,
            severity=row.severity,
            handling=row.handling,
            condition=row.condition,
            text={"sv": row.text_sv, "en": row.text_en},
            why=row.why,
            opened_at=row.opened_at,
            measured_at=row.measured_at,
            received_at=row.received_at,
            owner=row.owner_name,
            taken_at=row.taken_at,
            closed_at=row.closed_at,
            outcome=row.outcome,
            version=row.version,
            late=row.is_late,
            risen_at=row.risen_at,
            needs_attention=row.needs_attention,
            evidence_changed=row.evidence_changed,
            newest=[_evidence(one) for one in newest(evidence)],
            worst=[_evidence(one) for one in lowest_or_highest],
            evidence=[_evidence(one) for one in evidence],
        )


class Person(BaseModel):
    """One patient. ``matters`` is the person's own words.

    In a list, a person with protected identity has a ``handle`` and no name, number or year.
    """

    id: UUID
    identifier_system: str
    identifier_value: str
    given_name: str
    family_name: str
    birth_year: int | None
    protected: bool
    handle: str | None
    unit: str
    matters: str

    @classmethod
    def of(cls, patient: Patient) -> Person:
        """Return the patient as the interface shows it."""
        return cls(
            id=patient.public_id,
            identifier_system=patient.identifier_system,
            identifier_value=patient.identifier_value,
            given_name=patient.given_name,
            family_name=patient.family_name,
            birth_year=patient.birth_year,
            protected=patient.protected,
            handle=patient.handle if patient.protected else None,
            unit=patient.unit_name,
            matters=patient.matters_text,
        )


class Observation(BaseModel):
    """One measurement with its components. ``entered_by`` is set for what a person wrote."""

    uid: str
    kind: str | None
    samples: list[Sample]
    measured_at: datetime
    measured_how: str
    stored_at: datetime
    device: str
    entered_by: str | None
    flags: list[str]
    context: dict[str, Any]

    @classmethod
    def of(cls, row: ValueRow) -> Observation:
        """Return the measurement as the interface shows it."""
        rows = zip(row.component_ids, row.values, row.absents, strict=True)
        return cls(
            uid=row.uid.hex,
            kind=_KIND_NAMES.get(row.kind_id or 0),
            samples=[_sample(number, value, absent) for number, value, absent in rows],
            measured_at=row.measured_at,
            measured_how=row.measured_how,
            stored_at=row.stored_at,
            device=row.device_model,
            entered_by=row.entered_by,
            flags=row.flags,
            context=row.context,
        )


class Device(BaseModel):
    """One device that is the patient's now. What it never told is None."""

    name: str
    model: str
    battery_percent: float | None
    battery_at: datetime | None
    last_kind: str | None
    last_measured_at: datetime | None

    @classmethod
    def of(cls, row: BoundDevice) -> Device:
        """Return the device as the interface shows it."""
        return cls(
            name=row.name,
            model=row.model,
            battery_percent=row.battery_percent,
            battery_at=row.battery_at,
            last_kind=_KIND_NAMES.get(row.kind_id or 0),
            last_measured_at=row.measured_at,
        )


class Command(BaseModel):
    """What is done to an alert, with the version that the sender saw."""

    version: int
    note: str = Field(default="", max_length=2000)
    outcome: str = Field(default="", max_length=40)


class NewValue(BaseModel):
    """A value by hand. ``token`` makes sending it twice the same as once.

    ``confirm_implausible`` says that an unusual number has been checked and is right.
    """

    kind: str = Field(max_length=40)
    values: dict[str, float]
    measured_at: datetime
    note: str = Field(default="", max_length=200)
    token: str = Field(min_length=16, max_length=64)
    confirm_implausible: bool = False


class KeptValue(BaseModel):
    """What became of a value by hand."""

    uid: str
    outcome: str


def _sample(number: int, value: float | None, absent: str | None) -> Sample:
    component = COMPONENTS[number]
    return Sample(
        code=component.code, name=component.name, value=value, unit=component.unit, absent=absent
    )


_INFINITIES = {
    Direction.HIGH: Absent.POSITIVE_INFINITY.value,
    Direction.LOW: Absent.NEGATIVE_INFINITY.value,
}


def _evidence(row: EvidenceRow) -> Evidence:
    component = COMPONENTS[row.component_id]
    return Evidence(
        code=component.code,
        name=component.name,
        value=row.value,
        unit=component.unit,
        absent=None if row.side is None else _INFINITIES[row.side],
        uid=row.uid.hex,
        measured_at=row.measured_at,
        flags=row.flags,
    )
