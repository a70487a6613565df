"""Every kind of virtual device, by what it is called."""

from __future__ import annotations

from collections.abc import Mapping

from devices.virtual.cuff import CUFF, PLAIN_CUFF, TWO_USER_CUFF
from devices.virtual.design import Design
from devices.virtual.glucose_meter import GLUCOSE_METER
from devices.virtual.heart_rate import HEART_RATE
from devices.virtual.nonin import NONIN_OXIMETER
from devices.virtual.oximeter import CONTINUOUS_OXIMETER, OXIMETER
from devices.virtual.scale import BODY_COMPOSITION, SCALE
from devices.virtual.sensor import SENSOR, SENSOR_WITH_CRC
from devices.virtual.taidoc import TAIDOC_CUFF
from devices.virtual.thermometer import THERMOMETER

DESIGNS: Mapping[str, Design] = {
    "cuff": CUFF,
    "scale": SCALE,
    "thermometer": THERMOMETER,
    "oximeter": OXIMETER,
    "plain_cuff": PLAIN_CUFF,
    "two_user_cuff": TWO_USER_CUFF,
    "oximeter_continuous": CONTINUOUS_OXIMETER,
    "body_composition": BODY_COMPOSITION,
    "glucose_meter": GLUCOSE_METER,
    "cgm": SENSOR,
    "cgm_with_crc": SENSOR_WITH_CRC,
    "heart_rate": HEART_RATE,
    "taidoc_cuff": TAIDOC_CUFF,
    "nonin_oximeter": NONIN_OXIMETER,
}
