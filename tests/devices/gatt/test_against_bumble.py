"""Against codecs not written here: Bumble's profiles of heart rate, battery and device information.

Bytes that Bumble makes must read as what it was given, and it must read ours.
"""

from bumble.profiles.battery_service import BatteryService
from bumble.profiles.device_information_service import DeviceInformationService
from bumble.profiles.heart_rate_service import HeartRateService
from hypothesis import given
from hypothesis import strategies as st

from devices.gatt import battery, body_sensor_location, device_information, heart_rate, system_id
from devices.gatt.heart_rate import HeartRate

Measurement = HeartRateService.HeartRateMeasurement
RATES = st.integers(0, 0xFFFF)
CONTACT = st.none() | st.booleans()
ENERGY = st.none() | st.integers(0, 0xFFFF)
LEVEL = BatteryService(lambda _: 0).battery_level_characteristic
INTERVALS = st.lists(st.integers(0, 0xFFFF), max_size=20)


@given(RATES, CONTACT, ENERGY, INTERVALS)
def test_what_bumble_writes(
    rate: int, contact: bool | None, energy: int | None, intervals: list[int]
) -> None:
    seconds = [interval / 1024 for interval in intervals] or None
    got = heart_rate.decode(bytes(Measurement(rate, contact, energy, seconds)))
    assert got.samples[0].value == rate
    assert got.context.get("energy_kj") == energy
    assert got.context.get("rr_count", 0) == len(intervals)
    assert ("no_skin_contact" in got.flags) == (contact is False)


@given(RATES, CONTACT, ENERGY, INTERVALS)
def test_what_bumble_reads(
    rate: int, contact: bool | None, energy: int | None, intervals: list[int]
) -> None:
    ours = heart_rate.encode(HeartRate(rate, contact, energy, intervals))
    read = Measurement.from_bytes(ours)
    assert (read.heart_rate, read.energy_expended) == (rate, energy)
    assert read.sensor_contact_detected == contact
    assert [round(second * 1024) for second in read.rr_intervals or ()] == intervals


def test_places_have_the_same_numbers() -> None:
    for place in HeartRateService.BodySensorLocation:
        name = "earlobe" if place.name == "EAR_LOBE" else place.name.lower()
        assert body_sensor_location.encode(name) == bytes((place,))


@given(st.integers(0, 100))
def test_battery_level(percent: int) -> None:
    theirs = LEVEL.encode_value(percent)
    assert battery.decode(theirs).samples[0].value == percent
    assert LEVEL.decode_value(battery.encode(percent)) == percent


def test_device_information() -> None:
    told = {
        "manufacturer_name": "Hemma Prüftechnik",
        "model_number": "UA-651BLE",
        "serial_number": "5141000123",
        "hardware_revision": "1.0",
        "firmware_revision": "2.03",
        "software_revision": "",
    }
    service = DeviceInformationService(**told)  # type: ignore[arg-type]  # texts, all of them
    read = []
    for one in service.characteristics:
        assert isinstance(one.value, bytes)
        uuid = one.uuid.to_hex_str()
        read.append(device_information.decode(one.value, characteristic=uuid).fields)
    assert [list(fields.values()) for fields in read] == [[text] for text in told.values()]


def test_system_id() -> None:
    pack = DeviceInformationService.pack_system_id
    packed = pack(0x123456, 0xFFFE9ABCDE)  # type: ignore[no-untyped-call]  # Bumble's is untyped
    assert system_id.decode(packed).fields["system_id"] == "123456FFFE9ABCDE"
