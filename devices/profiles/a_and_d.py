"""A&D Medical: cuffs UA-651BLE and UB-1100BLE, scale UC-352BLE.

They speak the SIG services, but only on a bonded link; they bond in pairing mode only; they want
their clock set at every link; they advertise for a short time after a measurement, send what they
kept and hang up themselves. They are touched in one order only: bond, clock, subscribe, wait.

Sources: weliem/blessed-kotlin (devices named "A&D" must be bonded first);
andengineering/AndroidSampleCode issue 1 (error E10 when read in an unexpected order).
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

SOURCE = "weliem/blessed-kotlin; andengineering/AndroidSampleCode issue 1"
# They hang up within seconds of their last value; a link that outlives this has gone wrong.
QUIET_S = 12.0
LINK_MAX_S = 60.0

BLOOD_PRESSURE = Profile(
    name="a-and-d-blood-pressure",
    measurements=("2A35",),
    clock="2A08",
    reads=("2A19",),
    must_bond=True,
    quiet_s=QUIET_S,
    link_max_s=LINK_MAX_S,
    source=SOURCE,
)

WEIGHT = Profile(
    name="a-and-d-weight",
    measurements=("2A9D",),
    clock="2A08",
    reads=("2A19",),
    must_bond=True,
    quiet_s=QUIET_S,
    link_max_s=LINK_MAX_S,
    source=SOURCE,
)
