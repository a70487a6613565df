"""An ear thermometer that follows the SIG's profile: no bond, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from devices.gatt import temperature
from devices.virtual.device import Design


def encode(values: Mapping[str, float], stamp: datetime | None) -> bytes:
    """A 2A1C value in tenths of a degree Celsius; needs ``temperature``."""
    return temperature.encode(
        temperature.Temperature(round(values["temperature"], 1), time=stamp, site="ear")
    )


THERMOMETER = Design(
    model="Virtual ear thermometer",
    profile="sig-thermometer",
    kinds=("body_temperature", "battery"),
    local_name="Virtual thermometer",
    service=0x1809,
    measurement=0x2A1C,
    feature=0x2A1D,
    # Temperature type: ear (Health Thermometer Service 1.0, 3.2).
    feature_value=b"\x03",
    encode=encode,
    manufacturer="Hemma, virtual",
    must_bond=False,
    has_clock=False,
    window_s=30.0,
)
