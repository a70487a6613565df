"""paho's client with a pair of sockets for its network: the other judge of what a packet says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from server.broker.packets import Frame, split

CONNACK = bytes.fromhex("2003000000")
TIMEOUT_S = 30.0


class Paho(mqtt.Client):
    """A connected client; ``far`` is the broker's end."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id="t", protocol=mqtt.MQTTv5)
        self._near = near
        self.far = far
        self.heard: list[mqtt.MQTTMessage] = []
        self.answered: list[tuple[int, int]] = []
        self.on_message = lambda _client, _data, message: self.heard.append(message)
        self.on_publish = self._on_answer

    def _create_socket(self) -> Any:
        return self._near

    def _on_answer(self, _client: Any, _data: Any, mid: int, reason: Any, _more: Any) -> None:
        self.answered.append((mid, reason.value))

    def written(self) -> tuple[bytes, Frame]:
        """Return the next packet that it sends."""
        data = b""
        while True:
            data += self.far.recv(100_000)
            frames, used = split(data)
            if frames:
                assert used == len(data)
                return data, frames[0]

    def read(self, packet: bytes) -> None:
        """Let it read one packet, to its end."""
        self.far.sendall(packet)
        self._near.settimeout(TIMEOUT_S)
        assert self.loop_read() == mqtt.MQTT_ERR_SUCCESS


@contextmanager
def connected_paho() -> Iterator[Paho]:
    near, far = socket.socketpair()
    far.settimeout(TIMEOUT_S)
    with near, far:
        client = Paho(near, far)
        client.connect("nowhere")
        client.written()
        client.read(CONNACK)
        yield client
        client.on_message = client.on_publish = None
