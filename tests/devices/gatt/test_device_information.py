"""Who the device is, and what it is certified as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.gatt import device_information, pnp_id, regulatory, system_id
from devices.gatt.pnp_id import PnpId
from devices.gatt.regulatory import Other, Regulation, Version
from tests.devices.gatt.fix_values import fields, reason, refuses_every_other_length

# SIG white paper Personal Health Devices Transcoding, as Dialog Semiconductor's DIS sample and
# RTOS SDK have it from there.
WHITE_PAPER = "0002 0012 02 01 0008 01 05 0001 0002 8008 02 02 0002 0000"


@pytest.mark.parametrize(("uuid", "name"), device_information.NAMES.items())
def test_strings(uuid: str, name: str) -> None:
    assert fields(uuid, b"UA-651BLE".hex()) == {name: "UA-651BLE"}
    # NXP mcux-sdk, gatt_database_dynamic.py: strings end in zero.
    assert fields(uuid, b"Kinetis BLE\0".hex()) == {name: "Kinetis BLE"}
    assert fields(uuid, "") == {name: ""}
    assert fields(uuid, "c3a5") == {name: "å"}
    assert reason(uuid, "61 FF 62") == "bad_text"
    assert reason(uuid, "C3") == "bad_text"
    assert reason(uuid, bytes(513)) == "too_long"


def test_strings_encoded() -> None:
    assert device_information.encode("å") == b"\xc3\xa5"


def test_pnp_id() -> None:
    # By hand; 0x00D2 is Dialog Semiconductor, as in its SDK.
    assert fields("2A50", "01 D200 0100 0201") == {
        "vendor_source": "bluetooth_sig",
        "vendor_source_code": 1,
        "vendor": 0x00D2,
        "product": 1,
        "version": 0x0102,
    }
    assert fields("2A50", "02 D200 0100 0201")["vendor_source"] == "usb_forum"
    reserved = fields("2A50", "03 D200 0100 0201")
    assert (reserved["vendor_source"], reserved["vendor_source_code"]) == (None, 3)
    assert pnp_id.encode(PnpId(1, 0xD2, 1, 0x102)) == bytes.fromhex("01 D200 0100 0201")


def test_system_id() -> None:
    # The example in the SIG's XML, and NXP mcux-sdk, gatt_database_dynamic.py (00-04-9F is NXP's).
    assert fields("2A23", "DE BC 9A FE FF 56 34 12") == {
        "system_id": "123456FFFE9ABCDE",
        "oui": "123456",
        "device": "FFFE9ABCDE",
    }
    assert fields("2A23", "00 00 00 FE FF 9F 04 00")["oui"] == "00049F"
    assert system_id.encode("123456FFFE9ABCDE") == bytes.fromhex("DEBC9AFEFF563412")


def test_certification() -> None:
    assert fields("2A2A", WHITE_PAPER) == {
        "entries": [
            {"body": 2, "type": 1, "continua_version": "1.5", "device_classes": [0x8008]},
            {"body": 2, "type": 2, "regulation": 0},
        ]
    }
    assert fields("2A2A", "0000 0000") == {"entries": []}  # NXP mcux-sdk
    other = fields("2A2A", "0002 000B FE 01 0002 ABCD 02 03 0001 EE")  # by hand
    assert other == {
        "entries": [
            {"body": 254, "type": 1, "data": "abcd"},
            {"body": 2, "type": 3, "data": "ee"},
        ]
    }


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        # Texas Instruments' default: "experimental" after 0xFE and 0x00, no list at all.
        ("FE00 6578706572696D656E74616C", "bad_size"),
        ("0002 0013 02 01 0008 01 05 0001 0002 8008 02 02 0002 0000", "bad_size"),
        ("0003 0012 02 01 0008 01 05 0001 0002 8008 02 02 0002 0000", "truncated"),
        ("0001 0012 02 01 0008 01 05 0001 0002 8008 02 02 0002 0000", "trailing_bytes"),
        ("0001 000C 02 01 0008 01 05 0001 0003 8008", "bad_size"),
        ("0001 000C 02 01 0008 01 05 0002 0002 8008", "bad_size"),
        ("0001 0007 02 02 0003 000000", "trailing_bytes"),
        ("0001 0005 02 02 0001 00", "truncated"),
        ("0001 0006 02 02 0003 0000", "truncated"),
    ],
)
def test_certifications_that_contradict_themselves(raw: str, why: str) -> None:
    assert reason("2A2A", raw) == why


def test_lengths() -> None:
    refuses_every_other_length("2A50", "01 D200 0100 0201")
    refuses_every_other_length("2A23", "DE BC 9A FE FF 56 34 12")
    whole = bytes.fromhex(WHITE_PAPER)
    for end in range(len(whole)):
        assert reason("2A2A", whole[:end]) == ("truncated" if end < 4 else "bad_size")
    assert reason("2A2A", whole + b"\0") == "bad_size"
    assert reason("2A2A", whole + bytes(513)) == "too_long"


def test_certification_encoded() -> None:
    entries = (Version(1, 5, (0x8008,)), Regulation(0))
    assert regulatory.encode(entries) == bytes.fromhex(WHITE_PAPER)
    assert regulatory.read(bytes.fromhex(WHITE_PAPER)) == entries
    other = (Other(254, 1, b"\xab\xcd"),)
    assert regulatory.read(regulatory.encode(other)) == other


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100))
def test_any_text_there_and_back(text: str) -> None:
    decoded = gatt.decode("2A29", device_information.encode(text))
    assert isinstance(decoded, gatt.Fields)
    assert decoded.fields == {"manufacturer_name": text}
