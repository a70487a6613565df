"""Nonin 3230: a fingertip oximeter with a service of Nonin's own.

It sends a frame a second while the finger is in; devices.vendor.nonin makes one spot-check of it.
The name begins with Nonin3230_ (andreasdri/nonin-3230-ble, index.js). Nonin's own sample for
Windows asks for an encrypted link with a paired oximeter. New bonds are taken for two minutes after
the batteries were put in: said of Nonin's WristOx2 3150 (a public configuration tool for it), and
taken to hold here. Whether any 3230 has the SIG's Pulse Oximeter Service as well was not found.
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

OXIMETER = Profile(
    name="nonin-3230",
    title="Nonin 3230 (pulsoximeter)",
    names=("Nonin3230", "Nonin"),
    services=("46a970e0-0d5f-11e2-8b5e-0002a5d5c51b",),
    pairing_mode="Ta ut batterierna och sätt i dem igen. Sätt pulsoximetern på fingret inom två"
    " minuter och håll fingret kvar.",
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
