"""The homes: one connection a gateway, ready packets out, PUBACKs and acknowledgements in.

A process of its own, told by lines on standard input, which answers each with a line of JSON:

- ``allow N`` – each gateway may send its first N messages (at most WINDOW without PUBACK);
- ``await W`` – from now on each has at most W messages that the *server* has not acknowledged, as a
  gateway has (others than ours acknowledge nothing: for them there is PUBACK alone);
- ``rate R N`` – from now on R messages a second from all together, N from each;
- ``tell`` – nothing new, say how far it is;
- ``end FILE`` – write when each message was sent and acknowledged (numpy, ns since 1970), and end.

A packet costs here a slice of a mapped file and one parsed PUBACK, so that the publisher is not
what is measured; its processor time stands in the report all the same.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from devices import wire
from devices.wire import Ack
from tests.bench.ingest.messages import SEQ_FIRST, Ready, Traffic, gateway_name, variable_length

WINDOW: Final = 64
CHUNK_BYTES: Final = 262_144
RECEIVE_BYTES: Final = 1 << 18
PACE_S: Final = 0.001
IDLE_S: Final = 0.02
KEEPALIVE_S: Final = 600


@dataclass
class Tally:
    """How far it is. ``refused`` counts PUBACKs that say that nobody listened, or an error."""

    sent: int = 0
    taken: int = 0
    refused: int = 0
    acks: int = 0
    acked_items: int = 0
    nacked_items: int = 0


class Home:
    """One gateway's connection."""

    def __init__(
        self, number: int, port: int, password: str, ready: Ready, packets: memoryview
    ) -> None:
        self.number = number
        self.allowed = 0
        self.sent = 0
        self.taken = 0
        self.acked = 0
        self.unanswered_max: int | None = None
        self.waiting = memoryview(b"")
        self.events: int = selectors.EVENT_READ
        self._packets = packets
        lengths = ready.lengths[number]
        self._starts = [sum(lengths[:turn]) for turn in range(len(lengths))]
        self._cycle_bytes = sum(lengths)
        self._received = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = gateway_name(number)
        self.socket.sendall(_connect(name, password) + _subscribe(wire.topic(name, "ack")))
        self._await_grant()
        self.socket.setblocking(False)

    def load(self) -> tuple[int, int]:
        """Take what may be sent now into ``waiting``; return the first message and the one after.

        Only when ``waiting`` is empty.
        """
        first = self.sent
        last = min(self.allowed, self.taken + WINDOW)
        if self.unanswered_max is not None:
            last = min(last, self.acked + self.unanswered_max)
        if last <= first:
            return first, first
        start = self._offset(first)
        most = first + max(1, CHUNK_BYTES * len(self._starts) // self._cycle_bytes)
        self.sent = min(last, most)
        self.waiting = self._packets[start : self._offset(self.sent)]
        return first, self.sent

    def push(self) -> None:
        """Send what the socket takes."""
        try:
            self.waiting = self.waiting[self.socket.send(self.waiting) :]
        except BlockingIOError:
            return

    def receive(self) -> list[tuple[int, memoryview]]:
        """Return the packets that have come whole: type with flags, and body."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError(
                f"the broker closed the connection of {gateway_name(self.number)}"
            )
        self._received += data
        found, used = _packets(bytes(self._received))
        del self._received[:used]
        return found

    def _await_grant(self) -> None:
        while True:
            for kind, body in self.receive():
                if kind == 0x20 and body[1] != 0:
                    raise ConnectionError(f"refused by the broker: {body[1]:#x}")
                if kind == 0x90:
                    return

    def _offset(self, message: int) -> int:
        cycles, turn = divmod(message, len(self._starts))
        return cycles * self._cycle_bytes + self._starts[turn]


class Publisher:
    """All homes in one loop."""

    def __init__(self, ready: Ready, port: int, password: str) -> None:
        traffic = ready.traffic
        self._traffic = traffic
        self._tally = Tally()
        self._rate: tuple[float, int, float] | None = None
        shape = (traffic.gateways, traffic.per_gateway)
        self._sent_ns = np.zeros(shape, np.int64)
        self._acked_ns = np.zeros(shape, np.int64)
        with ready.path.open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        cycles = traffic.per_gateway // traffic.cycle
        self._homes: list[Home] = []
        start = 0
        self._selector = selectors.DefaultSelector()
        for number, lengths in enumerate(ready.lengths):
            size = sum(lengths) * cycles
            home = Home(number, port, password, ready, whole[start : start + size])
            start += size
            self._homes.append(home)
            self._selector.register(home.socket, selectors.EVENT_READ, home)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        self._lines = b""

    def run(self) -> None:
        """Serve until told to end."""
        while True:
            pause_s = PACE_S if self._rate else IDLE_S
            for key, _ in self._selector.select(pause_s):
                if key.data is None:
                    if not self._obey():
                        return
                else:
                    self._hear(key.data)
            if self._rate:
                self._pace(*self._rate)
            for home in self._homes:
                self._send(home)

    def _send(self, home: Home) -> None:
        while True:
            if not home.waiting:
                first, after = home.load()
                if after == first:
                    break
                self._sent_ns[home.number, first:after] = time.time_ns()
                self._tally.sent += after - first
            home.push()
            if home.waiting:
                break
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if home.waiting else 0)
        if events != home.events:
            home.events = events
            self._selector.modify(home.socket, events, home)

    def _pace(self, per_second: float, each: int, since_s: float) -> None:
        due = int((time.monotonic() - since_s) * per_second)
        everybody, more = divmod(due, len(self._homes))
        for home in self._homes:
            home.allowed = min(each, everybody + (home.number < more))

    def _hear(self, home: Home) -> None:
        answers = bytearray()
        for kind, body in home.receive():
            if kind == 0x40:
                home.taken += 1
                self._tally.taken += 1
                self._tally.refused += len(body) > 2 and body[2] != 0
            elif kind & 0xF0 == 0x30:
                answers += self._acknowledgement(home, kind, body)
        if answers:
            # Behind a packet of which a part may be sent already.
            home.waiting = memoryview(bytes(home.waiting) + bytes(answers))
            home.push()

    def _acknowledgement(self, home: Home, kind: int, body: memoryview) -> bytes:
        at = 2 + int.from_bytes(body[:2], "big")
        answer = b""
        if kind & 0x06:
            answer = b"\x40\x02" + bytes(body[at : at + 2])
            at += 2
        properties, used = _read_length(body, at)
        ack = wire.decode(bytes(body[at + used + properties :]), Ack)
        now_ns = time.time_ns()
        self._tally.acks += 1
        home.acked += 1
        self._tally.nacked_items += len(ack.nack)
        per_message = self._traffic.items_per_message
        for first, last in ack.stored:
            self._tally.acked_items += last - first + 1
            start = (first - SEQ_FIRST) // per_message
            self._acked_ns[home.number, start : (last - SEQ_FIRST) // per_message + 1] = now_ns
        return answer

    def _obey(self) -> bool:
        read = os.read(sys.stdin.fileno(), 65_536)
        if not read:
            return False
        self._lines += read
        *lines, self._lines = self._lines.split(b"\n")
        for line in lines:
            word, *rest = line.decode().split()
            if word == "allow":
                for home in self._homes:
                    home.allowed = min(int(rest[0]), self._traffic.per_gateway)
            elif word == "await":
                for home in self._homes:
                    home.unanswered_max = int(rest[0])
            elif word == "rate":
                self._rate = float(rest[0]), int(rest[1]), time.monotonic()
            elif word == "end":
                np.savez(rest[0], sent_ns=self._sent_ns, acked_ns=self._acked_ns)
            print(json.dumps(asdict(self._tally)), flush=True)
            if word == "end":
                return False
        return True


def _connect(name: str, password: str) -> bytes:
    body = _text("MQTT") + b"\x05" + bytes([0b1100_0010]) + KEEPALIVE_S.to_bytes(2, "big") + b"\0"
    body += _text(name) + _text(name) + _text(password)
    return b"\x10" + variable_length(len(body)) + body


def _subscribe(topic: str) -> bytes:
    body = b"\0\x01\0" + _text(topic) + b"\x01"
    return b"\x82" + variable_length(len(body)) + body


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _packets(data: bytes) -> tuple[list[tuple[int, memoryview]], int]:
    found = []
    view = memoryview(data)
    at, size = 0, len(data)
    while at + 2 <= size:
        length, used = _read_length(view, at + 1)
        end = at + 1 + used + length
        if not used or end > size:
            break
        found.append((data[at], view[at + 1 + used : end]))
        at = end
    return found, at


def _read_length(data: memoryview, at: int) -> tuple[int, int]:
    """Return a variable byte integer and how many bytes it takes; 0 bytes: not all is here."""
    number = used = 0
    while at + used < len(data):
        byte = data[at + used]
        number |= (byte & 0x7F) << (7 * used)
        used += 1
        if byte < 0x80:
            return number, used
    return 0, 0


def main() -> None:
    """Run by the bench, with one argument of JSON."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    ready = Ready(
        Path(told["path"]),
        Traffic(**told["traffic"]),
        tuple(tuple(one) for one in told["lengths"]),
    )
    publisher = Publisher(ready, told["port"], os.environ["HEMMA_BENCH_PASSWORD"])
    print(json.dumps(asdict(Tally())), flush=True)
    publisher.run()


if __name__ == "__main__":
    main()
