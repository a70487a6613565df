"""A glucose meter of the Contour kind: six digits, numbered records that must be asked for."""

from __future__ import annotations

from datetime import datetime

from devices.gatt import glucose, glucose_context, glucose_feature
from devices.gatt.glucose import Glucose
from devices.gatt.glucose_context import GlucoseContext
from devices.measurement import Absent
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import (
    CONTROL,
    NOTIFY,
    READ,
    READ_WRITE,
    Design,
    Slot,
    Table,
    Values,
    bits,
    number,
)
from devices.virtual.records import RecordServer

MMOL_PER_MOL = 1000
STATUS = {name: 1 << bit for bit, name in glucose.STATUS.items()}
"""A value other than 0 under one of these names sets that bit: ``result_too_low`` and others."""
RESULT_RANGE, TIME_FAULT = 1 << 5, 1 << 9
CONTROL_SOLUTION = "control_solution"


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A 2A18 value in mol/L to a tenth of mmol/L; takes ``glucose``, ``meal``, status bits.

    ``control_solution`` other than 0 says that it was no patient's blood.
    """
    told = number(values, "glucose")
    is_test = bool(values.get(CONTROL_SOLUTION))
    return glucose.encode(
        Glucose(
            sequence_number=int(values.get("number", 0)),
            base_time=stamp,
            concentration=told if isinstance(told, Absent) else round(told, 1) / MMOL_PER_MOL,
            in_moles=True,
            sample_type=CONTROL_SOLUTION if is_test else "capillary_plasma",
            sample_location=CONTROL_SOLUTION if is_test else "finger",
            time_offset_min=0,
            status=bits(values, STATUS) or None,
            context_follows=not isinstance(number(values, "meal"), Absent),
        )
    )


def encode_context(values: Values, _stamp: datetime | None) -> bytes:
    """A 2A34 value with the ``meal`` (a number of ``glucose_context.MEALS``), or nothing."""
    meal = number(values, "meal")
    if isinstance(meal, Absent):
        return b""
    return glucose_context.encode(GlucoseContext(int(values.get("number", 0)), meal=int(meal)))


GLUCOSE_METER = Design(
    model="Contour Next One",
    profile="contour-next-one",
    kinds=("glucose", "battery"),
    local_name="Contour7830H",
    manufacturer=VIRTUAL,
    service="1808",
    tables=(
        Table(
            "1808",
            (
                Slot("2A18", NOTIFY),
                Slot("2A34", NOTIFY),
                Slot("2A51", READ, glucose_feature.encode(RESULT_RANGE | TIME_FAULT)),
                Slot("2A52", CONTROL),
            ),
        ),
        Table("1805", (Slot("2A2B", READ_WRITE),)),
    ),
    measurement="2A18",
    encode=encode,
    also=(("2A34", encode_context),),
    behaviour=RecordServer,
    must_bond=True,
    shows_passkey=True,
    window_s=60.0,
    hang_up_after_s=0.5,
)
