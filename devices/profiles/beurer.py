"""Beurer: cuffs of the BM and BC series, scales BF105, BF720 and their like.

Cuffs speak the SIG's Blood Pressure Service and send all they have stored, oldest first, so that
the newest value comes last: derdilla/blood-pressure-monitor-fl issue 352 (BM57), pull request 660
(BM59). They stay silent when they are asked at once after discovery; a tenth of a second helps
(the same project, ble_read_cubit.dart), and the clock that is set first here takes longer.
First pairing may show a code: 1technophile/OpenMQTTGateway issue 806 (Silvercrest SBM69, the same
maker's design). The advertised names are those of a public list made from Beurer's app.

BM48, BM59, BM85 and ELITE900 are not supported: they swap the bytes of pulse and status, says
blood-pressure-monitor-fl pull request 735 after the maker's own list. The recording of a BM85 there
also has a reserved flag and a user without its flag; the decoder refuses it, and its bytes are
kept. docs/devices.md says what is known of the others.

Scales speak weight, body composition and user data: they tell a user's values only after that
user's consent code, which the scale shows when the user is made (KristianP26/ble-scale-sync issue
168; oliexdev/openScale pull request 753). They need a bond before anything is subscribed to (issue
168). Since a user exists on the scale only after an app has registered it (ble-scale-sync issue
335), that must have been done. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Bonding, Profile

BLOOD_PRESSURE = Profile(
    name="beurer-blood-pressure",
    title="Beurer BM och BC (blodtryck)",
    names=("Beurer BM", "Beurer BC", "BM", "BC", "SBM69"),
    services=("1810",),
    pairing_mode="Slå på Bluetooth på blodtrycksmätaren (håll minnesknappen intryckt) tills"
    " Bluetooth-symbolen blinkar. Visar den en kod så skriv in koden här.",
    measurements=("2A35",),
    clock="2A2B",
    reads=("2A19",),
    must_bond=False,
    bonding=Bonding.PASSKEY_SHOWN,
    has_users=True,
    # They send dozens of stored values back to back and hang up.
    quiet_s=12.0,
    link_max_s=60.0,
    source="derdilla/blood-pressure-monitor-fl issue 352, pull requests 660 and 735;"
    " 1technophile/OpenMQTTGateway issue 806",
)

SCALE = Profile(
    name="beurer-scale",
    title="Beurer BF105, BF720 (kroppsanalysvåg)",
    names=("BF105", "BF720", "BF600", "BF850", "BF950", "BF915", "Beurer BF"),
    services=("181D", "181B"),
    pairing_mode="Tryck på vågens SET-knapp så att den visar en kod, och bekräfta den inom 15 s."
    " Användaren måste redan finnas i vågen.",
    measurements=("2A9D",),
    optional=("2A9C",),
    clock="2A2B",
    reads=("2A19",),
    must_bond=True,
    bonding=Bonding.PASSKEY_SHOWN,
    has_users=True,
    # The current through the feet takes another ten seconds after the weight.
    quiet_s=25.0,
    link_max_s=60.0,
    source="KristianP26/ble-scale-sync issues 168 and 335; oliexdev/openScale pull request 753",
)
