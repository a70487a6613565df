"""Oximeters that follow the SIG's profile: a spot-check when the finger leaves, or all the time."""

from __future__ import annotations

from datetime import datetime

from devices.gatt import plx, plx_continuous, plx_features
from devices.gatt.plx_features import PlxFeatures
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import (
    INDICATE,
    NOTIFY,
    READ,
    READ_WRITE,
    Design,
    Slot,
    Table,
    Values,
    bits,
    number,
    whole,
)
from devices.virtual.indication import Indicating
from devices.virtual.stream import Streaming

STATUS = {name: 1 << bit for bit, name in plx.MEASUREMENT_STATUS.items()}
"""A value other than 0 under one of these names sets that bit: ``early_estimate`` and others."""
SENSOR_STATUS = {name: 1 << bit for bit, name in plx.SENSOR_STATUS.items()}
SPOT_CHECK_TIME, ALL_STATUS, ALL_SENSOR = 1 << 3, 0xFFE0, 0xFFFF


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A 2A5E value in whole percent and beats a minute; takes ``spo2``, ``pulse``, status bits."""
    return plx.encode(
        plx.SpotCheck(
            whole(values, "spo2"),
            whole(values, "pulse"),
            time=stamp,
            status=bits(values, STATUS) or None,
            sensor_status=bits(values, SENSOR_STATUS) or None,
            amplitude_percent=_amplitude(values),
        )
    )


def encode_continuous(values: Values, _stamp: datetime | None) -> bytes:
    """A 2A5F value; takes the same."""
    return plx_continuous.encode(
        plx_continuous.Continuous(
            (whole(values, "spo2"), whole(values, "pulse")),
            status=bits(values, STATUS) or None,
            sensor_status=bits(values, SENSOR_STATUS) or None,
            amplitude_percent=_amplitude(values),
        )
    )


def _amplitude(values: Values) -> float | None:
    told = number(values, "perfusion_index")
    return told if isinstance(told, float | int) else None


_FEATURES = Slot(
    "2A60", READ, plx_features.encode(PlxFeatures(SPOT_CHECK_TIME, ALL_STATUS, ALL_SENSOR))
)

OXIMETER = Design(
    model="Virtual oximeter",
    profile="sig-oximeter",
    kinds=("pulse_oximetry", "battery"),
    local_name="Virtual oximeter",
    manufacturer=VIRTUAL,
    service="1822",
    tables=(Table("1822", (Slot("2A5E", INDICATE), _FEATURES, Slot("2A08", READ_WRITE))),),
    measurement="2A5E",
    encode=encode,
    behaviour=Indicating,
)
"""One spot-check value when the finger leaves."""

CONTINUOUS_OXIMETER = Design(
    model="Virtual night oximeter",
    profile="sig-oximeter-continuous",
    kinds=("pulse_oximetry", "battery"),
    local_name="Virtual night oxi",
    manufacturer=VIRTUAL,
    service="1822",
    tables=(Table("1822", (Slot("2A5F", NOTIFY), _FEATURES)),),
    measurement="2A5F",
    encode=encode_continuous,
    behaviour=Streaming,
    has_clock=False,
)
"""A value a second for as long as the finger is in; the device has no clock."""
