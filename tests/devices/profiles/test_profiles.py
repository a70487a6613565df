"""What every profile promises: facts with a source, words for a person, and values we can read."""

import re

import pytest

from devices.gatt import CHARACTERISTICS, short_uuid
from devices.profiles import PROFILES, Bonding, Profile
from devices.vendor.makers import VENDORS, exchange

EVERY = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda one: one.name)
SIG_SERVICES = {"1808", "1809", "180D", "1810", "181B", "181D", "181F", "1822"}


@EVERY
def test_it_is_found_by_its_name_and_has_words_for_a_person(profile: Profile) -> None:
    assert PROFILES[profile.name] is profile
    assert re.fullmatch(r"[a-z0-9-]{1,40}", profile.name)
    assert profile.title
    assert profile.source
    assert profile.tried_on == (), "none was: say the firmware when one is"
    assert profile.pairing_mode.endswith(".")
    assert profile.pairing_mode[0].isupper()


@EVERY
def test_everything_it_listens_to_or_reads_can_be_decoded(profile: Profile) -> None:
    asked = (*profile.measurements, *profile.optional, *profile.reads)
    records = () if profile.records is None else (profile.records.control_point,)
    clock = () if profile.clock is None else (profile.clock,)
    for characteristic in (*asked, *records, *clock):
        assert characteristic == short_uuid(characteristic)
        assert characteristic in CHARACTERISTICS


@EVERY
def test_its_services_are_written_as_they_are_compared(profile: Profile) -> None:
    assert profile.services
    assert all(service == short_uuid(service) for service in profile.services)


@EVERY
def test_where_a_code_is_shown_the_person_is_told_to_write_it(profile: Profile) -> None:
    if profile.bonding is Bonding.PASSKEY_SHOWN:
        assert re.search(r"kod|siffror", profile.pairing_mode)


@EVERY
def test_records_are_asked_for_where_they_are_listened_to(profile: Profile) -> None:
    if profile.records is not None:
        assert profile.records.record in profile.measurements
        assert profile.must_bond, "a glucose profile demands an encrypted link"


@EVERY
def test_a_makers_protocol_exists(profile: Profile) -> None:
    assert profile.vendor is None or not exchange(profile.vendor).is_done


def test_every_makers_protocol_has_a_family() -> None:
    assert {profile.vendor for profile in PROFILES.values()} - {None} == VENDORS


def test_every_standard_health_service_has_a_profile() -> None:
    generic = [profile for name, profile in PROFILES.items() if name.startswith("sig-")]
    assert {service for profile in generic for service in profile.services} == SIG_SERVICES


def test_the_names_that_homes_are_enrolled_with_stay() -> None:
    assert {
        "a-and-d-blood-pressure",
        "a-and-d-weight",
        "sig-blood-pressure",
        "sig-oximeter",
        "sig-thermometer",
        "sig-weight",
    } <= set(PROFILES)
