"""A server of few words: hears what homes publish and answers as its script says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices import wire
from hemma.broker import SERVER_USER
from hemma.broker import Broker as Mosquitto

LEAVES = ("measurements", "backlog", "status", "log", "config/reported")


@dataclass(frozen=True)
class Heard:
    """One message of a gateway."""

    leaf: str
    payload: bytes
    correlation: str
    is_retained: bool

    @property
    def seqs(self) -> list[int]:
        return [wire.decode_item(raw).seq for raw in wire.decode_envelope(self.payload).items]


Script = Callable[[Heard], wire.Ack | None]


def ack_all(heard: Heard) -> wire.Ack:
    """The verdict of a server to which everything is welcome."""
    envelope = wire.decode_envelope(heard.payload)
    return wire.Ack(v=1, msg=envelope.msg, boot=envelope.boot, stored=wire.seq_ranges(heard.seqs))


def silence(_heard: Heard) -> None:
    """The verdict of a server that has died."""
    return


@dataclass
class ScriptedServer:
    """Subscribed to all homes; ``script`` is asked about each envelope."""

    script: Script = ack_all
    heard: list[Heard] = field(default_factory=list)
    client: Client = field(
        default_factory=lambda: Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5
        )
    )
    _ready: threading.Event = field(default_factory=threading.Event)

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    def of(self, *leaves: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.leaf in leaves]

    def status(self) -> list[wire.Status]:
        return [wire.decode(heard.payload, wire.Status) for heard in self.of("status")]

    def tell(
        self, leaf: str, message: msgspec.Struct, gateway: str = "gw-1", *, retain: bool = False
    ) -> None:
        self.tell_bytes(leaf, wire.encode(message), gateway, retain=retain)

    def tell_bytes(
        self, leaf: str, payload: bytes, gateway: str = "gw-1", *, retain: bool = False
    ) -> None:
        info = self.client.publish(wire.topic(gateway, leaf), payload, qos=1, retain=retain)
        info.wait_for_publish(5)

    def _on_message(self, client: Client, _userdata: object, message: MQTTMessage) -> None:
        gateway, leaf = wire.gateway_of(message.topic)
        correlation = getattr(message.properties, "CorrelationData", b"").decode()
        heard = Heard(leaf, bytes(message.payload), correlation, message.retain)
        self.heard.append(heard)
        if leaf in ("measurements", "backlog"):
            answer = self.script(heard)
            if answer is not None:
                client.publish(wire.topic(gateway, "ack"), wire.encode(answer), qos=1)


def _subscribe(client: Client, *_arguments: object) -> None:
    client.subscribe([(f"hemma/v1/+/{leaf}", 1) for leaf in LEAVES])


@contextmanager
def serving(mosquitto: Mosquitto, script: Script = ack_all) -> Iterator[ScriptedServer]:
    """A scripted server on ``mosquitto`` while the block lasts."""
    server = ScriptedServer(script)
    client = server.client
    client.username_pw_set(SERVER_USER, mosquitto.passwords[SERVER_USER])
    client.on_message = server._on_message
    client.on_connect = _subscribe
    client.on_subscribe = lambda *_: server._ready.set()
    client.on_disconnect = lambda *_: server._ready.clear()
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    assert mosquitto.port is not None
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert server._ready.wait(5)
    try:
        yield server
    finally:
        client.disconnect()
        client.loop_stop()
