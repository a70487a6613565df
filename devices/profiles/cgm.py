"""Any sensor that follows the Bluetooth SIG's Continuous Glucose Monitoring Profile.

Source: Continuous Glucose Monitoring Service 1.0.2: 2AA7 notifies new values at the interval the
sensor has, stored ones are asked for at 2A52 by their time offset in minutes from the session's
start (2AAA); the link must be encrypted. No sensor sold to patients was found that speaks it
openly. Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile, Records

CGM = Profile(
    name="sig-cgm",
    title="Kontinuerlig glukosmätare (Bluetooth-standard)",
    services=("181F",),
    pairing_mode="Starta sensorn och håll den nära hemenheten.",
    measurements=("2AA7",),
    # A sensor's clock belongs to its session, which we do not start.
    clock=None,
    reads=("2AAA", "2AA8", "2A19"),
    must_bond=True,
    records=Records(record="2AA7", is_numbered_by_time=True),
    # The Record Access Control Point may take 30 s for its answer.
    quiet_s=35.0,
    link_max_s=120.0,
    source="Bluetooth SIG, Continuous Glucose Monitoring Service 1.0.2",
)
