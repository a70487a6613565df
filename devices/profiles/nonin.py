"""Nonin 3230: a fingertip oximeter with a service of Nonin's own, newer ones with the SIG's.

It sends a frame a second while the finger is in; devices.vendor.nonin makes one spot-check of it.
The name begins with Nonin3230_ (andreasdri/nonin-3230-ble, index.js). Nonin's own sample for
Windows asks for an encrypted link with a paired oximeter. New bonds are taken for two minutes after
the batteries were put in: said of Nonin's WristOx2 3150 (a public configuration tool for it), and
taken to hold here.

weliem/pi-health-hub knows oximeters whose name begins with Nonin3230 and reads all oximeters by the
SIG's spot-check (PeripheralExtensions.kt, gatt/PulseOximeterServiceHandler.kt), so there are some
that have it. Which firmware does was not found: one that advertises 1822 is read by it.
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

PAIRING_MODE = (
    "Ta ut batterierna och sätt i dem igen. Sätt pulsoximetern på fingret inom två minuter och håll"
    " fingret kvar."
)

OXIMETER = Profile(
    name="nonin-3230",
    title="Nonin 3230 (pulsoximeter)",
    names=("Nonin3230", "Nonin"),
    services=("46a970e0-0d5f-11e2-8b5e-0002a5d5c51b",),
    pairing_mode=PAIRING_MODE,
    measurements=("0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b",),
    clock=None,
    reads=("2A19",),
    must_bond=True,
    vendor="nonin",
    # A frame comes every second; silence is a finger out.
    quiet_s=15.0,
    # SmartPoint takes some ten seconds on a warm hand and a minute or two on a cold one.
    link_max_s=180.0,
    source="andreasdri/nonin-3230-ble, index.js; Nonin's sample code as found in public"
    " repositories (NONIN3230 Mini iOS Application; PulseOximetryService for Windows)",
)

SPOT_CHECK = Profile(
    name="nonin-3230-spot-check",
    title="Nonin 3230 med Bluetooth-standardens tjänst (pulsoximeter)",
    names=("Nonin3230",),
    services=("1822",),
    pairing_mode=PAIRING_MODE,
    measurements=("2A5E",),
    clock="2A08",
    reads=("2A19",),
    must_bond=True,
    # The link may be up for as long as the finger is in; then comes the only value.
    quiet_s=120.0,
    link_max_s=180.0,
    source="weliem/pi-health-hub, PeripheralExtensions.kt and gatt/PulseOximeterServiceHandler.kt",
)
