"""One connection to the MQTT broker: a network thread that hands over what arrives.

The rules of this file (measured with mosquitto 2.0.11; contract.md 1):

- MQTT 5, clean start, session expiry 0: a dead worker's share of the messages must not wait for it.
- Receive Maximum is how much the broker may have in hand here; each message is acknowledged by
  :meth:`BrokerClient.confirm` only, after it is safe.
- Message ids are reused after a lost connection. An acknowledgement carries the number of the
  connection its message came on, and is dropped when that one is gone: it would confirm another
  message.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from server.settings import Settings

KEEPALIVE_S = 20
RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 15
PUBLISH_TIMEOUT_S = 10.0
# Messages in hand, whatever the broker makes of the Receive Maximum: at most 128 MB of payloads.
HELD_MAX = 2_000
# Answers that wait for a broker that is away; more are dropped, and the sender resends.
PUBLISH_QUEUE_MAX = 10_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it arrived. ``connection`` numbers the connection it came on."""

    topic: str
    payload: bytes
    correlation: bytes | None
    is_retained: bool
    quality_of_service: int
    packet_id: int
    connection: int


class BrokerClient:
    """A context manager that connects, subscribes again after each loss, and queues what comes.

    ``receive_maximum`` is what the broker is asked to have in hand here at most; a broker may not
    listen (mosquitto 2.0.11 with ``max_inflight_messages 0`` does not), so the queue has its own
    bound, :data:`HELD_MAX`. Beyond it the oldest are dropped unconfirmed, and their senders resend.
    """

    def __init__(
        self, settings: Settings, *, role: str, subscriptions: Sequence[str], receive_maximum: int
    ) -> None:
        self._settings = settings
        self._role = role
        self._subscriptions = [(one, SubscribeOptions(qos=1)) for one in subscriptions]
        self._receive_maximum = receive_maximum
        self._connection = 0
        self._waiting: deque[Message] = deque()
        self._arrival = asyncio.Event()
        self._ready = asyncio.Event()
        self._sent: dict[int, asyncio.Future[bool]] = {}
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()

    async def __aenter__(self) -> Self:
        """Start the network thread; it keeps trying, so this does not wait for the broker."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._receive_maximum
        properties.SessionExpiryInterval = 0
        self._client.connect_async(
            self._settings.mqtt_host,
            self._settings.mqtt_port,
            keepalive=KEEPALIVE_S,
            clean_start=True,
            properties=properties,
        )
        self._client.loop_start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect and end the thread; what is not confirmed goes to another worker."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def ready(self) -> None:
        """Wait until the broker has granted the subscriptions."""
        await self._ready.wait()

    async def take(self, limit: int) -> list[Message]:
        """Wait for a message; return it with what else is here already, at most ``limit``."""
        while not self._waiting:
            self._arrival.clear()
            await self._arrival.wait()
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def confirm(self, message: Message) -> None:
        """Tell the broker that ``message`` is safe, unless its connection is gone."""
        if message.quality_of_service and message.connection == self._connection:
            self._client.ack(message.packet_id, message.quality_of_service)

    def publish(self, topic: str, payload: bytes, *, correlation: bytes | None = None) -> None:
        """Send once, at least as far as a broker that stays; nobody waits for it."""
        self._client.publish(topic, payload, qos=1, properties=_correlated(correlation))

    async def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send, and return whether the broker took it and has somebody to give it to.

        False also when the broker does not answer within :data:`PUBLISH_TIMEOUT_S`.
        """
        packet_id = self._client.publish(topic, payload, qos=1, retain=retain).mid
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._sent[packet_id] = answer
        try:
            return await asyncio.wait_for(answer, PUBLISH_TIMEOUT_S)
        except TimeoutError:
            return False
        finally:
            self._sent.pop(packet_id, None)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"server-{self._role}-{os.getpid()}-{secrets.token_hex(4)}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        password = self._settings.mqtt_password()
        if password is not None:
            client.username_pw_set(self._settings.mqtt_username, password)
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.max_queued_messages_set(PUBLISH_QUEUE_MAX)
        client.max_inflight_messages_set(self._receive_maximum)
        client.on_socket_open = _without_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # The network thread runs these; they count connections and hand over to the event loop.

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker_refused", role=self._role, reason=str(reason))
            return
        self._connection += 1
        log.info("broker_connected", role=self._role, connection=self._connection)
        if self._subscriptions:
            client.subscribe(self._subscriptions)
        else:
            self._loop.call_soon_threadsafe(self._ready.set)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._connection += 1  # also between two connections nothing of the first may be confirmed
        log.info("broker_disconnected", role=self._role, reason=str(reason))
        self._loop.call_soon_threadsafe(self._ready.clear)

    def _on_subscribe(
        self,
        client: mqtt.Client,
        _data: Any,
        _mid: int,
        reasons: Sequence[ReasonCode],
        _properties: Any,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("subscription_refused", role=self._role, reasons=[str(r) for r in reasons])
            return
        self._loop.call_soon_threadsafe(self._ready.set)

    def _on_message(self, _client: mqtt.Client, _data: Any, arrived: mqtt.MQTTMessage) -> None:
        message = Message(
            arrived.topic,
            bytes(arrived.payload),
            getattr(arrived.properties, "CorrelationData", None),
            arrived.retain,
            arrived.qos,
            arrived.mid,
            self._connection,
        )
        self._loop.call_soon_threadsafe(self._arrived, message)

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        # 0x10 "no matching subscribers" is no failure to MQTT, but nobody got it.
        self._loop.call_soon_threadsafe(self._published, mid, reason.value == 0)

    def _arrived(self, message: Message) -> None:
        if len(self._waiting) >= HELD_MAX:
            self._waiting.popleft()
            log.error("message_dropped", role=self._role, held=HELD_MAX)
        self._waiting.append(message)
        self._arrival.set()

    def _published(self, mid: int, was_taken: bool) -> None:
        answer = self._sent.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(was_taken)


def _correlated(correlation: bytes | None) -> Properties | None:
    if correlation is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties


def _without_delay(_client: mqtt.Client, _data: Any, opened: Any) -> None:
    """Send small packets at once: an acknowledgement is the lamp in somebody's home."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
