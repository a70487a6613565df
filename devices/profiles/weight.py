"""Any scale that follows the Bluetooth SIG's Weight Scale Profile and needs no bond.

Source: Weight Scale Service 1.0.1 and Profile 1.0.1 (2A9D indicates, time stamp optional).
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

WEIGHT = Profile(
    name="sig-weight",
    measurements=("2A9D",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # A scale may link up while the person still stands still on it.
    quiet_s=20.0,
    link_max_s=60.0,
    source="Bluetooth SIG, Weight Scale Profile 1.0.1",
)
