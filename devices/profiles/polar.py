"""Polar H10: a chest strap that sends heart rate and beat intervals.

Heart rate comes by the SIG's service, about once a second, several intervals at a time
(polarofficial/polar-ble-sdk issue 169). The contact bit is wrong on every other link (issue 83),
so a value without contact is flagged by the decoder and not thrown away. Off the chest it goes on
advertising for a while, the last value with it (issue 137): only what is notified counts here. The
name begins with "Polar H10 " (issue 103). Its ECG stream is Polar's own and is not read.
Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

HEART_RATE = Profile(
    name="polar-h10",
    title="Polar H10 (pulsband)",
    names=("Polar H10", "Polar H9"),
    services=("180D",),
    pairing_mode="Fukta bandet och ta på det mot huden, så vaknar sensorn.",
    measurements=("2A37",),
    clock=None,
    reads=("2A38", "2A19"),
    must_bond=False,
    # It notifies about once a second; silence is a strap taken off.
    quiet_s=15.0,
    # Other devices must get their turn.
    link_max_s=120.0,
    source="polarofficial/polar-ble-sdk issues 83, 103, 137 and 169",
)
