"""Medisana: cuffs of the BU series (BU 530, 535, 570, 575, 580, 584).

They speak the SIG's Blood Pressure Service, are reachable for a short time after a measurement
(Rudertier/medisana_blood_pressure, README), and send what they have stored, oldest first, so that
a reader that takes one value shows an old one as the newest (bkbilly/medisanabp_ble issue 1;
derdilla/blood-pressure-monitor-fl issue 352). Each value carries its user. A second link soon
after the first often fails (medisanabp_ble issues 4 and 9): the value comes with the next link.

Names: "1872B" (medisanabp_ble pull request 2, BU 570) and "LS BPM" (issue 9, BU 575). Whether they
can be bonded, and how, was not found: they are read unbonded, as that project does. Their clock:
not found; set where it exists. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

BLOOD_PRESSURE = Profile(
    name="medisana-blood-pressure",
    title="Medisana BU (blodtryck)",
    names=("1872B", "LS BPM"),
    services=("1810",),
    pairing_mode="Gör en mätning. Mätaren kan kopplas den korta stund som den sänder efteråt.",
    measurements=("2A35",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    has_users=True,
    # That project waits 15 s for the values.
    quiet_s=15.0,
    link_max_s=60.0,
    source="bkbilly/medisanabp_ble issues 1, 4 and 9, pull request 2;"
    " Rudertier/medisana_blood_pressure, README",
)
