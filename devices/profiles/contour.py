"""Ascensia Contour Next One and Contour Plus One: glucose meters of the SIG's Glucose Profile.

Bond first (weliem/blessed-kotlin and blessed-android, BluetoothHandler: names that begin with
"Contour"); six digits are on the meter's display. It gives nothing until it has one result
(NightscoutFoundation/xDrip issue 634). The Current Time can be read; it is set at a characteristic
of Ascensia's own, 00001026-0002-11e2-9e96-0800200c9a66 (blessed-android, BluetoothHandler.java),
which is not written here: the offset is noted, and values are corrected by it. A meter that lost
its bond with the phone needed pairing anew (xDrip issue 1076). Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Bonding, Profile, Records

GLUCOSE = Profile(
    name="contour-next-one",
    title="Contour Next One och Plus One (blodsocker)",
    names=("Contour",),
    services=("1808",),
    pairing_mode="Gör först en mätning. Håll sedan mätarens OK-knapp intryckt tills det blå ljuset"
    " blinkar. Skriv in de sex siffror som visas på mätaren.",
    measurements=("2A18",),
    optional=("2A34",),
    clock="2A2B",
    reads=("2A19",),
    must_bond=True,
    bonding=Bonding.PASSKEY_SHOWN,
    records=Records(record="2A18"),
    # The Record Access Control Point may take 30 s for its answer.
    quiet_s=35.0,
    link_max_s=120.0,
    source="weliem/blessed-kotlin, BluetoothHandler.kt; weliem/blessed-android,"
    " BluetoothHandler.java; NightscoutFoundation/xDrip issues 634 and 1076",
)
