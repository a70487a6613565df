"""An oximeter that follows the SIG's profile: one spot-check value when the finger leaves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from devices.gatt import plx
from devices.virtual.device import Design


def encode(values: Mapping[str, float], stamp: datetime | None) -> bytes:
    """A 2A5E value in whole percent and beats a minute; needs ``spo2`` and ``pulse``."""
    return plx.encode(plx.SpotCheck(round(values["spo2"]), round(values["pulse"]), time=stamp))


OXIMETER = Design(
    model="Virtual oximeter",
    profile="sig-oximeter",
    kinds=("pulse_oximetry", "battery"),
    local_name="Virtual oximeter",
    service=0x1822,
    measurement=0x2A5E,
    feature=0x2A60,
    # Spot-check time stamp supported (Pulse Oximeter Service 1.0.1, 3.3).
    feature_value=(0x0004).to_bytes(2, "little"),
    encode=encode,
    manufacturer="Hemma, virtual",
    must_bond=False,
    has_clock=True,
    window_s=30.0,
)
