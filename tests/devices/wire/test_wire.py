"""The wire format where the examples do not reach: times, bounds, identities, seals, topics."""

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt, wire
from devices.measurement import Measurement

BOOT = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
MSG = "0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10"
UID = "0" * 32
NOW = datetime(2026, 11, 22, 6, 12, tzinfo=UTC)
STAMP = wire.Stamp(t=NOW, tq="gateway", gw_t=NOW, gw_q="ntp", mono_ms=5)
DEVICE = "ble-001122aabbcc"


def measured(uuid: str, raw: str) -> Measurement:
    decoded = gatt.decode(uuid, bytes.fromhex(raw))
    assert isinstance(decoded, gatt.Reading)
    return decoded.measurements[0]


def item_of(uuid: str, raw: str) -> wire.Item:
    return wire.item_from(
        measured(uuid, raw), seq=1, uid=UID, device=DEVICE, model="X", stamp=STAMP
    )


# Writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (NOW, "2026-11-22T06:12:00.000Z"),
        (NOW.replace(microsecond=999_999), "2026-11-22T06:12:00.999Z"),
        (
            datetime(2026, 11, 22, 7, 12, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-22T06:12:00.000Z",
        ),
    ],
)
def test_times_have_three_decimals_and_z(time: datetime, text: str) -> None:
    receipt = wire.Receipt(uid=UID, seen=time, unit="x")
    assert json.loads(wire.encode(receipt))["seen"] == text


def test_a_value_writes_every_field_of_the_contract() -> None:
    text = json.loads(wire.encode(wire.Item(seq=1, uid=UID)))
    assert text == {
        "type": "value",
        "seq": 1,
        "uid": UID,
        "dev": None,
        "model": None,
        "dev_seq": None,
        "kind": None,
        "samples": [],
        "t": None,
        "tq": None,
        "dev_t": None,
        "gw_t": None,
        "gw_q": None,
        "mono_ms": None,
        "flags": [],
        "ctx": {},
        "char": None,
        "raw": None,
    }


def test_items_that_are_bytes_already_are_written_as_they_are() -> None:
    raw = msgspec.Raw(b'{"seq":1,"extra":true}')
    text = wire.encode(wire.RawEnvelope(v=1, msg=MSG, boot=BOOT, sent=NOW, items=(raw,)))
    assert wire.decode_envelope(text).items == (raw,)


def test_a_failed_measurement_becomes_an_event() -> None:
    item = item_of("2A35", "00 FF07 FF07 FF07")
    assert (item.type, item.event) == ("event", "measurement_failed")
    assert wire.fault_of(item) is None
    assert wire.decode_item(wire.encode(item)) == item


def test_an_event_of_no_known_kind_is_a_fault_without_samples_too() -> None:
    item = msgspec.structs.replace(item_of("2A35", "00 FF07 FF07 FF07"), samples=())
    assert wire.fault_of(item) is None
    assert wire.fault_of(msgspec.structs.replace(item, kind=None)) is None
    assert wire.fault_of(msgspec.structs.replace(item, kind="blood")) == "unknown_kind"


def test_an_implausible_value_is_flagged_and_stays_a_value() -> None:
    item = item_of("2A5E", "00 3700 4800")
    assert item.type == "value"
    assert item.flags == ("implausible",)
    assert wire.fault_of(item) is None
    assert wire.decode_item(wire.encode(item)) == item


# Reading ----------------------------------------------------------------------------------------


def envelope(items: str = "", **over: object) -> bytes:
    head: dict[str, object] = {"v": 1, "msg": MSG, "boot": BOOT, "sent": "2026-11-22T06:12:00Z"}
    text = json.dumps(head | over)[:-1]
    return f'{text},"new_field":1,"items":[{items}]}}'.encode()


def test_unknown_fields_are_ignored_and_bad_items_do_not_hold_up_good_ones() -> None:
    good = wire.encode(item_of("2A35", "00 7800 5000 5D00")).decode()
    read = wire.decode_envelope(envelope(f'{{"seq":2,"uid":7}},{good[:-1]},"later":[1]}},null,7'))
    assert len(read.items) == 4
    with pytest.raises(wire.WireError) as error:
        wire.decode_item(read.items[0])
    assert (error.value.reason, error.value.seq) == ("bad_item", 2)
    assert wire.fault_of(wire.decode_item(read.items[1])) is None
    for raw in read.items[2:]:
        with pytest.raises(wire.WireError) as error:
            wire.decode_item(raw)
        assert error.value.seq is None


@pytest.mark.parametrize(
    ("payload", "reason", "retry"),
    [
        (b"", "unparseable", "never"),
        (b"\xff\xfe", "unparseable", "never"),
        (b"[" * 60_000, "bad_message", "never"),
        (b'{"v":1,"msg":' + b"[" * 60_000, "unparseable", "never"),
        (b"null", "bad_message", "never"),
        (b"{}", "bad_message", "never"),
        (b'{"v":"1"}', "bad_message", "never"),
        (b'{"v":2}', "unsupported_version", "later"),
        (b'{"v":1,"x":"' + b"a" * 65_536 + b'"}', "too_large", "never"),
        (envelope(boot="not-a-uuid"), "bad_message", "never"),
        (envelope(sent="2026-11-22T06:12:00"), "bad_message", "never"),
        (envelope('{"seq":1'), "unparseable", "never"),
        (envelope('{"seq":NaN}'), "unparseable", "never"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_payload_that_cannot_be_read(payload: bytes, reason: str, retry: str) -> None:
    with pytest.raises(wire.WireError) as error:
        wire.decode_envelope(payload)
    assert (error.value.reason, error.value.retry, error.value.seq) == (reason, retry, None)


def test_the_largest_payload_is_read() -> None:
    head = envelope()
    filled = head[:-1] + b" " * (wire.PAYLOAD_MAX_BYTES - len(head)) + b"}"
    assert wire.decode_envelope(filled).items == ()


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode_envelope(payload)
    with pytest.raises(wire.WireError):
        wire.decode_item(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=4), part, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from(sorted(msgspec.structs.asdict(wire.Item(1, UID)))), JSON)
def test_any_field_may_be_wrong(name: str, value: object) -> None:
    text = json.loads(wire.encode(item_of("2A35", "00 7800 5000 5D00")))
    with suppress(wire.WireError):
        item = wire.decode_item(json.dumps(text | {name: value}).encode())
        wire.fault_of(item)
        wire.encode(item)


@pytest.mark.parametrize("value", [-1, 256, 1.5, "1", 10**30])
def test_a_user_index_is_a_byte(value: float | str) -> None:
    item = item_of("2A35", "08 7800 5000 5D00 02")
    assert wire.fault_of(item) is None
    strange = msgspec.structs.replace(item, ctx={"user_index": value})
    assert wire.fault_of(strange) == "bad_user_index"


@pytest.mark.parametrize("name", ["uid", "raw", "of", "boot"])
def test_a_line_feed_is_no_part_of_an_identifier(name: str) -> None:
    identifiers = {"uid": UID, "raw": "00", "of": UID, "boot": BOOT}
    wire.decode_item(json.dumps({"seq": 1} | identifiers).encode())
    identifiers[name] += "\n"
    with pytest.raises(wire.WireError):
        wire.decode_item(json.dumps({"seq": 1} | identifiers).encode())


def test_a_number_that_is_not_finite_is_a_fault() -> None:
    sample = wire.WireSample("150021", float("inf"), "mm[Hg]")
    item = msgspec.structs.replace(item_of("2A35", "00 7800 5000 5D00"), samples=(sample,))
    assert wire.fault_of(item) == "not_finite"


# Identity ---------------------------------------------------------------------------------------


def test_uids_are_the_bytes_the_contract_says() -> None:
    raw = bytes.fromhex("00780050005D00")
    record = hashlib.sha256(b"ble-001122aabbcc2A35\0\0\0\2" + raw).hexdigest()[:32]
    assert wire.record_uid(DEVICE, "2A35", 2, raw) == record
    row = hashlib.sha256(BOOT.encode() + b"\0\0\0\0\0\0\0\7").hexdigest()[:32]
    assert wire.row_uid(BOOT.upper(), 7) == row


@pytest.mark.parametrize(
    ("device_time", "last_other", "is_trusted"),
    [
        (None, None, False),
        (datetime.fromisoformat("2019-12-31T23:59:59"), None, False),
        (datetime.fromisoformat("2020-01-01T00:00:00"), None, True),
        (
            datetime.fromisoformat("2026-01-02T00:00:00"),
            datetime.fromisoformat("2026-01-01T00:00:00"),
            True,
        ),
        (
            datetime.fromisoformat("2026-01-01T00:00:00"),
            datetime.fromisoformat("2026-01-01T00:00:00"),
            False,
        ),
        (
            datetime.fromisoformat("2025-01-01T00:00:00"),
            datetime.fromisoformat("2026-01-01T00:00:00"),
            False,
        ),
    ],
)
def test_a_device_time_is_trusted_if_late_and_moving(
    device_time: datetime | None, last_other: datetime | None, is_trusted: bool
) -> None:
    assert wire.is_trusted_time(device_time, last_other) is is_trusted


@pytest.mark.parametrize(
    ("is_numbered", "is_time_trusted", "is_seen_before", "identity"),
    [
        (True, False, True, wire.Identity("r", is_possible_repeat=False)),
        (False, True, True, wire.Identity("r", is_possible_repeat=False)),
        (False, False, True, wire.Identity("w", is_possible_repeat=True)),
        (False, False, False, wire.Identity("w", is_possible_repeat=False)),
    ],
)
def test_whose_uid(
    is_numbered: bool, is_time_trusted: bool, is_seen_before: bool, identity: wire.Identity
) -> None:
    got = wire.uid_for(
        record="r",
        row="w",
        is_numbered=is_numbered,
        is_time_trusted=is_time_trusted,
        is_seen_before=is_seen_before,
    )
    assert got == identity


@given(st.lists(st.integers(1, 40)))
def test_ranges_hold_what_was_given(seqs: list[int]) -> None:
    ranges = wire.seq_ranges(seqs)
    assert {n for first, last in ranges for n in range(first, last + 1)} == set(seqs)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges))


# Configuration ----------------------------------------------------------------------------------

KEY = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
BODY = wire.ConfigBody(for_="home-0001", serial=3, issued=NOW, placement="p")


def opened(config: wire.Config) -> wire.ConfigBody:
    def verify(kid: str, signature: bytes, message: bytes) -> bool:
        KEY.public_key().verify(signature, message)
        return kid == "k1"

    return wire.open_config(config, gateway="home-0001", last_serial=-1, verify=verify)


def test_what_is_sealed_opens() -> None:
    config = wire.seal_config(BODY, kid="k1", sign=KEY.sign)
    assert opened(config) == BODY
    assert wire.signed_bytes(b"x") == b"hemma-config-v1\0x"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "unsupported_version"),
        ({"kid": "k2"}, "bad_signature"),
        ({"sig": "AAAAA"}, "bad_encoding"),
        ({"body": "å"}, "bad_encoding"),
    ],
)
def test_a_changed_seal_is_refused(change: dict[str, object], reason: str) -> None:
    config = wire.seal_config(BODY, kid="k1", sign=KEY.sign)
    with pytest.raises(wire.ConfigRefused) as error:
        opened(msgspec.structs.replace(config, **change))
    assert error.value.reason == reason


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[" * 5000])
def test_a_signed_body_that_is_none_is_refused(body: bytes) -> None:
    def as_text(data: bytes) -> str:
        return wire.seal_config(BODY, kid="k1", sign=lambda _: data).sig

    config = wire.Config(1, "k1", as_text(body), as_text(KEY.sign(wire.signed_bytes(body))))
    with pytest.raises(wire.ConfigRefused, match="bad_body"):
        opened(config)


# Topics -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", sorted(wire.LEAVES))
def test_topics_there_and_back(leaf: str) -> None:
    assert wire.gateway_of(wire.topic("home-0001", leaf)) == ("home-0001", leaf)


@pytest.mark.parametrize("gateway", ["", "Home", "a/b", "+", "#", "a" * 41, "å", "a\n"])
def test_a_gateway_outside_the_alphabet_has_no_topic(gateway: str) -> None:
    with pytest.raises(wire.WireError, match="bad_gateway"):
        wire.topic(gateway, "ack")


@pytest.mark.parametrize(
    "name", ["", "hemma/v1/a/other", "hemma/v2/a/ack", "hemma/v1/A/ack", "x/hemma/v1/a/ack"]
)
def test_foreign_topics(name: str) -> None:
    with pytest.raises(wire.WireError, match="bad_topic"):
        wire.gateway_of(name)
