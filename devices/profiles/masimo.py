"""Masimo MightySat: a fingertip oximeter that sends one spot-check when the finger leaves.

It has the SIG's spot-check characteristic and not the continuous one; its live values are in a
protocol of Masimo's own, which nobody needs here (weliem/blessed-android issue 81). The name begins
with MightySat (a public toolkit's nipro_common.py, PREFIX_MIGHTY). Whether it must be bonded was
not found: it is read unbonded unless it asks. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

OXIMETER = Profile(
    name="masimo-mightysat",
    title="Masimo MightySat (pulsoximeter)",
    names=("MightySat", "Masimo"),
    services=("1822",),
    pairing_mode="Sätt MightySat på fingret och håll fingret kvar. Stäng Masimos app i telefonen:"
    " mätaren talar med en i taget.",
    measurements=("2A5E",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # The link may be up for as long as the finger is in; then comes the only value.
    quiet_s=170.0,
    quiet_after_s=12.0,
    link_max_s=180.0,
    source="weliem/blessed-android issue 81",
)
