"""Configurations: applied when genuine, new and ours; else refused, the last good one kept."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices import wire
from gateway.instructions import apply_config, keep_request, last_config, open_requests
from gateway.outbox import Outbox
from tests.gateway.fix_home import KERNEL_BOOT

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SERVER = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SUCCESSOR = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def sealed(
    serial: int,
    *,
    gateway: str = "gw-1",
    key: Ed25519PrivateKey = SERVER,
    next_key: wire.NextKey | None = None,
    kid: str = "k1",
) -> bytes:
    body = wire.ConfigBody(
        for_=gateway, serial=serial, issued=NOON, placement="p1", next_key=next_key
    )
    return wire.encode(wire.seal_config(body, kid=kid, sign=key.sign))


Apply = Callable[[bytes], wire.ConfigReported]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.sqlite3", KERNEL_BOOT)
    yield outbox
    outbox.close()


@pytest.fixture
def apply(outbox: Outbox) -> Apply:
    def apply_to_gw_1(payload: bytes) -> wire.ConfigReported:
        return apply_config(outbox.connection, payload, gateway="gw-1", key=public(SERVER), at=NOON)

    return apply_to_gw_1


def test_genuine_config_is_applied_and_the_retained_copy_is_welcome(apply: Apply) -> None:
    for _ in range(2):
        assert apply(sealed(7)) == wire.ConfigReported(v=1, serial=7, ok=True, error=None)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (sealed(7), "old_serial"),
        (sealed(8, key=SUCCESSOR), "bad_signature"),
        (sealed(9, gateway="gw-2"), "another_gateway"),
        (sealed(9, next_key=wire.NextKey("k2", "short")), "bad_next_key"),
    ],
)
def test_refusal_has_a_reason_and_keeps_the_last_good_one(
    outbox: Outbox, apply: Apply, payload: bytes, reason: str
) -> None:
    apply(sealed(8))
    reported = apply(payload)
    assert (reported.ok, reported.serial) == (False, 8)
    assert reason in str(reported.error)
    last = last_config(outbox.connection)
    assert last is not None
    assert last.payload == sealed(8)


def test_altered_body_is_refused(apply: Apply) -> None:
    config = msgspec.json.decode(sealed(8), type=wire.Config)
    other = msgspec.json.decode(sealed(9), type=wire.Config)
    forged = msgspec.structs.replace(config, body=other.body)
    assert "bad_signature" in str(apply(wire.encode(forged)).error)


def test_without_a_pinned_key_everything_is_refused(outbox: Outbox) -> None:
    reported = apply_config(outbox.connection, sealed(1), gateway="gw-1", key=None, at=NOON)
    assert (reported.ok, reported.serial) == (False, 0)


def test_key_rotates_only_by_the_old_keys_word(outbox: Outbox, apply: Apply) -> None:
    text = base64.urlsafe_b64encode(public(SUCCESSOR)).rstrip(b"=").decode()
    assert apply(sealed(1, next_key=wire.NextKey("k2", text))).ok
    assert not apply(sealed(2)).ok
    assert not apply(sealed(3, key=SUCCESSOR)).ok, "the successor has an id of its own"
    assert apply(sealed(3, key=SUCCESSOR, kid="k2")).ok
    # Enrolled anew with another key: that one holds.
    fresh = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)
    reported = apply_config(
        outbox.connection, sealed(4, key=fresh), gateway="gw-1", key=public(fresh), at=NOON
    )
    assert reported.ok


def test_nonsense_is_no_config(apply: Apply) -> None:
    with pytest.raises(wire.WireError):
        apply(b"nonsense")


def test_requests_wait_for_the_home_screen_until_they_expire(outbox: Outbox) -> None:
    request = wire.Request(
        v=1,
        id="r1",
        kind="blood_pressure",
        ask="repeat",
        text={"sv": "Mät igen om fem minuter."},
        since=None,
        expires=NOON + timedelta(hours=1),
    )
    payload = wire.encode(request)
    assert keep_request(outbox.connection, request, payload)
    assert not keep_request(outbox.connection, request, payload)
    assert open_requests(outbox.connection, NOON) == (request,)
    assert open_requests(outbox.connection, NOON + timedelta(hours=2)) == ()
