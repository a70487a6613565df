"""Any oximeter that follows the Bluetooth SIG's Pulse Oximeter Profile, spot-checks only.

Source: Pulse Oximeter Service 1.0.1 (2A5E indicates a spot-check value when the finger leaves; 2A5F
notifies continuous values, which are for a live session and not subscribed to here). That devices
such as the Masimo MightySat send one value when the finger leaves: weliem/blessed-android issue 81.
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

OXIMETER = Profile(
    name="sig-oximeter",
    measurements=("2A5E",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # It links up with the finger in; the value comes when the finger leaves, often after a minute.
    quiet_s=120.0,
    link_max_s=180.0,
    source="Bluetooth SIG, Pulse Oximeter Service 1.0.1",
)
