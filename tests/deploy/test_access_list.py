"""The broker's template and access list on a real mosquitto: nobody speaks or hears for another."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hemma.broker import SERVER_USER as SERVER
from hemma.broker import free_port, mosquitto_program
from hemma.errors import MissingPartError
from tests.fix_missing import missing
from tests.fix_mosquitto import Listeners, fill_template

pytestmark = pytest.mark.integration

GATEWAYS = ("gw-1", "gw-2")
TO_SERVER = ("measurements", "backlog", "status", "log", "config/reported")
TO_GATEWAY = ("ack", "receipts", "requests", "config")
NOT_AUTHORIZED = 0x87
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def listeners() -> Iterator[Listeners]:
    """A broker made from the template."""
    try:
        program = mosquitto_program()
    except MissingPartError as error:
        missing(error.what)
    # mosquitto gives up root for a user of its own, who must reach the files.
    folder = Path(tempfile.mkdtemp(prefix="hemma-test-", dir="/tmp"))
    folder.chmod(0o755)
    ports = Listeners(free_port(), free_port())
    conf = fill_template(folder, ports, GATEWAYS)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([program, "-c", str(conf)], stdout=out, stderr=out)
    try:
        _wait(lambda: _connects(ports.server, SERVER), (folder / "out").read_text)
        yield ports
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Client:
    """One connection; ``answers`` is the reason code of each publication."""

    mqtt: mqtt.Client
    connected: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    granted: list[int] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)

    def say(self, topic: str, payload: bytes = b"x") -> int:
        """Publish and return the broker's answer."""
        mid = self.mqtt.publish(topic, payload, qos=1).mid
        _wait(lambda: mid in self.answers)
        return self.answers[mid]

    def listen(self, *filters: str) -> None:
        """Subscribe; the broker grants what it will not deliver."""
        self.mqtt.subscribe([(one, 1) for one in filters])
        _wait(lambda: bool(self.granted))


@contextmanager
def client(port: int, user: str, *, client_id: str = "") -> Iterator[Client]:
    """Connect as ``user``, whose password is the name."""
    inner = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    inner.username_pw_set(user, user)
    inner.reconnect_delay_set(60, 60)
    one = Client(inner)
    inner.on_connect = lambda _c, _d, _f, reason, _p: one.connected.append(reason.value)
    inner.on_disconnect = lambda _c, _d, _f, reason, _p: one.lost.append(reason.value)
    inner.on_subscribe = lambda _c, _d, mid, _r, _p: one.granted.append(mid)
    inner.on_message = lambda _c, _d, m: one.heard.append((m.topic, bytes(m.payload)))

    def on_publish(_client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        one.answers[mid] = reason.value

    inner.on_publish = on_publish
    inner.connect("127.0.0.1", port)
    inner.loop_start()
    try:
        _wait(lambda: bool(one.connected or one.lost))
        yield one
    finally:
        inner.disconnect()
        inner.loop_stop()


def _connects(port: int, user: str) -> bool:
    try:
        with client(port, user) as one:
            return one.connected == [0]
    except OSError:
        return False


def _wait(is_so: Callable[[], bool], why: Callable[[], str] = str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, why()
        time.sleep(0.02)


def test_a_gateway_speaks_under_its_own_name_only(listeners: Listeners) -> None:
    with client(listeners.server, SERVER) as server, client(listeners.gateways, "gw-1") as one:
        server.listen("#", "$share/hemma-ingest/hemma/v1/+/measurements")
        for leaf in TO_SERVER:
            assert one.say(f"hemma/v1/gw-1/{leaf}") == 0
        spoofed = [f"hemma/v1/gw-2/{leaf}" for leaf in (*TO_SERVER, *TO_GATEWAY)]
        own_wrong = [f"hemma/v1/gw-1/{leaf}" for leaf in (*TO_GATEWAY, "other", "config/x")]
        strange = ["hemma/v1/_hemma-server/measurements", "hemma/v2/gw-1/measurements", "x"]
        for topic in (*spoofed, *own_wrong, *strange):
            assert one.say(topic) == NOT_AUTHORIZED, topic
        assert one.say("hemma/v1/gw-1/measurements", b"last") == 0
        _wait(lambda: ("hemma/v1/gw-1/measurements", b"last") in server.heard)
        assert {topic for topic, _ in server.heard} == {
            f"hemma/v1/gw-1/{leaf}" for leaf in TO_SERVER
        }


def test_a_gateway_hears_its_own_topics_only(listeners: Listeners) -> None:
    with (
        client(listeners.server, SERVER) as server,
        client(listeners.gateways, "gw-1") as one,
        client(listeners.gateways, "gw-2") as two,
    ):
        one.listen("#", "hemma/v1/gw-2/ack", "$share/g/hemma/v1/gw-2/#")
        for name in ("gw-2", "gw-1"):
            for leaf in TO_GATEWAY:
                assert server.say(f"hemma/v1/{name}/{leaf}") in (0, 0x10)
        assert two.say("hemma/v1/gw-2/measurements") in (0, 0x10)
        _wait(lambda: len({topic for topic, _ in one.heard}) >= len(TO_GATEWAY))
        assert {topic for topic, _ in one.heard} == {f"hemma/v1/gw-1/{leaf}" for leaf in TO_GATEWAY}


def test_the_server_does_not_speak_for_a_gateway(listeners: Listeners) -> None:
    with client(listeners.server, SERVER) as server:
        for leaf in TO_SERVER:
            assert server.say(f"hemma/v1/gw-1/{leaf}") == NOT_AUTHORIZED


def test_each_listener_has_its_own_users(listeners: Listeners) -> None:
    assert _connects(listeners.gateways, "gw-1")
    assert not _connects(listeners.server, "gw-1")
    assert not _connects(listeners.gateways, SERVER)


def test_a_session_is_not_taken_by_its_client_id(listeners: Listeners) -> None:
    with client(listeners.gateways, "gw-2") as victim:
        victim.listen("hemma/v1/gw-2/ack")
        with client(listeners.gateways, "gw-1", client_id="gw-2") as thief:
            assert thief.say("hemma/v1/gw-1/log") in (0, 0x10)
            assert not victim.lost
        with client(listeners.gateways, "gw-2", client_id="anything"):
            _wait(lambda: bool(victim.lost))


def test_a_message_above_the_limit_ends_the_connection(listeners: Listeners) -> None:
    with client(listeners.gateways, "gw-1") as one:
        assert one.say("hemma/v1/gw-1/measurements", b"x" * 100_000) in (0, 0x10)
        one.mqtt.publish("hemma/v1/gw-1/measurements", b"x" * 300_000, qos=1)
        _wait(lambda: bool(one.lost))
