"""Any heart rate sensor that follows the Bluetooth SIG's Heart Rate Profile.

Source: Heart Rate Service 1.0 (2A37 notifies, about once a second; bit 2 and 1 of the flags say
whether there is skin contact; no time stamp). Tried on hardware: none yet. Of its values the
gateway sends one each 15 seconds and every change; RR intervals in between are counted, not kept
(docs/decisions/0014).
"""

from __future__ import annotations

from devices.profiles.profile import Profile

HEART_RATE = Profile(
    name="sig-heart-rate",
    title="Pulssensor (Bluetooth-standard)",
    services=("180D",),
    pairing_mode="Ta på sensorn mot huden så att den vaknar.",
    measurements=("2A37",),
    clock=None,
    reads=("2A38", "2A19"),
    must_bond=False,
    # It notifies about once a second; silence means that it lies on the table.
    quiet_s=15.0,
    # As for continuous oximetry: other devices must get their turn.
    link_max_s=120.0,
    source="Bluetooth SIG, Heart Rate Service 1.0",
)
