"""The bytes of a certificate, held fast: server, gateway and any other reader hash the same."""

from datetime import UTC, date, datetime
from hashlib import sha256
from uuid import UUID

import msgspec
import pytest

from devices import wire
from devices.wire import CertifiedRange

BOOT = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
NEXT = UUID("0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10")
DAY = date(2026, 11, 22)


def hashed(seq: int) -> bytes:
    return wire.row_hash(BOOT, seq, UUID(int=seq))


def test_a_row_is_hashed_with_its_place_and_uid() -> None:
    """By hand after the format in the module, not by its own code."""
    said = b"hemma-row-v1" + bytes(1) + bytes.fromhex("6f9619ff8b864d01b42d00cf4fc964ff")
    said += bytes.fromhex("0000000000000102") + bytes(14) + bytes.fromhex("beef")
    assert wire.row_hash(BOOT, 258, UUID(int=0xBEEF)) == sha256(said).digest()


def test_rows_are_cut_where_a_number_is_missing() -> None:
    rows = [(seq, hashed(seq)) for seq in (1, 2, 3, 7, 9, 10)]
    ranges = wire.certified_ranges(BOOT, rows)
    assert [(one.first, one.last) for one in ranges] == [(1, 3), (7, 7), (9, 10)]
    expected = sha256(b"hemma-range-v1\0" + hashed(9) + hashed(10)).hexdigest()
    assert ranges[2] == CertifiedRange(str(BOOT), 9, 10, expected)
    assert wire.certified_ranges(BOOT, []) == ()


def test_a_number_that_came_twice_does_not_cut() -> None:
    """As from a cloned card: both rows are vouched for, in one range."""
    rows = sorted([(1, hashed(1)), (2, hashed(2)), (2, hashed(99)), (3, hashed(3))])
    (one,) = wire.certified_ranges(BOOT, rows)
    assert (one.first, one.last) == (1, 3)
    assert one.digest == wire.range_digest(each for _, each in rows).hex()


def test_the_chain_rests_on_the_day_before_and_not_on_the_order_of_ranges() -> None:
    first = wire.certified_ranges(BOOT, [(1, hashed(1))])[0]
    second = wire.certified_ranges(NEXT, [(5, hashed(5))])[0]
    said = b"hemma-day-v1\0" + bytes(32) + b"gw-1\0" + b"2026-11-22"
    for one, boot in ((second, NEXT), (first, BOOT)):  # 0b… before 6f…
        said += boot.bytes + one.first.to_bytes(8, "big") + one.last.to_bytes(8, "big")
        said += bytes.fromhex(one.digest)
    sealed = wire.chain_hash(None, "gw-1", DAY, [first, second])
    assert sealed == sha256(said).digest()
    assert wire.chain_hash(None, "gw-1", DAY, [second, first]) == sealed
    assert wire.chain_hash(sealed, "gw-1", DAY, [first, second]) != sealed
    assert wire.chain_hash(None, "gw-2", DAY, [first, second]) != sealed
    assert wire.chain_hash(None, "gw-1", date(2026, 11, 23), [first, second]) != sealed


def test_a_certificate_travels_as_json() -> None:
    ranges = wire.certified_ranges(BOOT, [(1, hashed(1))])
    sealed = wire.chain_hash(None, "gw-1", DAY, ranges).hex()
    made_at = datetime(2026, 11, 23, 1, tzinfo=UTC)
    one = wire.Certificate(1, "gw-1", DAY, made_at, 1, None, sealed, ranges)
    assert wire.read_certificate(wire.encode(one)) == one
    assert wire.chain_of(one) == sealed
    follows = msgspec.structs.replace(one, previous=sealed)
    assert wire.chain_of(follows) != sealed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "bad_certificate"),
        (b"[]", "bad_certificate"),
        (b"\xff", "bad_certificate"),
        (b'{"v":1,"gateway":"gw-1","day":"2026-11-22"}', "bad_certificate"),
        (
            b'{"v":2,"gateway":"gw-1","day":"2026-11-22","made_at":"2026-11-23T01:00:00Z","rows":0,'
            b'"previous":null,"chain":"' + b"0" * 64 + b'","ranges":[]}',
            "unsupported_version",
        ),
    ],
)
def test_what_is_no_certificate_is_told(text: bytes, reason: str) -> None:
    with pytest.raises(wire.WireError) as error:
        wire.read_certificate(text)
    assert error.value.reason == reason
