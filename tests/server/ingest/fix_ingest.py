"""A gateway's side of the broker, and the ingest role as a task, for the ingest and fleet tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from devices import wire
from devices.wire import Ack
from hemma.broker import Broker
from server.settings import Settings
from tests.server.homes import BOOT

DEADLINE_S = 30.0


def server_settings(url: str, broker: Broker, password_file: Path) -> Settings:
    assert broker.port is not None
    return Settings(url, mqtt_port=broker.port, mqtt_password_file=password_file)


def settings_environment(settings: Settings) -> dict[str, str]:
    return {
        "HEMMA_DATABASE_URL": settings.database_url,
        "HEMMA_MQTT_PORT": str(settings.mqtt_port),
        "HEMMA_MQTT_PASSWORD_FILE": str(settings.mqtt_password_file),
    }


@asynccontextmanager
async def running(
    role: Callable[[Settings, asyncio.Event], Any], settings: Settings
) -> AsyncIterator[None]:
    """Run a role as a task of the test, and stop it as the process would."""
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE_S * 3), asyncio.TaskGroup() as tasks:
        tasks.create_task(role(settings, stop))
        try:
            yield
        finally:
            stop.set()


async def eventually(is_so: Callable[[], bool], *, within_s: float = DEADLINE_S) -> None:
    """Wait until ``is_so``; the deadline is generous, for a slow machine."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - what is awaited lives in a database or another thread
            await asyncio.sleep(0.02)


class Sender:
    """A gateway as the broker sees it; resends what is not acknowledged when told to."""

    def __init__(self, broker: Broker, name: str = "gw-1") -> None:
        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self.answers: dict[int, int] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5
        )
        self._client.username_pw_set(name, broker.passwords[name])
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self.grants = 0
        self._client.on_subscribe = self._on_subscribe
        assert broker.port is not None
        self._client.connect_async("127.0.0.1", broker.port, keepalive=10)

    async def __aenter__(self) -> Self:
        self._client.loop_start()
        await eventually(lambda: self.is_ready)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def listen(self, topic: str) -> None:
        """Ask for ``topic``, whoever it belongs to; :attr:`grants` counts the answers."""
        self._client.subscribe(topic, 1)

    def send(self, *items: bytes | msgspec.Struct, leaf: str = "measurements") -> str:
        msg = str(uuid4())
        bodies = [item if isinstance(item, bytes) else wire.encode(item) for item in items]
        head = {"v": 1, "msg": msg, "boot": BOOT, "sent": "2026-11-22T12:00:00.000Z"}
        payload = json.dumps(head)[:-1].encode() + b', "items": [' + b", ".join(bodies) + b"]}"
        self.publish(f"hemma/v1/{self.name}/{leaf}", payload, msg)
        return msg

    def publish(self, topic: str, payload: bytes, msg: str = "", *, retain: bool = False) -> int:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = msg.encode()
        sent = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        return sent.mid

    def acks(self) -> list[Ack]:
        topic = f"hemma/v1/{self.name}/ack"
        return [wire.decode(payload, Ack) for name, payload in list(self.heard) if name == topic]

    def acked(self) -> set[int]:
        ranges = [span for ack in self.acks() for span in ack.stored]
        return {seq for first, last in ranges for seq in range(first, last + 1)}

    def nacked(self) -> dict[int | None, str]:
        return {nack.seq: nack.reason for ack in self.acks() for nack in ack.nack}

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        leaves = ("ack", "receipts", "requests", "config")
        client.subscribe([(f"hemma/v1/{self.name}/{leaf}", 1) for leaf in leaves])

    def _on_subscribe(self, *_: Any) -> None:
        self.grants += 1

    @property
    def is_ready(self) -> bool:
        return self.grants > 0

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))

    def _on_publish(
        self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any
    ) -> None:
        self.answers[mid] = reason.value
