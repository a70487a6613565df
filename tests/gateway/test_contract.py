"""The gateway's side of docs/contract: it acts on the server's examples and writes like its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices import wire
from devices.gatt import blood_pressure
from gateway.answers import Answers
from gateway.clock import ClockReading
from gateway.instructions import apply_config, open_requests
from gateway.outbox import Outbox
from tests.gateway.fix_home import KERNEL_BOOT, Home, cuff_value, make_home

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
# docs/contract/README.md: the private key is the bytes 0 to 31.
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EARLY = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
GATEWAY = "home-0001"


def example(name: str) -> Any:
    return json.loads((CONTRACT / f"{name}.json").read_text())


def payload(example: Any) -> bytes:
    return json.dumps(example).encode()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


@pytest.fixture
def answers(home: Home) -> Answers:
    return Answers(
        outbox=home.outbox,
        gateway=GATEWAY,
        key=SIGNER.public_key().public_bytes_raw(),
        clock=lambda: ClockReading(EARLY, "ntp", 1000),
        jitter=lambda: 0.5,
    )


def test_an_ack_ends_its_rows_and_keeps_the_refused_one(home: Home, answers: Answers) -> None:
    for systolic in range(120, 168):
        home.measure(systolic)
    now_ms = home.clock.read().mono_ms
    for row in home.outbox.fresh(now_ms=now_ms, limit=100):
        msg = str(UUID(int=row.seq))
        home.outbox.mark_sent([row], msg=msg, now_ms=now_ms, next_try_ms=[now_ms])
    answers.take("ack", payload(example("ack") | {"boot": home.outbox.boot}))
    states = dict(home.outbox.connection.execute("SELECT seq, state FROM outbox"))
    assert [seq for seq, state in states.items() if state == "stored"] == [41, *range(43, 49)]
    assert states[42] == "rejected"


def test_a_receipt_lights_the_lamp(home: Home, answers: Answers) -> None:
    home.measure(128)
    told = example("receipts")
    (uid,) = home.outbox.connection.execute("SELECT uid FROM outbox").fetchone()
    told["items"][0]["uid"] = uid
    answers.take("receipts", payload(told))
    seen = home.outbox.connection.execute("SELECT seen_t, seen_unit FROM outbox").fetchone()
    assert tuple(seen) == ("2026-11-22T06:16:00.000Z", "Hemsjukvården Norr")


def test_a_request_waits_for_the_home_screen(home: Home, answers: Answers) -> None:
    answers.take("requests", payload(example("requests")))
    (asked,) = open_requests(home.outbox.connection, EARLY)
    assert asked.text["sv"] == example("requests")["text"]["sv"]


def applied(outbox: Outbox, config: bytes, gateway: str = GATEWAY) -> wire.ConfigReported:
    key = SIGNER.public_key().public_bytes_raw()
    return apply_config(outbox.connection, config, gateway=gateway, key=key, at=EARLY)


def sealed(serial: int, gateway: str) -> bytes:
    body = wire.ConfigBody(for_=gateway, serial=serial, issued=EARLY, placement="p")
    return wire.encode(wire.seal_config(body, kid="k1", sign=SIGNER.sign))


def test_a_config_is_applied_and_reported(home: Home) -> None:
    reported = applied(home.outbox, payload(example("config")))
    assert json.loads(wire.encode(reported)) == example("config-reported")


@pytest.mark.parametrize("path", sorted((CONTRACT / "bad").glob("config-*.json")), ids=str)
def test_a_bad_config_is_refused_with_its_reason(home: Home, path: Path) -> None:
    case = json.loads(path.read_text())
    first = applied(home.outbox, sealed(case["last_serial"], case["gateway"]), case["gateway"])
    assert first.ok
    reported = applied(home.outbox, payload(case["config"]), case["gateway"])
    assert not reported.ok
    assert reported.serial == case["last_serial"]
    assert str(reported.error).startswith(case["reason"])


def test_what_it_writes_has_the_fields_of_the_example(home: Home) -> None:
    home.measure(128, datetime(2026, 11, 22, 7, 12))  # noqa: DTZ001 - a device's local time
    (stored,) = home.outbox.connection.execute("SELECT item FROM outbox").fetchone()
    item = wire.decode_item(msgspec.Raw(stored))
    written = json.loads(wire.encode(item))
    wanted = example("item-value")
    assert set(written) == set(wanted)
    assert [s["code"] for s in written["samples"]] == ["150021", "150022", "150023"]
    assert written["raw"] == cuff_value(128, item.dev_t).hex()
    assert blood_pressure.decode(bytes.fromhex(wanted["raw"])).samples[0].value == 128.0


def test_a_second_outbox_has_a_boot_of_its_own(tmp_path: Path) -> None:
    one, other = (Outbox(tmp_path / name, KERNEL_BOOT) for name in ("a", "b"))
    assert one.boot != other.boot
    one.close()
    other.close()
