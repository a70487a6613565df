"""Every kind of virtual device, by what it is called."""

from __future__ import annotations

from collections.abc import Mapping

from devices.virtual.cuff import CUFF
from devices.virtual.device import Design
from devices.virtual.oximeter import OXIMETER
from devices.virtual.scale import SCALE
from devices.virtual.thermometer import THERMOMETER

DESIGNS: Mapping[str, Design] = {
    "cuff": CUFF,
    "scale": SCALE,
    "thermometer": THERMOMETER,
    "oximeter": OXIMETER,
}
