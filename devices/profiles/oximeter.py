"""Any oximeter that follows the Bluetooth SIG's Pulse Oximeter Profile.

Spot-checks are what home care wants: one value when the finger leaves. The continuous profile is
for a live session or a night, a value about every second, and has to be chosen on purpose; of these
the gateway keeps one each 15 seconds and every change (docs/decisions/0014).

Source: Pulse Oximeter Service 1.0.1 (2A5E indicates a spot-check value when the finger leaves; 2A5F
notifies continuous values). That devices such as the Masimo MightySat send one value when the
finger leaves: weliem/blessed-android issue 81. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

OXIMETER = Profile(
    name="sig-oximeter",
    title="Pulsoximeter (Bluetooth-standard)",
    services=("1822",),
    pairing_mode="Sätt pulsoximetern på fingret så att den slås på, och håll fingret kvar.",
    measurements=("2A5E",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # It links up with the finger in; the value comes when the finger leaves, often after a minute.
    quiet_s=120.0,
    # Then it is done; whoever measures next must find the adapter free.
    quiet_after_s=12.0,
    link_max_s=180.0,
    source="Bluetooth SIG, Pulse Oximeter Service 1.0.1",
)

OXIMETER_CONTINUOUS = Profile(
    name="sig-oximeter-continuous",
    title="Pulsoximeter, löpande mätning (Bluetooth-standard)",
    services=("1822",),
    pairing_mode="Sätt pulsoximetern på fingret så att den slås på, och håll fingret kvar.",
    measurements=("2A5F",),
    clock=None,
    reads=("2A19",),
    must_bond=False,
    # It notifies about once a second for as long as the finger is in; silence is a finger out.
    quiet_s=15.0,
    # One adapter serves all devices in turn. A night is many links, and each lets others in.
    link_max_s=300.0,
    source="Bluetooth SIG, Pulse Oximeter Service 1.0.1",
)
