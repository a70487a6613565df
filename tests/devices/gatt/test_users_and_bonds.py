"""Users of a device and its bonds.

User data, by hand from the op codes and results of Stanford Spezi's draft, Renesas' r_ble and
Dialog's uds_common.h, which agree; bonds by hand from the SIG's XML.
"""

import pytest

from devices.gatt import (
    bond_management,
    bond_management_feature,
    user_control_point,
    user_index,
)
from devices.gatt.bond_management import BondRequest
from devices.gatt.user_control_point import Op, Request, Response, Result
from tests.devices.gatt.fix_values import fields, reason, refuses_every_other_length

MESSAGES = [
    ("01 D204", Request(Op.REGISTER_NEW_USER, None, 1234)),
    ("01 0F27", Request(Op.REGISTER_NEW_USER, None, 9999)),
    ("02 01 D204", Request(Op.CONSENT, 1, 1234)),
    ("03", Request(Op.DELETE_USER_DATA)),
    ("04", Request(Op.LIST_ALL_USERS)),
    ("05 02", Request(Op.DELETE_USER, 2)),
    ("20 01 01 03", Response(Op.REGISTER_NEW_USER, Result.SUCCESS, 3)),
    ("20 04 01 02", Response(Op.LIST_ALL_USERS, Result.SUCCESS, 2)),
    ("20 05 01 02", Response(Op.DELETE_USER, Result.SUCCESS, 2)),
    ("20 02 01", Response(Op.CONSENT, Result.SUCCESS)),
    ("20 02 05", Response(Op.CONSENT, Result.USER_NOT_AUTHORISED)),
    ("20 01 04", Response(Op.REGISTER_NEW_USER, Result.OPERATION_FAILED)),
    ("20 77 02", Response(0x77, Result.OP_NOT_SUPPORTED)),
    ("20 03 99", Response(Op.DELETE_USER_DATA, 0x99)),
]


def test_user_index() -> None:
    assert fields("2A9A", "00") == {"user_index": 0}
    assert fields("2A9A", "FE") == {"user_index": 254}
    assert fields("2A9A", "FF") == {"user_index": None}
    assert user_index.encode(2) == b"\x02"
    assert user_index.encode(None) == b"\xff"
    refuses_every_other_length("2A9A", "01")


@pytest.mark.parametrize(("raw", "message"), MESSAGES)
def test_user_control_point(raw: str, message: Request | Response) -> None:
    assert user_control_point.read(bytes.fromhex(raw)) == message
    assert user_control_point.encode(message) == bytes.fromhex(raw)
    refuses_every_other_length("2A9F", raw)


def test_user_control_point_as_fields() -> None:
    assert fields("2A9F", "02 01 D204") == {"op": "consent", "user_index": 1}
    assert fields("2A9F", "01 D204") == {"op": "register_new_user"}
    assert fields("2A9F", "20 01 01 03") == {
        "op": "response",
        "request": "register_new_user",
        "request_code": 1,
        "result": "success",
        "result_code": 1,
        "user_index": 3,
    }
    assert fields("2A9F", "20 04 01 02")["users"] == 2
    unnamed = fields("2A9F", "20 77 99")
    assert (unnamed["request"], unnamed["result"]) == (None, None)


def test_refused() -> None:
    for number in set(range(256)) - {1, 2, 3, 4, 5, 0x20}:
        assert reason("2A9F", bytes((number, 0, 0, 0))) == "reserved_value"
    assert reason("2A9F", "01 1027") == "reserved_value"  # 10,000
    assert reason("2A9F", "02 01 FFFF") == "reserved_value"


@pytest.mark.parametrize(
    "message",
    [
        Request(Op.CONSENT, None, 1234),
        Request(Op.REGISTER_NEW_USER, 1, 1234),
        Request(Op.CONSENT, 1),
        Request(Op.REGISTER_NEW_USER, None, 10_000),
    ],
)
def test_a_request_that_cannot_be(message: Request) -> None:
    with pytest.raises(AssertionError):
        user_control_point.encode(message)


# Bonds ------------------------------------------------------------------------------------------


def test_deleting_bonds() -> None:
    assert fields("2AA4", "03") == {"op": "delete_requesting_le", "has_authorisation": False}
    assert fields("2AA4", "06 31323334") == {"op": "delete_all_le", "has_authorisation": True}
    request = BondRequest(bond_management.Op.DELETE_ALL_LE, b"1234")
    assert bond_management.read(bytes.fromhex("06 31323334")) == request
    assert bond_management.encode(request) == bytes.fromhex("06 31323334")
    for number in (0, *range(10, 256)):
        assert reason("2AA4", bytes((number,))) == "reserved_value"
    assert reason("2AA4", "") == "truncated"
    assert reason("2AA4", b"\x01" + bytes(512)) == "too_long"


def test_bond_features() -> None:
    # Bits 4 and 5: of the requesting device over LE, with a code; 10: all over LE; 18: identify.
    assert fields("2AA5", "300404") == {
        "features": ["delete_requesting_le", "delete_all_le", "identify_yourself"],
        "authorisation_required": ["delete_requesting_le"],
    }
    assert fields("2AA5", "000008")["features"] == ["unknown_feature"]
    assert bond_management_feature.encode(0x040430) == bytes.fromhex("300404")


def test_bond_features_grow() -> None:
    # "If the Feature Extension bit is set, an additional octet is attached", and so on.
    assert fields("2AA5", "000080 00")["features"] == []
    assert fields("2AA5", "010080 01") == {
        "features": ["delete_requesting", "unknown_feature"],
        "authorisation_required": [],
    }
    assert fields("2AA5", "000080 80 00")["features"] == ["unknown_feature"]
    refuses_every_other_length("2AA5", "300404")
    refuses_every_other_length("2AA5", "000080 80 00")
    with pytest.raises(AssertionError):
        bond_management_feature.encode(1 << 23)
