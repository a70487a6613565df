"""A bathroom scale of the A&D kind: bonds and takes its clock as the cuff does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from devices.gatt import weight
from devices.virtual.device import Design

STEP_KG = 0.05
"""What such a scale shows, and the wire carries it exactly (2A9D counts 5 g)."""


def encode(values: Mapping[str, float], stamp: datetime | None) -> bytes:
    """A 2A9D value in kilograms; needs ``weight``."""
    shown_kg = round(round(values["weight"] / STEP_KG) * STEP_KG, 2)
    return weight.encode(weight.Weight(shown_kg, time=stamp))


SCALE = Design(
    model="UC-352BLE",
    profile="a-and-d-weight",
    kinds=("body_weight", "battery"),
    local_name="A&D_UC-352BLE_V1",
    service=0x181D,
    measurement=0x2A9D,
    feature=0x2A9E,
    # Time stamp supported, resolution 0.05 kg (Weight Scale Service 1.0.1, 3.1).
    feature_value=(0x0001 | 5 << 3).to_bytes(4, "little"),
    encode=encode,
    manufacturer="Hemma, virtual",
    must_bond=True,
    has_clock=True,
    window_s=45.0,
)
