"""TaiDoc and the names it is sold under (Fora, GlucoRx and others): meters that must be asked.

Cuffs, thermometers and glucose meters keep records, which devices.vendor.taidoc asks for one by
one; which models can be read stands in devices.gatt.taidoc_record. The names are those that
advmeds-service/advmeds-bluetooth-lib knows (BaseBtDeviceFactory.java). Newer glucose meters speak
the SIG's Glucose Service as well, but number their records backwards and have no clock there
(NightscoutFoundation/xDrip, BluetoothGlucoseMeter.java, for the Diamond Mobile Mini), so they are
asked in their own protocol. It needs no bond.

Thermometers TD-1241 and TD-1242 (Fora IR40, IR42) have the SIG's Health Thermometer Service, and
are read by it where they advertise it: weliem/bluez_inc, hts_service_handler.c of earlier commits
(TD1242, on the forehead) and weliem/pi-health-hub, PeripheralExtensions.kt (TD1241, which goes on
advertising for up to 40 s after its value). Tried on hardware: none yet.
"""

from __future__ import annotations

from devices.profiles.profile import Profile

METER = Profile(
    name="taidoc-fora",
    title="TaiDoc och Fora (blodtryck, temperatur, blodsocker)",
    names=("TAIDOC TD", "FORA P", "FORA D", "FORA GD", "FORA MD", "FORA IR"),
    services=("00001523-1212-efde-1523-785feabcd123",),
    pairing_mode="Gör en mätning. Mätaren kan kopplas medan Bluetooth-symbolen blinkar efteråt.",
    measurements=("00001524-1212-efde-1523-785feabcd123",),
    # The clock is asked for and set in their own protocol.
    clock=None,
    reads=("2A19",),
    must_bond=False,
    vendor="taidoc",
    # A meter that does not answer is asked three times, 3 s each.
    quiet_s=12.0,
    # Forty records at two questions each, with a fence now and then.
    link_max_s=60.0,
    source="glucometers-tech/glucometer-protocols, td42xx.md; markchuang56/iOS-Demo, Fora.m;"
    " YentingChia-Ultron/Ultron-esp32BLE; advmeds-service/advmeds-bluetooth-lib",
)

THERMOMETER = Profile(
    name="taidoc-thermometer",
    title="TaiDoc TD-1241, TD-1242, Fora IR40, IR42 (febertermometer)",
    names=("TAIDOC TD124", "FORA IR4"),
    services=("1809",),
    pairing_mode="Ta temperaturen. Termometern kan kopplas en kort stund efteråt.",
    measurements=("2A1C",),
    clock="2A08",
    reads=("2A19",),
    must_bond=False,
    # The value comes the moment it is measured.
    quiet_s=20.0,
    link_max_s=60.0,
    source="weliem/bluez_inc, hts_service_handler.c; weliem/pi-health-hub, PeripheralExtensions.kt",
)
