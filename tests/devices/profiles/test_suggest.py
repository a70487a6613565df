"""Which profile a device is offered to be enrolled with, by what it advertises."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.profiles import PROFILES, suggest

CUFF, SCALE, COMPOSITION, OXIMETER = "1810", "181D", "181B", "1822"
GLUCOSE, HEART = "1808", "180D"
NONIN = "46A970E0-0D5F-11E2-8B5E-0002A5D5C51B"
TAIDOC = "00001523-1212-efde-1523-785feabcd123"
SIG_CUFF = ["sig-blood-pressure"]
SIG_OXIMETER = ["sig-oximeter", "sig-oximeter-continuous"]

# The names are those that the profiles' sources show for real devices, unless it is said otherwise.
TABLE: list[tuple[str | None, Collection[str], list[str]]] = [
    ("A&D_UA-651BLE_86FB2F", [CUFF], ["a-and-d-blood-pressure", *SIG_CUFF]),
    ("A&D_UA-651BLE_86FB2F", [], ["a-and-d-blood-pressure"]),
    ("UB-1100BLE_88C32F", [CUFF], ["a-and-d-blood-pressure", *SIG_CUFF]),
    ("A&D_UC-352BLE_01AB02", [SCALE], ["a-and-d-weight", "sig-weight"]),
    ("Beurer BM85", [CUFF], ["beurer-blood-pressure", *SIG_CUFF]),
    ("BM57", [CUFF], ["beurer-blood-pressure", *SIG_CUFF]),
    ("BM 59", [CUFF], ["beurer-blood-pressure", *SIG_CUFF]),
    ("BC54", [CUFF], ["beurer-blood-pressure", *SIG_CUFF]),
    ("SBM69", [CUFF], ["beurer-blood-pressure", *SIG_CUFF]),
    ("BF720", [SCALE], ["beurer-scale", "sig-weight"]),
    ("1872B", [CUFF], ["medisana-blood-pressure", *SIG_CUFF]),
    ("LS BPM", [], ["medisana-blood-pressure"]),
    ("MightySat 12345", [OXIMETER], ["masimo-mightysat", *SIG_OXIMETER]),
    ("Contour7830H1234567", [GLUCOSE], ["contour-next-one", "sig-glucose"]),
    ("meter+02252924", [GLUCOSE], ["accu-chek", "sig-glucose"]),
    ("Accu-Chek", [], ["accu-chek"]),
    ("Nonin3230_501234567", [], ["nonin-3230", "nonin-3230-spot-check"]),
    ("Nonin3230_501234567", [NONIN], ["nonin-3230", "nonin-3230-spot-check"]),
    (
        "Nonin3230_501234567",
        [OXIMETER],
        ["nonin-3230-spot-check", "nonin-3230", *SIG_OXIMETER],
    ),
    ("Polar H10 E7BAC71A", [HEART], ["polar-h10", "sig-heart-rate"]),
    ("TAIDOC TD3128", [TAIDOC], ["taidoc-fora"]),
    ("FORA P30 PLUS", [], ["taidoc-fora"]),
    ("TAIDOC TD1242", ["1809"], ["taidoc-thermometer", "taidoc-fora", "sig-thermometer"]),
    ("TAIDOC TD1241", [TAIDOC], ["taidoc-fora", "taidoc-thermometer"]),
    ("FORA IR42", [], ["taidoc-thermometer", "taidoc-fora"]),
    # The maker's own service tells where the name does not.
    (None, [NONIN], ["nonin-3230"]),
    ("GlucoRx Nexus", [TAIDOC], ["taidoc-fora"]),
    ("GlucoRx Nexus", [TAIDOC, GLUCOSE], ["taidoc-fora", "sig-glucose"]),
    # No family, but a standard service, in any form.
    (None, [CUFF], SIG_CUFF),
    ("", ["00001810-0000-1000-8000-00805F9B34FB"], SIG_CUFF),
    ("X4 Smart", ["00001810-0000-1000-8000-00805f9b34fb"], SIG_CUFF),
    ("Scale", [COMPOSITION, SCALE], ["sig-body-composition", "sig-weight"]),
    ("Scale", [SCALE], ["sig-weight"]),
    (None, ["1809"], ["sig-thermometer"]),
    (None, ["181F"], ["sig-cgm"]),
    (None, [OXIMETER, HEART], [*SIG_OXIMETER, "sig-heart-rate"]),
    # Two letters are anybody's where no service agrees.
    ("BM Hallen", [], []),
    ("bc", [SCALE], ["sig-weight"]),
    # Nothing that measures.
    (None, [], []),
    ("LE-Bose", ["FEBE"], []),
    ("Nordic_Blinky", ["00001530-1212-efde-1523-785feabcd123"], []),
    (None, ["not a uuid", "12345678", ""], []),
]


@pytest.mark.parametrize(("name", "services", "expected"), TABLE)
def test_suggested_best_first(
    name: str | None, services: Collection[str], expected: list[str]
) -> None:
    assert [profile.name for profile in suggest(name, services)] == expected


def test_a_name_counts_in_any_case_and_with_blanks() -> None:
    names = [profile.name for profile in suggest("  a&d_ua-651ble_1 ", ())]
    assert names == ["a-and-d-blood-pressure"]


def test_every_profile_is_suggested_for_something() -> None:
    found = {profile.name for row in TABLE for profile in suggest(row[0], row[1])}
    assert found == set(PROFILES)


@given(st.none() | st.text(max_size=40), st.lists(st.text(max_size=40), max_size=5))
def test_whatever_is_advertised(name: str | None, services: list[str]) -> None:
    suggested = suggest(name, services)
    assert len({profile.name for profile in suggested}) == len(suggested)
