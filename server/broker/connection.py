"""One MQTT connection, tended by the event loop it is made in.

The rules of this file (measured with mosquitto 2.0.11; contract.md 1):

- MQTT 5, clean start, session expiry 0: a dead worker's share of the messages must not wait for it.
- paho connects, logs in, subscribes and says goodbye; messages and their acknowledgements go past
  it (``packets.py``, ``link.py``).
- Keeping alive is ours: paho's own would end a connection on which its PINGRESP waits behind a
  hundred thousand messages, or which is not read from for a while. Whatever comes is a sign of
  life, and what is not read says nothing.
- No thread but for the moment of connecting: beside one that computes, a network thread waits five
  milliseconds for the interpreter after each piece it reads, which halved what ingest could take.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Protocol, Self

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from server.broker.link import Link, LinkedClient
from server.broker.packets import PINGREQ, Frame, MalformedPacketError
from server.settings import Settings

# A broker ends a connection that says nothing for one and a half of it; we speak twice in it.
KEEPALIVE_S = 20
RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 15
CONNECT_TIMEOUT_S = 5.0
# How often the connection is asked whether it lives; a broker that is gone shows by KEEPALIVE_S.
TEND_S = 1.0
# At the end, for what is still to be told.
LEAVE_MAX_S = 1.0
# What the broker may have unanswered where it does not say (MQTT 5.0, 3.2.2.3.3).
RECEIVE_MAXIMUM_UNSAID = 65_535

log = structlog.get_logger(__name__)


class Half(Protocol):
    """What a connection is for: hearing messages, or telling them."""

    def is_roomy(self) -> bool:
        """Return whether more may be read."""

    def take(self, data: bytes, frames: Sequence[Frame]) -> None:
        """Take the PUBLISH and PUBACK packets of one read."""

    def opened(self, receive_maximum: int) -> None:
        """Begin: the broker has let us in, and so many messages may be unanswered there."""

    def lost(self) -> None:
        """Stop: nothing that was sent before is answered any more."""


class Connection:
    """A context manager that connects for a ``half``, and again after each loss.

    ``subscriptions`` are made each time. ``receive_maximum`` is what the broker is asked to have in
    hand here at most; mosquitto 2.0.11 does not listen once something waits.
    """

    def __init__(
        self,
        settings: Settings,
        half: Half,
        *,
        role: str,
        subscriptions: Sequence[str] = (),
        receive_maximum: int,
    ) -> None:
        self._settings = settings
        self._half = half
        self._role = role
        self._subscriptions = [(one, SubscribeOptions(qos=1)) for one in subscriptions]
        self._receive_maximum = receive_maximum
        # Also between two connections it is another, under which nothing may be confirmed.
        self.number = 0
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._sent = asyncio.Event()
        self._is_flush_due = False
        self._is_welcome = False
        self._pinged_s = 0.0
        # Since when the broker owes a sign of life; None: it owes none.
        self._asked_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._resources = AsyncExitStack()
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
        """Disconnect, after what was written."""
        await self._resources.aclose()

    async def ready(self) -> None:
        """Wait until the broker has let us in and granted the subscriptions."""
        await self._ready.wait()

    def write(self, data: bytes) -> None:
        """Send a packet, with all else that this turn of the event loop sends.

        Only between the half's ``opened`` and ``lost``.
        """
        link = self._link()
        if link is not None:
            link.send(data)
            self._flush_soon()

    def read_on(self) -> None:
        """Read again: the half has room."""
        if self._roomy.is_set():
            return
        self._roomy.set()
        link = self._link()
        if link is not None:
            self._loop.add_reader(link, self._read)

    def _make_client(self) -> LinkedClient:
        client = LinkedClient(
            CallbackAPIVersion.VERSION2,
            client_id=f"server-{self._role}-{os.getpid()}-{secrets.token_hex(4)}",
            protocol=mqtt.MQTTv5,
        )
        password = self._settings.mqtt_password()
        if password is not None:
            client.username_pw_set(self._settings.mqtt_username, password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_register_write
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    def _link(self) -> Link | None:
        opened = self._client.socket()
        assert opened is None or isinstance(opened, Link), "paho makes its socket elsewhere now"
        return opened

    async def _stay_connected(self) -> None:
        pause_s = float(RECONNECT_MIN_S)
        while True:
            # Who can take nothing leaves it to others; and each connection brings another read.
            await self._roomy.wait()
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
        link = self._link()
        if link is None:
            return False
        self._asked_s = self._pinged_s = self._loop.time()
        self._loop.add_reader(link, self._read)
        self._flush_soon()
        return True

    async def _tend(self) -> None:
        """Return when the connection is gone."""
        while not self._gone.is_set():
            try:
                async with asyncio.timeout(TEND_S):
                    await self._gone.wait()
            except TimeoutError:
                self._keep_alive(self._loop.time())

    def _keep_alive(self, now_s: float) -> None:
        if now_s - self._pinged_s >= KEEPALIVE_S / 2:
            self._pinged_s = now_s
            self._asked_s = self._asked_s or now_s
            self.write(PINGREQ)
        if not self._roomy.is_set():
            self._asked_s = None  # the answer may be there, unread
        elif self._asked_s is not None and now_s - self._asked_s >= KEEPALIVE_S:
            self._read()  # it may be this process that was stopped, and plenty waits
            link = self._link()
            if link is not None and self._asked_s is not None:
                link.fail(TimeoutError("the broker says nothing"))
                self._let_paho_read(link)

    async def _leave(self) -> None:
        """Say goodbye, after all that is still to be told."""
        if self._link() is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_MAX_S):
                self._flush_soon()
                await self._sent.wait()
        self._client.disconnect()
        self._flush()

    def _read(self) -> None:
        link = self._link()
        if link is None:
            return
        data, frames = link.receive()
        if data:
            self._asked_s = None
        try:
            self._half.take(data, frames)
        except MalformedPacketError as error:
            link.fail(error)
        self._let_paho_read(link)
        if self._roomy.is_set() and not self._half.is_roomy():
            self._roomy.clear()
            if self._link() is not None:
                self._loop.remove_reader(link)

    def _let_paho_read(self, link: Link) -> None:
        while link.pending() and self._link() is link:
            self._client.loop_read()

    def _flush_soon(self) -> None:
        self._sent.clear()
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._client.want_write():
            self._client.loop_write()
        link = self._link()
        if link is None or link.flush():
            self._sent.set()
            if link is not None:
                self._loop.remove_writer(link)
                self._let_paho_read(link)
        else:
            self._loop.add_writer(link, self._flush)

    def _on_socket_register_write(self, _client: mqtt.Client, _data: Any, _socket: Any) -> None:
        # Also from the thread that connects.
        self._loop.call_soon_threadsafe(self._flush_soon)

    def _on_socket_close(self, _client: mqtt.Client, _data: Any, left: Any) -> None:
        self._loop.remove_reader(left)
        self._loop.remove_writer(left)
        self._gone.set()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker_refused", role=self._role, reason=str(reason))
            return
        self.number += 1
        self._is_welcome = True
        log.info("broker_connected", role=self._role, connection=self.number)
        self._half.opened(getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_UNSAID))
        if self._subscriptions:
            client.subscribe(self._subscriptions)
        else:
            self._ready.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self.number += 1
        log.info("broker_disconnected", role=self._role, reason=str(reason))
        self._half.lost()
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
