"""Any thermometer that follows the Bluetooth SIG's Health Thermometer Profile.

Source: Health Thermometer Service 1.0 and Profile 1.0 (2A1C indicates; intermediate values, 2A1E,
are notified and are not measurements, so nobody subscribes to them). Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

THERMOMETER = Profile(
    name="sig-thermometer",
    title="Febertermometer (Bluetooth-standard)",
    services=("1809",),
    pairing_mode="Slå på termometern och låt den vara på medan den kopplas.",
    measurements=("2A1C",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # It may link up when it is switched on and have its value a minute later.
    quiet_s=60.0,
    quiet_after_s=12.0,
    link_max_s=120.0,
    source="Bluetooth SIG, Health Thermometer Profile 1.0",
)
