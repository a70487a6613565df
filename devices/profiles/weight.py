"""Any scale that follows the Bluetooth SIG's Weight Scale Profile and needs no bond.

Source: Weight Scale Service 1.0.1 and Profile 1.0.1 (2A9D indicates, time stamp optional); Body
Composition Service 1.0 (2A9C indicates; it often stands beside a weight service).
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

PAIRING_MODE = "Ställ vågen på hårt golv och tryck till på den med foten så att den vaknar."

WEIGHT = Profile(
    name="sig-weight",
    title="Våg (Bluetooth-standard)",
    services=("181D",),
    pairing_mode=PAIRING_MODE,
    measurements=("2A9D",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # A scale may link up while the person still stands still on it.
    quiet_s=20.0,
    link_max_s=60.0,
    source="Bluetooth SIG, Weight Scale Profile 1.0.1",
)

BODY_COMPOSITION = Profile(
    name="sig-body-composition",
    title="Kroppsanalysvåg (Bluetooth-standard)",
    services=("181B",),
    pairing_mode=PAIRING_MODE,
    measurements=("2A9C",),
    # The weight comes here where the scale has both services, else within the composition.
    optional=("2A9D",),
    clock="2A2B",
    reads=("2A19",),
    must_bond=False,
    # The current through the feet takes another ten seconds after the weight.
    quiet_s=25.0,
    link_max_s=60.0,
    source="Bluetooth SIG, Body Composition Service 1.0",
)
