"""The machine's ceiling: a consumer that only COPYs. No verdict, no repeat told from a new value.

Acknowledges by hand, after the commit; writes after ROWS rows or WAIT_S. One thread, a typed JSON
decoder, text COPY: the fastest that paho and psycopg were seen to do here.
"""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROWS = 1000  # fewer than the broker has in flight for one client, or it would always wait
WAIT_S = 0.2
RECEIVE_MAX = 4000
COPY = "COPY reading (patient_id, kind, ts, device_id, value, uid) FROM STDIN"


class Sample(msgspec.Struct):
    code: str
    value: float


class Item(msgspec.Struct):
    uid: str
    dev: str
    t: str
    samples: list[Sample]


class Envelope(msgspec.Struct):
    items: list[Item]


class Copier:
    """Rows as lines of text, and the messages that they came in."""

    def __init__(self, client: mqtt.Client, db: psycopg.Connection[Any]) -> None:
        self._client = client
        self._db = db
        self._decoder = msgspec.json.Decoder(Envelope)
        self._lines: list[str] = []
        self._messages: list[tuple[int, int]] = []
        self._since_s = 0.0

    def take(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        """Keep a message's rows; write when there are enough."""
        if not self._messages:
            self._since_s = time.monotonic()
        for item in self._decoder.decode(message.payload).items:
            device = int(item.dev[4:], 16)
            patient = device % 100_000
            for sample in item.samples:
                self._lines.append(
                    f"{patient}\t{sample.code}\t{item.t}\t{device}\t{sample.value}\t{item.uid}\n"
                )
        self._messages.append((message.mid, message.qos))
        self.write_when_due()

    def write_when_due(self) -> None:
        """Commit what has waited long enough, then acknowledge it."""
        due = time.monotonic() - self._since_s >= WAIT_S or len(self._lines) >= ROWS
        if not self._messages or not due:
            return
        with self._db.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write("".join(self._lines))
        self._db.commit()
        for mid, qos in self._messages:
            self._client.ack(mid, qos)
        self._lines, self._messages = [], []


def main() -> None:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id="copy", protocol=mqtt.MQTTv5, manual_ack=True
    )
    client.username_pw_set(os.environ["MQTT_USER"], os.environ["MQTT_PASSWORD"])
    copier = Copier(client, psycopg.connect(os.environ["DATABASE_URL"]))

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe([("hemma/v1/+/measurements", 1), ("hemma/v1/+/backlog", 1)])

    client.on_connect = on_connect
    client.on_message = copier.take
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = RECEIVE_MAX
    properties.SessionExpiryInterval = 86_400
    client.connect(
        "127.0.0.1", int(os.environ["MQTT_PORT"]), clean_start=False, properties=properties
    )
    while client.loop(timeout=WAIT_S / 4) == mqtt.MQTT_ERR_SUCCESS:
        copier.write_when_due()


if __name__ == "__main__":
    main()
