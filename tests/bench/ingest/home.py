"""A home that keeps what is not acknowledged, for the loss table.

Ours acknowledges by message (contract 1): until then the row stays, goes again after RESEND_S and
after each reconnection. The others acknowledge nothing: there, PUBACK is all that a home ever gets,
and paho itself sends again what has none. MQTT 5 lets a PUBACK say that nobody listened; it is a
success all the same, and MQTT 3.1.1 has no such word: those are kept apart in ``warned``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Final, Self

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devices import wire
from devices.wire import Ack
from tests.bench.ingest.broker import Broker
from tests.bench.ingest.messages import SEQ_FIRST, gateway_name

RESEND_S: Final = 10.0
NO_MATCHING_SUBSCRIBERS: Final = 0x10
RECONNECT_S: Final = 1
TICK_S: Final = 0.005
LOOK_S: Final = 0.5


class Home:
    """One gateway with rows to send; a context manager that connects."""

    def __init__(self, broker: Broker, leaf: str, payloads: list[bytes], *, waits: bool) -> None:
        self.acked: set[int] = set()
        self.warned: set[int] = set()
        self.sent_once = 0
        self._waits = waits
        self._payloads = payloads
        self._topic = wire.topic(gateway_name(0), leaf)
        self._sent_s: dict[int, float] = {}
        self._rows: dict[int, int] = {}
        self._taken: deque[tuple[int, bool]] = deque()
        self._ready = threading.Event()
        self._has_reconnected = False
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=gateway_name(0), protocol=mqtt.MQTTv5
        )
        client.username_pw_set(gateway_name(0), broker.password)
        client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
        client.max_inflight_messages_set(200)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.connect("127.0.0.1", broker.port)
        self._client = client

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, count: int, *, per_second: float | None) -> None:
        """Send the first ``count`` rows, evenly or as fast as it goes; returns when all are out."""
        start_s = time.monotonic()
        while self.sent_once < count:
            due = count
            if per_second is not None:
                due = min(count, int((time.monotonic() - start_s) * per_second))
            while self.sent_once < due:
                self._publish(self.sent_once)
                self.sent_once += 1
            time.sleep(TICK_S)

    def resend(self) -> None:
        """Note what the broker has taken and send again what the contract says.

        Call it from time to time, always from the same thread.
        """
        while self._taken and self._taken[0][0] in self._rows:
            packet_id, has_warned = self._taken.popleft()
            row = self._rows.pop(packet_id)
            if not self._waits:
                self.acked.add(row)
                if has_warned:
                    self.warned.add(row)
        now_s = time.monotonic()
        everything, self._has_reconnected = self._has_reconnected, False
        if not self._waits:
            return
        for row, sent_s in sorted(self._sent_s.items()):
            if row not in self.acked and (everything or now_s - sent_s >= RESEND_S):
                self._publish(row)

    def unanswered(self) -> int:
        """Return how many rows that were sent are not acknowledged."""
        return self.sent_once - len(self.acked)

    def _publish(self, row: int) -> None:
        self._sent_s[row] = time.monotonic()
        sent = self._client.publish(self._topic, self._payloads[row], qos=1)
        self._rows[sent.mid] = row

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: Any, _reason: Any, _properties: Any
    ) -> None:
        client.subscribe(wire.topic(gateway_name(0), "ack"), qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self._has_reconnected = self._ready.is_set()
        self._ready.set()

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        for first, last in wire.decode(bytes(message.payload), Ack).stored:
            self.acked.update(range(first - SEQ_FIRST, last - SEQ_FIRST + 1))

    def _on_publish(
        self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any
    ) -> None:
        # A PUBACK may be faster than the thread that sent: whose it is, is looked up later.
        if not reason.is_failure:
            self._taken.append((mid, reason.value == NO_MATCHING_SUBSCRIBERS))
