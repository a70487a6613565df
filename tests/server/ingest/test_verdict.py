"""Every verdict of contract.md 1, by the examples that both sides read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import wire
from devices.wire import Item, Nack
from server.ingest.verdict import ITEMS_MAX, Refusal, Verdict, acknowledgement, judge
from tests.server.homes import BOOT, pressure

EXAMPLES = Path(__file__).parents[3] / "docs" / "contract"
MSG = "0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10"
TOPIC = "hemma/v1/gw-1/measurements"


def envelope(*items: bytes | msgspec.Struct, version: int = 1) -> bytes:
    bodies = [item if isinstance(item, bytes) else wire.encode(item) for item in items]
    head = {"v": version, "msg": MSG, "boot": BOOT, "sent": "2026-11-22T12:00:00.000Z"}
    return json.dumps(head)[:-1].encode() + b', "items": [' + b", ".join(bodies) + b"]}"


def verdict(payload: bytes, *, topic: str = TOPIC, known: tuple[str, ...] = ("gw-1",)) -> Verdict:
    return judge(topic, payload, correlation=MSG.encode(), known=known)


def nacks(judged: Verdict) -> list[Nack]:
    return [refusal.nack for refusal in judged.refused]


def bad_examples(prefix: str) -> list[Any]:
    paths = sorted((EXAMPLES / "bad").glob(f"{prefix}-*.json"))
    assert paths, "the examples are part of the contract"
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in paths]


@pytest.mark.parametrize("name", ["measurements", "backlog"])
def test_the_examples_are_accepted(name: str) -> None:
    payload = (EXAMPLES / f"{name}.json").read_bytes()
    judged = verdict(payload, topic=f"hemma/v1/gw-1/{name}")
    assert judged.accepted
    assert not judged.refused
    assert judged.leaf == name


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("item-*.json")), ids=lambda path: path.stem)
def test_every_kind_of_item_is_accepted(path: Path) -> None:
    judged = verdict(envelope(path.read_bytes()))
    assert len(judged.accepted) == 1


@pytest.mark.parametrize("example", bad_examples("item"))
def test_a_bad_item_is_refused_and_never_holds_up_good_ones(example: dict[str, Any]) -> None:
    bad = json.dumps(example["item"]).encode()
    judged = verdict(envelope(pressure(1), bad, pressure(2)))
    if example["verdict"] == "stored":
        assert [item.seq for item in judged.accepted] == [1, example["seq"], 2]
        return
    assert [item.seq for item in judged.accepted] == [1, 2]
    assert nacks(judged) == [Nack(example["seq"], example["reason"], "never")]
    assert judged.refused[0].payload == bad, "what was refused is kept as it came"


@pytest.mark.parametrize("example", bad_examples("payload"))
def test_a_bad_payload_is_refused_as_a_whole(example: dict[str, Any]) -> None:
    payload = example["payload"].encode()
    judged = verdict(payload)
    assert nacks(judged) == [Nack(example["seq"], example["reason"], example["retry"])]
    assert judged.msg == MSG, "its name is known from the MQTT property"
    kept = judged.refused[0].payload
    assert kept == (payload if example["verdict"] == "quarantine" else None)


@pytest.mark.parametrize(
    "payload", [b"", b"\xff\xfe", b"[]", b"null", b"7", b"[" * 50_000, b'{"v":"1"}', b'{"v":1}']
)
def test_rubbish_is_put_aside_with_a_reason(payload: bytes) -> None:
    (refusal,) = verdict(payload).refused
    assert refusal.nack.seq is None
    assert refusal.nack.reason
    assert refusal.payload == payload


def test_a_payload_may_have_65536_bytes_and_not_one_more() -> None:
    payload = envelope(pressure(1))
    largest = payload + b" " * (wire.PAYLOAD_MAX_BYTES - len(payload))
    assert [item.seq for item in verdict(largest).accepted] == [1]
    larger = largest + b" "
    assert nacks(verdict(larger)) == [Nack(None, "too_large", "never")]
    assert verdict(larger).refused[0].payload == larger


def item_with(**fields: bytes) -> bytes:
    """Return a good item of number 5 with some fields' JSON put in as it stands."""
    good: dict[str, bytes] = {
        name: json.dumps(value).encode()
        for name, value in json.loads(wire.encode(pressure(5))).items()
    }
    parts = (b'"%s":%s' % (name.encode(), value) for name, value in (good | fields).items())
    return b"{" + b",".join(parts) + b"}"


DEEP = b"[" * 10_000 + b"]" * 10_000
SAMPLE = b'[{"code":"150021","value":%s,"unit":"mm[Hg]"}]'


@pytest.mark.parametrize(
    ("bad", "seq"),
    [
        pytest.param(b"7", None, id="a number"),
        pytest.param(b"[]", None, id="a list"),
        pytest.param(b"{}", None, id="empty"),
        pytest.param(item_with(seq=b"-1"), None, id="negative number"),
        pytest.param(item_with(seq=b"0"), None, id="number zero"),
        pytest.param(item_with(seq=b"9223372036854775808"), None, id="number beyond 63 bits"),
        pytest.param(item_with(seq=b"1" + b"0" * 400), None, id="number of 401 digits"),
        pytest.param(item_with(seq=b"1.5"), None, id="broken number"),
        pytest.param(item_with(type=b'"diagnosis"'), 5, id="unknown type"),
        pytest.param(item_with(type=b"null"), 5, id="no type"),
        pytest.param(item_with(samples=SAMPLE % b"1e999"), 5, id="a value beyond all numbers"),
        pytest.param(item_with(samples=SAMPLE % b'"NaN"'), 5, id="not a number, as text"),
        pytest.param(item_with(model=b'"\xc3\x28"'), 5, id="invalid UTF-8 in a text"),
    ],
)
def test_a_bad_item_between_two_good_ones(bad: bytes, seq: int | None) -> None:
    judged = verdict(envelope(pressure(1), bad, pressure(2)))
    assert [item.seq for item in judged.accepted] == [1, 2]
    assert nacks(judged) == [Nack(seq, "bad_item", "never")]
    assert judged.refused[0].payload == bad


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(item_with(samples=SAMPLE % b"NaN"), id="NaN"),
        pytest.param(item_with(samples=SAMPLE % b"Infinity"), id="Infinity"),
        pytest.param(item_with(samples=SAMPLE % b"-Infinity"), id="-Infinity"),
        pytest.param(item_with(added=DEEP), id="deep nesting"),
        pytest.param(item_with(model=b'"\\ud800"'), id="half a character"),
        pytest.param(item_with()[:-1], id="cut short"),
    ],
)
def test_what_is_no_json_spoils_its_message_and_no_other(bad: bytes) -> None:
    judged = verdict(envelope(pressure(1), bad, pressure(2)))
    assert nacks(judged) == [Nack(None, "unparseable", "never")]
    assert judged.msg == MSG, "so that the gateway can send its items singly"


@pytest.mark.parametrize("known", [("gw-1",), ()])
def test_no_nesting_and_no_bytes_break_the_judge(known: tuple[str, ...]) -> None:
    for item in (DEEP, b"\xff", item_with(added=DEEP), item_with(seq=DEEP), b'{"seq":"\xff"}'):
        for version in (1, 2):
            judged = verdict(envelope(item, version=version), known=known)
            assert not judged.accepted
            assert judged.refused


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    twice = item_with()[:-1] + b',"seq":6,"type":"event","type":"value"}'
    (item,) = verdict(envelope(twice)).accepted
    assert (item.seq, item.type) == (6, "value")
    twice = item_with()[:-1] + b',"seq":6,"type":"diagnosis"}'
    assert nacks(verdict(envelope(twice))) == [Nack(6, "bad_item", "never")]


@pytest.mark.parametrize("known", [("gw-1",), ()])
def test_ten_thousand_items_get_an_answer_that_fits(known: tuple[str, ...]) -> None:
    judged = verdict(envelope(*[b"{}"] * 10_000), known=known)
    refused = nacks(judged)
    if known:
        assert refused == [Nack(None, "too_many_items", "never")]
    assert len(wire.encode(acknowledgement(judged, [], judged.refused))) <= wire.PAYLOAD_MAX_BYTES


@pytest.mark.parametrize("byte", [b"\xff", b"\0"])
def test_a_senders_long_name_of_a_message_is_not_repeated(byte: bytes) -> None:
    judged = judge(TOPIC, b"rubbish", correlation=byte * 65_535, known=("gw-1",))
    assert len(wire.encode(acknowledgement(judged, [], judged.refused))) < 1_000
    head = json.dumps({"v": 2, "msg": "m" * 30_000, "boot": "b" * 30_000}).encode()
    judged = verdict(head)
    assert len(wire.encode(acknowledgement(judged, [], judged.refused))) < 1_000


def test_the_largest_answer_fits_into_a_payload() -> None:
    items = [b'{"seq":%d}' % (2**63 - 1 - 2 * n) for n in range(ITEMS_MAX)]
    judged = verdict(envelope(*items))
    assert len(judged.refused) == ITEMS_MAX
    longest = [Refusal(Nack(r.nack.seq, "refused_by_database", "later")) for r in judged.refused]
    ack = acknowledgement(judged, [r.nack.seq or 0 for r in longest], longest)
    assert len(wire.encode(ack)) <= wire.PAYLOAD_MAX_BYTES


def test_an_unknown_gateway_keeps_its_rows() -> None:
    judged = verdict(envelope(pressure(4), pressure(5)), known=())
    later = [Nack(seq, "unknown_gateway", "later") for seq in (4, 5)]
    assert nacks(judged) == later
    assert not any(refusal.payload for refusal in judged.refused)
    assert (judged.msg, judged.boot) == (MSG, BOOT)
    assert nacks(verdict(b"rubbish", known=())) == [Nack(None, "unknown_gateway", "later")]


def test_a_later_version_names_the_rows_that_it_can() -> None:
    judged = verdict(envelope(pressure(4), b'{"number":5}', version=2))
    assert [(nack.seq, nack.retry) for nack in nacks(judged)] == [(4, "later"), (None, "later")]


def test_the_acknowledgement_holds_ranges_and_refusals() -> None:
    judged = verdict(envelope(pressure(1), b'{"seq":9}'))
    ack = acknowledgement(judged, [3, 1, 2, 7], judged.refused)
    assert (ack.msg, ack.boot, ack.stored) == (MSG, BOOT, ((1, 3), (7, 7)))
    assert ack.nack == (Nack(9, "bad_item", "never"),)


@pytest.mark.parametrize(
    "change",
    [
        {"items": {}},
        {"v": "1"},
        {"boot": 7},
        {"sent": None},
        {"items": None, "v": 2},
        {"boot": "x"},
    ],
)
@pytest.mark.parametrize("correlation", [None, b"another"])
def test_a_message_that_names_itself_is_answered_by_that_name(
    change: dict[str, Any], correlation: bytes | None
) -> None:
    payload = json.dumps({**json.loads(envelope(pressure(1))), **change}).encode()
    judged = judge(TOPIC, payload, correlation=correlation, known=("gw-1",))
    assert (judged.msg, bool(judged.refused)) == (MSG, True)
    assert judged.boot == (BOOT if "boot" not in change else judged.boot)


def test_a_name_of_the_wrong_type_is_none() -> None:
    payload = json.dumps({**json.loads(envelope()), "msg": 7}).encode()
    assert judge(TOPIC, payload, correlation=b"name", known=("gw-1",)).msg == "name"


_GOOD = wire.encode(pressure(1))
_PIECES = st.sampled_from(
    [
        _GOOD,
        wire.encode(pressure(2, dev=None)),
        wire.encode(pressure(3, t=None)),
        wire.encode(pressure(4, raw="")),
        wire.encode(Item(seq=5, uid="0" * 32, type="tombstone")),
        _GOOD.replace(b'"seq":1', b'"seq":0'),
        _GOOD.replace(b'"seq":1', b'"seq":7,"seq":1,"new":[{}]'),
        _GOOD.replace(b'"ctx":{}', b'"ctx":{"note":"\\u0000"}'),
        _GOOD.replace(b'"ctx":{}', b'"ctx":{"note":"\\\\u0000"}'),
        _GOOD.replace(b'"flags":[]', b'"flags":["\\ud800"]'),
        _GOOD[:-1],
        b"{}",
        b"7",
        b"null",
    ]
)


@given(st.lists(_PIECES, max_size=6), st.sampled_from([b'"v":1', b'"v":2', b'"v":"1"']))
@settings(deadline=None)
def test_read_in_one_go_or_item_by_item_the_verdict_is_the_same(
    pieces: list[bytes], version: bytes
) -> None:
    payload = envelope(*pieces).replace(b'"v": 1', version)
    whole = verdict(payload)
    # A field of the envelope that holds the zero character makes it be read item by item.
    apart = verdict(payload[:-1] + b',"added":"\\u0000"}')
    assert (whole.msg, whole.boot, whole.accepted) == (apart.msg, apart.boot, apart.accepted)
    assert [r.nack for r in whole.refused] == [r.nack for r in apart.refused]
