"""The example messages of docs/contract: good ones are read, bad ones get the verdict they name."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from devices import gatt, wire

CONTRACT = Path(__file__).parents[3] / "docs" / "contract"
ITEMS = sorted(CONTRACT.glob("item-*.json"))
MESSAGES: dict[str, type[Any]] = {
    "measurements": wire.Envelope,
    "backlog": wire.Envelope,
    "ack": wire.Ack,
    "receipts": wire.Receipts,
    "requests": wire.Request,
    "config": wire.Config,
    "config-reported": wire.ConfigReported,
    "config-reported-refused": wire.ConfigReported,
    "status": wire.Status,
    "status-will": wire.Status,
}
# docs/contract/README.md: the private key is the bytes 0 to 31.
PUBLIC_KEY = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"


def verify(kid: str, signature: bytes, message: bytes) -> bool:
    if kid != "k1":
        return False
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(PUBLIC_KEY + "="))
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def judged(raw: bytes) -> tuple[str | None, str, int | None]:
    try:
        item = wire.decode_item(raw)
    except wire.WireError as error:
        return error.reason, error.retry, error.seq
    return wire.fault_of(item), "never", item.seq


def bad(prefix: str) -> list[Path]:
    return sorted((CONTRACT / "bad").glob(f"{prefix}-*.json"))


def test_the_key_of_the_examples() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    assert base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode() == PUBLIC_KEY


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_read_and_written_the_same(name: str) -> None:
    text = (CONTRACT / f"{name}.json").read_bytes()
    message = wire.decode(text, MESSAGES[name])
    assert json.loads(wire.encode(message)) == json.loads(text)


@pytest.mark.parametrize("path", ITEMS, ids=lambda path: path.stem)
def test_an_item_is_read_and_written_the_same(path: Path) -> None:
    item = wire.decode_item(path.read_bytes())
    assert wire.fault_of(item) is None
    assert json.loads(wire.encode(item)) == json.loads(path.read_bytes())


def test_every_type_of_item_has_an_example() -> None:
    types = {json.loads(path.read_bytes())["type"] for path in ITEMS}
    assert types == {"value", "event", "clock", "retract", "undecodable", "tombstone"}


def test_every_example_is_tested() -> None:
    known = {path.stem for path in ITEMS} | MESSAGES.keys() | {"config-body"}
    assert {path.stem for path in CONTRACT.glob("*.json")} == known


def test_the_value_is_what_its_bytes_say() -> None:
    item = wire.decode_item((CONTRACT / "item-value.json").read_bytes())
    assert item.raw is not None
    assert item.char is not None
    decoded = gatt.decode(item.char, bytes.fromhex(item.raw))
    assert isinstance(decoded, gatt.Reading)
    assert [s.value for s in decoded.measurements[0].samples] == [s.value for s in item.samples]
    # printf 'ble-001122aabbcc2A35\0\0\0\0' and the raw bytes, through sha256sum, cut to 32 digits.
    assert item.uid == "157f8d39bb2618b0c00e0e1e4c60cf3d"


def test_the_signed_configuration_opens() -> None:
    config = wire.decode((CONTRACT / "config.json").read_bytes(), wire.Config)
    body = wire.open_config(config, gateway="home-0001", last_serial=16, verify=verify)
    text = json.loads((CONTRACT / "config-body.json").read_bytes())
    assert json.loads(wire.encode(body)) == text


@pytest.mark.parametrize("path", bad("item"), ids=lambda path: path.stem)
def test_a_bad_item_gets_its_verdict(path: Path) -> None:
    case = json.loads(path.read_bytes())
    raw = json.dumps(case["item"]).encode()
    if case["verdict"] == "stored":
        item = wire.decode_item(raw)
        assert wire.fault_of(item) is None
        assert wire.implausible(item.kind or "", item.samples)
        return
    assert judged(raw) == (case["reason"], case["retry"], case["seq"])


@pytest.mark.parametrize("path", bad("payload"), ids=lambda path: path.stem)
def test_a_bad_payload_gets_its_verdict(path: Path) -> None:
    case = json.loads(path.read_bytes())
    with pytest.raises(wire.WireError) as error:
        wire.decode_envelope(case["payload"].encode())
    assert (error.value.reason, error.value.retry) == (case["reason"], case["retry"])
    assert error.value.seq is None


@pytest.mark.parametrize("path", bad("config"), ids=lambda path: path.stem)
def test_a_bad_configuration_is_refused(path: Path) -> None:
    case = json.loads(path.read_bytes())
    config = msgspec.convert(case["config"], wire.Config)
    with pytest.raises(wire.ConfigRefused) as error:
        wire.open_config(
            config, gateway=case["gateway"], last_serial=case["last_serial"], verify=verify
        )
    assert error.value.reason == case["reason"]
