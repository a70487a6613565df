"""Roche Accu-Chek Guide, Guide Me, Instant and Aviva Connect: the SIG's Glucose Profile.

They follow the standard (NightscoutFoundation/xDrip issue 208; weliem/blessed-android issue 35, an
Instant whose name is "meter+" and its number). Pairing is chosen in the meter's menu and shows a
six-digit code (issue 208). The clock is Date Time, 2A08, in the glucose service, and not Current
Time (xDrip, services/BluetoothGlucoseMeter.java, for the Aviva Connect). Some ask to be told to
send (xDrip issues 308 and 926): then the person starts the transfer on the meter.
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Bonding, Profile, Records

GLUCOSE = Profile(
    name="accu-chek",
    title="Accu-Chek Guide, Instant och Aviva Connect (blodsocker)",
    names=("meter+", "Accu-Chek"),
    services=("1808",),
    pairing_mode="Gör först en mätning. Välj Inställningar, Trådlöst, Parkoppling på mätaren och"
    " skriv in de sex siffror som den visar.",
    measurements=("2A18",),
    optional=("2A34",),
    clock="2A08",
    reads=("2A19",),
    must_bond=True,
    bonding=Bonding.PASSKEY_SHOWN,
    records=Records(record="2A18"),
    # The Record Access Control Point may take 30 s for its answer.
    quiet_s=35.0,
    link_max_s=120.0,
    source="NightscoutFoundation/xDrip issues 208, 308 and 926 and BluetoothGlucoseMeter.java;"
    " weliem/blessed-android issue 35",
)
