"""Any glucose meter that follows the Bluetooth SIG's Glucose Profile.

Source: Glucose Service 1.0.1 and Profile 1.0.1: 2A18 notifies, 2A34 (what went on around it)
notifies where it exists, records are asked for at 2A52 and are numbered. The profile demands an
encrypted link. The clock is Date Time, 2A08, inside the service, or Current Time, 2A2B, in its own:
Roche has the former, most others the latter (NightscoutFoundation/xDrip,
services/BluetoothGlucoseMeter.java). Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile, Records

GLUCOSE = Profile(
    name="sig-glucose",
    title="Blodsockermätare (Bluetooth-standard)",
    services=("1808",),
    pairing_mode="Gör först en mätning. Välj sedan Bluetooth eller Parkoppla i mätarens meny.",
    measurements=("2A18",),
    optional=("2A34",),
    clock="2A2B",
    reads=("2A19",),
    must_bond=True,
    records=Records(record="2A18"),
    # The Record Access Control Point may take 30 s for its answer.
    quiet_s=35.0,
    link_max_s=120.0,
    source="Bluetooth SIG, Glucose Profile 1.0.1",
)
