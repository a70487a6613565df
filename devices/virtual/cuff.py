"""A cuff of the A&D kind: bonds, takes its clock, replays what nobody fetched, hangs up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from devices.gatt import blood_pressure
from devices.gatt.blood_pressure import BloodPressure
from devices.virtual.device import Design

STATUS = {
    "movement": blood_pressure.MOVEMENT,
    "cuff_loose": blood_pressure.CUFF_LOOSE,
    "irregular_pulse": blood_pressure.IRREGULAR_PULSE,
}
"""A value other than 0 under one of these names sets that bit of the measurement status."""


def encode(values: Mapping[str, float], stamp: datetime | None) -> bytes:
    """A 2A35 value as such a cuff sends it: whole mmHg, with time, pulse and status.

    Needs ``systolic`` and ``diastolic``; ``mean`` is a third of the way up when it is not given.
    """
    systolic, diastolic = round(values["systolic"]), round(values["diastolic"])
    mean = round(values.get("mean", diastolic + (systolic - diastolic) / 3))
    pulse = values.get("pulse")
    return blood_pressure.encode(
        BloodPressure(
            systolic,
            diastolic,
            mean,
            time=stamp,
            pulse_bpm=None if pulse is None else round(pulse),
            status=sum(bit for name, bit in STATUS.items() if values.get(name)),
        )
    )


CUFF = Design(
    model="UA-651BLE",
    profile="a-and-d-blood-pressure",
    kinds=("blood_pressure", "battery"),
    local_name="A&D_UA-651BLE_V1",
    service=0x1810,
    measurement=0x2A35,
    feature=0x2A49,
    # Irregular pulse detection and measurement status are supported (Blood Pressure Service 1.1.1,
    # 3.3).
    feature_value=(0x0004).to_bytes(2, "little"),
    encode=encode,
    manufacturer="Hemma, virtual",
    must_bond=True,
    has_clock=True,
    window_s=60.0,
)
