"""Every verdict of contract.md 1, by the examples that both sides read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devices import wire
from devices.wire import Nack
from server.ingest.verdict import Verdict, acknowledgement, judge
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


def test_too_large() -> None:
    payload = envelope(pressure(1, ctx={f"k{n}": "x" * 100 for n in range(700)}))
    assert len(payload) > wire.PAYLOAD_MAX_BYTES
    assert nacks(verdict(payload)) == [Nack(None, "too_large", "never")]


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
