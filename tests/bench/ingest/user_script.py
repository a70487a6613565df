"""What a user would write: paho in, psycopg out, one row a component.

``python -m tests.bench.ingest.user_script commit|executemany|batch``, told the rest by environment.
It acknowledges as paho does by itself, and dies of an error, for a service manager to restart it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

BATCH_ROWS = 500
BATCH_S = 1.0
INSERT = (
    "INSERT INTO reading (patient_id, kind, ts, device_id, value, uid) "
    "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)

Row = tuple[int, int, datetime, int, float, str]


def rows_of(payload: bytes | bytearray) -> list[Row]:
    """Return one row for each component in an envelope."""
    rows = []
    for item in json.loads(payload)["items"]:
        device = int(item["dev"][4:], 16)
        when = datetime.fromisoformat(item["t"])
        for sample in item["samples"]:
            code = int(sample["code"])
            rows.append((device % 100_000, code, when, device, sample["value"], item["uid"]))
    return rows


class Batch:
    """Rows in memory, written after so many or so long, whichever comes first."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self._db = db
        self._rows: list[Row] = []
        self._lock = threading.Lock()

    def add(self, rows: list[Row]) -> None:
        with self._lock:
            self._rows += rows
            if len(self._rows) >= BATCH_ROWS:
                self._write()

    def tick(self) -> None:
        """Write from time to time what has not been written; the process ends with an error."""
        while True:
            time.sleep(BATCH_S)
            try:
                with self._lock:
                    self._write()
            except psycopg.Error:
                os._exit(1)

    def _write(self) -> None:
        if self._rows:
            with self._db.cursor() as cursor:
                cursor.executemany(INSERT, self._rows)
            self._db.commit()
            self._rows = []


def main() -> None:
    way = sys.argv[1]
    db = psycopg.connect(os.environ["DATABASE_URL"])
    batch = Batch(db)

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe([("hemma/v1/+/measurements", 1), ("hemma/v1/+/backlog", 1)])

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        rows = rows_of(message.payload)
        if way == "batch":
            batch.add(rows)
            return
        with db.cursor() as cursor:
            if way == "commit":
                for row in rows:
                    cursor.execute(INSERT, row)
            else:
                cursor.executemany(INSERT, rows)
        db.commit()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="script", clean_session=False)
    client.username_pw_set(os.environ["MQTT_USER"], os.environ["MQTT_PASSWORD"])
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", int(os.environ["MQTT_PORT"]))
    if way == "batch":
        threading.Thread(target=batch.tick, daemon=True).start()
    client.loop_forever()


if __name__ == "__main__":
    main()
