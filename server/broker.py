"""One connection to the MQTT broker, tended by the event loop it is made in.

The rules of this file (measured with mosquitto 2.0.11; contract.md 1):

- MQTT 5, clean start, session expiry 0: a dead worker's share of the messages must not wait for it.
- Receive Maximum is how much the broker may have in hand here; each message is acknowledged by
  :meth:`BrokerClient.confirm` only, after it is safe.
- Message ids are reused after a lost connection. An acknowledgement carries the number of the
  connection its message came on, and is dropped when that one is gone: it would confirm another
  message.
- No thread but for the moment of connecting: beside one that computes, a network thread waits five
  milliseconds for the interpreter after each piece it reads, which halved what ingest could take.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
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
CONNECT_TIMEOUT_S = 5.0
# How often the connection is asked whether it lives; a broker that is gone shows by KEEPALIVE_S.
TEND_S = 1.0
# At the end, for what is still to be told.
LEAVE_MAX_S = 1.0
PUBLISH_TIMEOUT_S = 10.0
# Packets read before others have their turn.
READ_MAX = 100
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
        self._resources = AsyncExitStack()
        self._gone = asyncio.Event()
        self._is_welcome = False
        self._handled = 0
        self._client = self._make_client()

    async def __aenter__(self) -> Self:
        """Begin to connect; that keeps trying, so this does not wait for the broker."""
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
        tasks = await self._resources.enter_async_context(asyncio.TaskGroup())
        keeper = tasks.create_task(self._stay_connected(), name=f"broker-{self._role}")
        self._resources.push_async_callback(self._leave)
        self._resources.callback(keeper.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; what is not confirmed goes to another worker."""
        await self._resources.aclose()

    async def ready(self) -> None:
        """Wait until the broker has granted the subscriptions."""
        await self._ready.wait()

    async def take(self, limit: int, max_bytes: int = sys.maxsize) -> list[Message]:
        """Wait for a message; return it with what else is here already, within both bounds.

        The first is taken however large it is. Several tasks may take; each message goes to one.
        """
        while not self._waiting:
            self._arrival.clear()
            await self._arrival.wait()
        taken = [self._waiting.popleft()]
        left = max_bytes - len(taken[0].payload)
        while self._waiting and len(taken) < limit and len(self._waiting[0].payload) <= left:
            taken.append(self._waiting.popleft())
            left -= len(taken[-1].payload)
        return taken

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
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(PUBLISH_QUEUE_MAX)
        client.max_inflight_messages_set(self._receive_maximum)
        client.on_socket_open = _without_delay
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_register_write
        client.on_socket_unregister_write = self._on_socket_unregister_write
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    async def _stay_connected(self) -> None:
        pause_s = float(RECONNECT_MIN_S)
        while True:
            self._is_welcome = False
            if await self._connect():
                await self._tend()
            if self._is_welcome:
                pause_s = RECONNECT_MIN_S
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, RECONNECT_MAX_S)

    async def _connect(self) -> bool:
        self._gone.clear()
        attempt = asyncio.ensure_future(asyncio.to_thread(self._client.reconnect))
        try:
            await asyncio.shield(attempt)
        except OSError as error:
            log.warning("broker_away", role=self._role, error=str(error))
            return False
        except asyncio.CancelledError:
            with suppress(OSError):
                await attempt
            raise
        opened = self._client.socket()
        if opened is None:
            return False
        self._loop.add_reader(opened, self._read)
        self._write_soon()
        return True

    async def _tend(self) -> None:
        """Return when the connection is gone."""
        while not self._gone.is_set():
            try:
                async with asyncio.timeout(TEND_S):
                    await self._gone.wait()
            except TimeoutError:
                self._client.loop_misc()

    async def _leave(self) -> None:
        """Say goodbye, after all that is still to be told."""
        self._client.disconnect()
        left = self._client.socket()
        if left is None:
            return
        try:
            async with asyncio.timeout(LEAVE_MAX_S):
                await self._gone.wait()
        except TimeoutError:
            self._on_socket_close(self._client, None, left)
            left.close()

    def _read(self) -> None:
        for _ in range(READ_MAX):
            before = self._handled
            self._client.loop_read()
            if self._handled == before:
                return

    def _write_soon(self) -> None:
        opened = self._client.socket()
        if opened is not None and self._client.want_write():
            self._loop.add_writer(opened, self._client.loop_write)

    def _on_socket_register_write(self, _client: mqtt.Client, _data: Any, _socket: Any) -> None:
        # Also from the thread that connects.
        self._loop.call_soon_threadsafe(self._write_soon)

    def _on_socket_unregister_write(self, _client: mqtt.Client, _data: Any, left: Any) -> None:
        self._loop.remove_writer(left)

    def _on_socket_close(self, _client: mqtt.Client, _data: Any, left: Any) -> None:
        self._loop.remove_reader(left)
        self._loop.remove_writer(left)
        self._gone.set()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker_refused", role=self._role, reason=str(reason))
            return
        self._connection += 1
        self._is_welcome = True
        log.info("broker_connected", role=self._role, connection=self._connection)
        if self._subscriptions:
            client.subscribe(self._subscriptions)
        else:
            self._ready.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._connection += 1  # also between two connections nothing of the first may be confirmed
        log.info("broker_disconnected", role=self._role, reason=str(reason))
        self._ready.clear()

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
        self._ready.set()

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
        self._handled += 1
        self._arrived(message)

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._handled += 1
        # 0x10 "no matching subscribers" is no failure to MQTT, but nobody got it.
        self._published(mid, reason.value == 0)

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
