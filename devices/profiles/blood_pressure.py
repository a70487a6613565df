"""Any cuff that follows the Bluetooth SIG's Blood Pressure Profile and needs no bond.

Source: Blood Pressure Service 1.1.1 and Profile 1.1.1 (2A35 indicates; the collector may set Date
Time, 2A08, where the server has it). Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

BLOOD_PRESSURE = Profile(
    name="sig-blood-pressure",
    title="Blodtrycksmätare (Bluetooth-standard)",
    services=("1810",),
    pairing_mode="Slå på blodtrycksmätaren. Blinkar ingen Bluetooth-symbol: håll Bluetooth-knappen"
    " eller minnesknappen intryckt tills den gör det.",
    measurements=("2A35",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # The profile lets the server end the link 5 s or more after its last value; twice that is
    # patient.
    quiet_s=12.0,
    link_max_s=60.0,
    source="Bluetooth SIG, Blood Pressure Profile 1.1.1",
)
