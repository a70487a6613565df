"""Cuffs: the A&D kind (bonds, one user), a plain one without a bond, and one for two people."""

from __future__ import annotations

from datetime import datetime

from devices.gatt import blood_pressure, blood_pressure_feature
from devices.gatt.blood_pressure import BloodPressure
from devices.measurement import Absent
from devices.virtual.design import (
    INDICATE,
    READ,
    READ_WRITE,
    Design,
    Slot,
    Table,
    Values,
    bits,
    user_of,
    whole,
)
from devices.virtual.indication import Indicating

STATUS = {
    "movement": blood_pressure.MOVEMENT,
    "cuff_loose": blood_pressure.CUFF_LOOSE,
    "irregular_pulse": blood_pressure.IRREGULAR_PULSE,
}
"""A value other than 0 under one of these names sets that bit of the measurement status."""
IRREGULAR_PULSE, MULTIPLE_BONDS = 1 << 2, 1 << 5
VIRTUAL = "Hemma, virtual"


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A 2A35 value as such a cuff sends it: whole mmHg, with time, pulse, status and perhaps user.

    Takes ``systolic`` and ``diastolic``; ``mean`` is a third of the way up when it is not given.
    """
    systolic, diastolic = whole(values, "systolic"), whole(values, "diastolic")
    mean = whole(values, "mean")
    if not ("mean" in values or isinstance(systolic, Absent) or isinstance(diastolic, Absent)):
        mean = round(diastolic + (systolic - diastolic) / 3)
    return blood_pressure.encode(
        BloodPressure(
            systolic,
            diastolic,
            mean,
            time=stamp,
            pulse_bpm=whole(values, "pulse") if "pulse" in values else None,
            user=user_of(values),
            status=bits(values, STATUS),
        )
    )


def _service(features: int, *more: Slot) -> Table:
    feature = blood_pressure_feature.encode(features)
    return Table("1810", (Slot("2A35", INDICATE), Slot("2A49", READ, feature), *more))


CUFF = Design(
    model="UA-651BLE",
    profile="a-and-d-blood-pressure",
    kinds=("blood_pressure", "battery"),
    local_name="A&D_UA-651BLE_V1",
    manufacturer=VIRTUAL,
    service="1810",
    # A&D keeps Date Time inside the service.
    tables=(_service(IRREGULAR_PULSE, Slot("2A08", READ_WRITE)),),
    measurement="2A35",
    encode=encode,
    behaviour=Indicating,
    must_bond=True,
    window_s=60.0,
)
"""The A&D kind: bonds, takes its clock, replays what nobody fetched, hangs up."""

PLAIN_CUFF = Design(
    model="Virtual cuff",
    profile="sig-blood-pressure",
    kinds=("blood_pressure", "battery"),
    local_name="Virtual cuff",
    manufacturer=VIRTUAL,
    service="1810",
    tables=(_service(IRREGULAR_PULSE),),
    measurement="2A35",
    encode=encode,
    behaviour=Indicating,
    has_clock=False,
)
"""One that follows the SIG's profile and nothing more: no bond, no clock."""

TWO_USER_CUFF = Design(
    model="BM 57",
    profile="beurer-blood-pressure",
    kinds=("blood_pressure", "battery"),
    local_name="BM57",
    manufacturer=VIRTUAL,
    service="1810",
    tables=(
        _service(IRREGULAR_PULSE | MULTIPLE_BONDS),
        Table("1805", (Slot("2A2B", READ_WRITE), Slot("2A0F", READ))),
    ),
    measurement="2A35",
    encode=encode,
    behaviour=Indicating,
    shows_passkey=True,
    users={1: None, 2: None},
)
"""The Beurer and Medisana kind: two people, six digits at the first pairing, its clock in 1805."""
