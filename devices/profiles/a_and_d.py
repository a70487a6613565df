"""A&D Medical: cuffs UA-651BLE and UB-1100BLE, scale UC-352BLE.

They speak the SIG services, but only on a bonded link; they bond in pairing mode only; they want
their clock set at every link, since no button sets it; they advertise for a short time after a
measurement, send what they kept and hang up themselves. They are touched in one order only: bond,
clock, subscribe, battery, wait.

A cuff keeps up to 30 readings and sends them again, back to back; a measurement that failed is one
of them, with four times "not a number". The replays are recognised by their bytes and time.

Sources: weliem/blessed-kotlin, app/.../BluetoothHandler.kt (names that begin with "A&D" are bonded
first); andengineering/AndroidSampleCode issue 1 (error E10 when read in an unexpected order);
HEADS-project/ThingML-BLE, Documentation/AND_Medical_UA651BLE.md and AND_Medical_UC352BLE.md
(services of both, and values recorded from a cuff); obniz/obniz, src/parts/Ble/UA651BLE (the
advertised name; 2A08 in the service); weliem/blessed-bluez issue 26 (name and services of
UB-1100BLE); don/cordova-plugin-ble-central issue 27 (pairing mode shows Pr); scripts/pi/bp_read.py
of a public project called HealthPass (30 stored readings at every link; clock). How the UC-352BLE
is brought into pairing mode was not found. A&D's oldest scales have a service of their own,
23434100-… (AndroidSampleCode, ADGattUUID.java): they are not read. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

SOURCE = (
    "weliem/blessed-kotlin; andengineering/AndroidSampleCode issue 1; HEADS-project/ThingML-BLE,"
    " Documentation; obniz/obniz, src/parts/Ble/UA651BLE; weliem/blessed-bluez issue 26"
)
# They hang up within seconds of their last value; a link that outlives this has gone wrong.
QUIET_S = 12.0
LINK_MAX_S = 60.0

BLOOD_PRESSURE = Profile(
    name="a-and-d-blood-pressure",
    title="A&D UA-651BLE och UB-1100BLE (blodtryck)",
    names=("A&D_UA-651BLE", "A&D_UB-1100BLE", "UB-1100BLE", "A&D_UA", "A&D_UB"),
    services=("1810",),
    pairing_mode="Håll startknappen intryckt, utan manschett på armen, tills displayen visar Pr.",
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
    title="A&D UC-352BLE (våg)",
    names=("A&D_UC-352BLE", "A&D_UC"),
    services=("181D",),
    pairing_mode="Tryck på vågens knapp för parkoppling så som bruksanvisningen visar.",
    measurements=("2A9D",),
    clock="2A08",
    reads=("2A19",),
    must_bond=True,
    quiet_s=QUIET_S,
    link_max_s=LINK_MAX_S,
    source=SOURCE,
)
