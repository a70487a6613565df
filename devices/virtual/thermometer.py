"""An ear thermometer that follows the SIG's profile: no bond, no clock, rising values first."""

from __future__ import annotations

from datetime import datetime

from devices.gatt import intermediate_temperature, temperature, temperature_type
from devices.gatt.temperature import Temperature
from devices.measurement import Absent
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import INDICATE, NOTIFY, READ, Design, Slot, Table, Values, number
from devices.virtual.indication import Indicating

SITE = "ear"
STILL_RISING_CELSIUS = 0.7
"""How far below the result the value in passing lies."""


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A 2A1C value in tenths of a degree Celsius; takes ``temperature``."""
    return temperature.encode(Temperature(_shown(values), time=stamp, site=SITE))


def encode_in_passing(values: Values, _stamp: datetime | None) -> bytes:
    """A 2A1E value while it still rises: it must not pass for the result."""
    shown = _shown(values)
    if isinstance(shown, Absent):
        return b""
    rising = round(shown - STILL_RISING_CELSIUS, 1)
    return intermediate_temperature.encode(Temperature(rising, site=SITE))


def _shown(values: Values) -> float | Absent:
    told = number(values, "temperature")
    return told if isinstance(told, Absent) else round(told, 1)


THERMOMETER = Design(
    model="Virtual ear thermometer",
    profile="sig-thermometer",
    kinds=("body_temperature", "battery"),
    local_name="Virtual thermometer",
    manufacturer=VIRTUAL,
    service="1809",
    tables=(
        Table(
            "1809",
            (
                Slot("2A1C", INDICATE),
                Slot("2A1E", NOTIFY),
                Slot("2A1D", READ, temperature_type.encode(SITE)),
            ),
        ),
    ),
    measurement="2A1C",
    encode=encode,
    also=(("2A1E", encode_in_passing),),
    behaviour=Indicating,
    has_clock=False,
)
