"""One MQTT connection: paho on its own thread at one end, a bounded list of events at the other.

A Link lives from CONNECT to DISCONNECT and is never reused, so no packet number, acknowledgement or
queued publish of a former connection can be mistaken for one of this.

**Clean start false, session expiry one hour.** Acks, receipts and configuration survive without the
broker's memory (rows are sent again, receipts and configuration are repeated), but a `requests`
message is sent once: over a short break the broker keeps it for us. Incoming messages are
acknowledged by hand after they are handled, and Receive Maximum bounds how many can be under way.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices import wire
from gateway.errors import LinkLost, LinkRefused

SUBSCRIBED = ("ack", "receipts", "requests", "config")
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
SESSION_EXPIRY_S = 3600
RECEIVE_MAXIMUM = 50
# Reaches further than Receive Maximum and our own window of publishes together ever can.
EVENTS_MAX = 512
SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10
FIRST_ERROR = 0x80
SESSION_TAKEN_OVER = 0x8E
QOS = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message from the server on ``leaf`` of our own topics."""

    leaf: str
    payload: bytes
    mid: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The broker's PUBACK for our message ``mid``."""

    mid: int
    reason_code: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone; ``reason_code`` is the broker's, 0 where it gave none."""

    reason_code: int
    reason: str


LinkEvent = Arrived | Taken | Closed


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and as whom we come. ``name`` is client id and user name."""

    name: str
    host: str
    port: int
    password: str | None


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the broker has taken us, since when (boot-time clock), and why not."""

    is_up: bool
    since_mono_ms: int
    reason: str | None = None


class Link:
    """A connection that is up; made by :func:`connect`.

    Events wait in order for :meth:`drain`; ``bell`` rings when there are some.
    """

    def __init__(self, broker: Broker, *, will: bytes, bell: asyncio.Event) -> None:
        self._name = broker.name
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._events: deque[LinkEvent] = deque()
        self._connected: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if broker.password is not None:
            self._client.username_pw_set(broker.name, broker.password)
        self._client.will_set(wire.topic(broker.name, "status"), will, qos=QOS, retain=True)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect

    def publish(
        self, leaf: str, payload: bytes, *, retain: bool = False, qos: int = QOS, msg: str = ""
    ) -> int:
        """Hand a message to paho; returns its number, which a Taken event will carry.

        ``msg`` travels as Correlation Data. Raises LinkLost where the connection is gone.
        """
        properties = None
        if msg:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
            properties.CorrelationData = msg.encode()
        info = self._client.publish(
            wire.topic(self._name, leaf), payload, qos=qos, retain=retain, properties=properties
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(f"The message could not be sent ({info.rc.name}).", "It is kept.")
        return info.mid

    def drain(self) -> tuple[LinkEvent, ...]:
        """Return what has happened since the last call, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def confirm(self, message: Arrived) -> None:
        """Tell the broker that ``message`` has been handled."""
        self._client.ack(message.mid, QOS)

    async def open(self, broker: Broker) -> None:
        """Connect and subscribe. Raises LinkLost, or LinkRefused where the broker says no."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        try:
            await asyncio.to_thread(
                self._client.connect,
                broker.host,
                broker.port,
                keepalive=KEEPALIVE_S,
                clean_start=False,
                properties=properties,
            )
            self._client.loop_start()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                answer = await self._connected
                if not answer.is_failure:
                    self._subscribe()
                    await self._subscribed
        except (OSError, ValueError) as error:
            raise LinkLost(f"No broker answers ({error}).", "Values are kept.") from error
        if answer.is_failure:
            raise LinkRefused(
                f"The broker refuses {broker.name}: {answer}.",
                "Check name and password; enrol again.",
            )

    async def close(self, *, with_will: bool) -> None:
        """Disconnect; ``with_will`` lets the broker publish the will, as after an error."""
        name = "Disconnect with will message" if with_will else "Normal disconnection"
        self._client.disconnect(reasoncode=ReasonCode(PacketTypes.DISCONNECT, name))
        await asyncio.to_thread(self._client.loop_stop)

    def _subscribe(self) -> None:
        options = SubscribeOptions(qos=QOS)
        self._client.subscribe([(wire.topic(self._name, leaf), options) for leaf in SUBSCRIBED])

    # Below: paho's thread. Each callback hands a value to the loop's thread and returns.

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._loop.call_soon_threadsafe(_resolve, self._connected, reason_code)

    def _on_subscribe(self, *_arguments: object) -> None:
        self._loop.call_soon_threadsafe(_resolve, self._subscribed, None)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        leaf = message.topic.split("/", 3)[-1]
        self._hand_over(Arrived(leaf, bytes(message.payload), message.mid))

    def _on_publish(
        self,
        _client: Client,
        _userdata: object,
        mid: int,
        reason_code: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._hand_over(Taken(mid, reason_code.value))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._hand_over(Closed(reason_code.value, str(reason_code)))

    def _hand_over(self, event: LinkEvent) -> None:
        self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: LinkEvent) -> None:
        if isinstance(event, Closed):
            _fail(self._connected, event)
            _fail(self._subscribed, event)
        if len(self._events) < EVENTS_MAX or isinstance(event, Closed):
            self._events.append(event)
        # Beyond the bound the message stays unacknowledged: the broker gives it again.
        self._bell.set()


@asynccontextmanager
async def connect(broker: Broker, *, will: bytes, bell: asyncio.Event) -> AsyncIterator[Link]:
    """Give a Link that is connected and subscribed, and close it afterwards.

    ``will`` is what the broker publishes, retained, as our status when we vanish; it is also
    published when the block raises. Raises LinkLost and LinkRefused.
    """
    link = Link(broker, will=will, bell=bell)
    is_clean = False
    try:
        await link.open(broker)
        yield link
        is_clean = True
    finally:
        await link.close(with_will=not is_clean)


def _send_at_once(_client: Client, _userdata: object, connection: object) -> None:
    # Else a second small message waits 40 ms for the first one's TCP acknowledgement.
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[T], event: Closed) -> None:
    if not future.done():
        future.set_exception(
            LinkLost(f"The connection broke before it was up ({event.reason}).", "Values are kept.")
        )
        # Nobody waits for the second future when the first one has failed already.
        future.exception()
