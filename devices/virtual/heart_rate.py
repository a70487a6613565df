"""A chest strap: heart rate each second with the intervals between beats, no bond, no clock."""

from __future__ import annotations

import math
from datetime import datetime

from devices.gatt import body_sensor_location, heart_rate
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import NOTIFY, READ, Design, Slot, Table, Values
from devices.virtual.stream import Streaming

SECOND_1024THS = 1024


def encode(values: Values, _stamp: datetime | None) -> bytes:
    """A 2A37 value with contact and the beats of one second; takes ``heart_rate``.

    Without a number it says what a strap says that lies on the table: 0, no contact.
    """
    told = values.get("heart_rate", math.nan)
    if math.isnan(told) or values.get("no_skin_contact"):
        return heart_rate.encode(heart_rate.HeartRate(0, has_contact=False))
    rate_bpm = round(told)
    beat_1024ths = round(60 * SECOND_1024THS / rate_bpm)
    beats = max(1, SECOND_1024THS // beat_1024ths)
    return heart_rate.encode(
        heart_rate.HeartRate(rate_bpm, has_contact=True, rr_1024ths_s=(beat_1024ths,) * beats)
    )


HEART_RATE = Design(
    model="Virtual strap",
    profile="sig-heart-rate",
    kinds=("heart_rate", "battery"),
    local_name="Virtual strap",
    manufacturer=VIRTUAL,
    service="180D",
    tables=(
        Table(
            "180D",
            (Slot("2A37", NOTIFY), Slot("2A38", READ, body_sensor_location.encode("chest"))),
        ),
    ),
    measurement="2A37",
    encode=encode,
    behaviour=Streaming,
    has_clock=False,
)
