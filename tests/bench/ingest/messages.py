"""The messages of a run: built once into a file of ready PUBLISH packets, the same for everybody.

Each envelope is written by the project's own encoder, once as a pattern; numpy then fills in what
differs from message to message. So any number of messages takes seconds, and sending them takes
the publisher next to nothing.

One item has one (weight), two (oximetry) or three (blood pressure) components: two on average.
Patients take turns; each has a cuff, an oximeter and a scale. The last twelve digits of an item's
``uid`` are its number, so that what is missing in a database can be named.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from devices import wire
from devices.wire import Item, WireSample

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

SEQ_FIRST: Final = 1_000_000  # seven digits from the first to the last, so that lengths stay
STEP_S: Final = 97  # between two values of a patient
KEPT_S: Final = 7200  # files of earlier runs; they are gigabytes
NEWEST_S: Final = 60  # how long ago the last of a patient was measured
PATTERN_TIME: Final = datetime(2026, 1, 1, 1, 1, 1, tzinfo=UTC)
COMPONENTS: Final = {"blood_pressure": 3, "pulse_oximetry": 2, "body_weight": 1}
KINDS: Final = tuple(COMPONENTS)
PACKET_PUBLISH_QOS1: Final = 0x32
PROPERTY_CORRELATION: Final = 0x09
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_SAMPLES: Final = {
    "blood_pressure": (
        ("150021", 128.0, "mm[Hg]"),
        ("150022", 82.0, "mm[Hg]"),
        ("149546", 71.0, "/min"),
    ),
    "pulse_oximetry": (("150456", 96.0, "%"), ("149530", 71.0, "/min")),
    "body_weight": (("188736", 72.5, "kg"),),
}
_BYTES: Final = {
    "blood_pressure": ("2A35", "1e8000520060ea070b16070c00470001"),
    "pulse_oximetry": ("2A5E", "0060004700"),
    "body_weight": ("2A9D", "02a438ea070b16070c00"),
}
_SLOTS: Final = {
    "seq": rb'"seq":(\d{7})',
    "uid": rb'"uid":"([0-9a-f]{32})"',
    "dev": rb'"dev":"ble-([0-9a-f]{12})"',
    "t": rb'"t":"([^"]+)"',
    "dev_t": rb'"dev_t":"([^"]+)"',
    "gw_t": rb'"gw_t":"([^"]+)"',
    "mono_ms": rb'"mono_ms":(\d{10})',
}
# The last whole digit of each number changes from value to value.
_DIGIT: Final = rb'"value":\d*(\d)\.\d'


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent: ``messages`` are rounded up so that each gateway sends as many."""

    items_per_message: int
    messages: int
    patients: int
    gateways: int
    seed: int = 1

    def __post_init__(self) -> None:
        assert self.patients % self.gateways == 0, "each gateway has as many patients"
        assert self.items_per_message in (1, 50)

    @property
    def leaf(self) -> str:
        """The topic's last part: single values are fresh, fifty at a time are old."""
        return "measurements" if self.items_per_message == 1 else "backlog"

    @property
    def cycle(self) -> int:
        """After how many messages of a gateway the kinds come round again."""
        return len(KINDS) if self.items_per_message == 1 else 1

    @property
    def per_gateway(self) -> int:
        """Messages of each gateway."""
        step = self.gateways * self.cycle
        return -(-self.messages // step) * self.cycle

    @property
    def samples_per_cycle(self) -> int:
        """Components in one cycle of one gateway."""
        return sum(COMPONENTS[kind] for kind in self.kinds(0))

    def kinds(self, gateway: int) -> list[str]:
        """Return the kinds of all items of one cycle of a gateway, in order."""
        items = self.items_per_message * self.cycle
        shift = gateway if self.items_per_message == 1 else 0
        # 50 items: seventeen pressures, sixteen oximetries, seventeen weights, 100 components.
        order = ("blood_pressure", "body_weight", "pulse_oximetry")
        return [order[(one + shift) % 3] for one in range(items)]

    def samples(self, per_gateway: int) -> int:
        """Return the components in the first ``per_gateway`` messages of every gateway."""
        assert per_gateway % self.cycle == 0
        return per_gateway // self.cycle * self.samples_per_cycle * self.gateways

    def name(self) -> str:
        """Return a name for the file that says what is in it."""
        told = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        hour = datetime.now(UTC)
        count = self.per_gateway * self.gateways
        return f"traffic-{self.items_per_message}-{count}-{told}-{hour:%Y-%m-%dT%H}"


@dataclass(frozen=True, slots=True)
class Ready:
    """A file of packets: gateway after gateway, each with its messages in order.

    ``lengths`` are those of one cycle, for each gateway.
    """

    path: Path
    traffic: Traffic
    lengths: tuple[tuple[int, ...], ...]


def gateway_name(number: int) -> str:
    """Return the name of a gateway of the bench."""
    return f"gw-{number:04d}"


def boot_of(gateway: int, seed: int) -> str:
    """Return the boot that all rows of a gateway were written in."""
    return f"6f1c0a52-0000-4000-8{seed % 1000:03d}-{gateway:012d}"


def device_number(kind: str, patient: int) -> int:
    """Return the number that a device's name ends in; modulo 100,000 it is its patient's."""
    return (KINDS.index(kind) + 1) * 100_000 + patient


def build(traffic: Traffic, folder: Path) -> Ready:
    """Write the file, unless it is there from an earlier run of the same hour."""
    path = folder / traffic.name()
    patterns = [_patterns(traffic, gateway) for gateway in range(traffic.gateways)]
    lengths = tuple(tuple(len(one) for one in pattern) for pattern in patterns)
    size = sum(sum(one) for one in lengths) * (traffic.per_gateway // traffic.cycle)
    if not path.exists() or path.stat().st_size != size:
        for old in folder.glob("traffic-*"):
            if time.time() - old.stat().st_mtime > KEPT_S:
                old.unlink()
        writer = _Writer(traffic, datetime.now(UTC).replace(microsecond=0))
        with path.open("wb") as file:
            for gateway, pattern in enumerate(patterns):
                file.write(writer.packets(gateway, pattern).data)
    return Ready(path, traffic, lengths)


def _patterns(traffic: Traffic, gateway: int) -> list[bytes]:
    kinds = traffic.kinds(gateway)
    count = traffic.items_per_message
    topic = wire.topic(gateway_name(gateway), traffic.leaf)
    return [
        _packet(topic, boot_of(gateway, traffic.seed), kinds[start : start + count])
        for start in range(0, len(kinds), count)
    ]


def _packet(topic: str, boot: str, kinds: list[str]) -> bytes:
    msg = f"00000000-0000-4000-8000-{0:012d}"
    raws = tuple(msgspec.Raw(wire.encode(_item(kind))) for kind in kinds)
    payload = msgspec.json.encode(wire.RawEnvelope(wire.VERSION, msg, boot, PATTERN_TIME, raws))
    correlation = bytes([PROPERTY_CORRELATION]) + _string(msg.encode())
    body = (
        _string(topic.encode())
        + b"\0\0"
        + variable_length(len(correlation))
        + correlation
        + payload
    )
    return bytes([PACKET_PUBLISH_QOS1]) + variable_length(len(body)) + body


def _item(kind: str) -> Item:
    characteristic, raw = _BYTES[kind]
    return Item(
        seq=SEQ_FIRST,
        uid="0" * 32,
        dev=f"ble-{0:012x}",
        model="UA-651BLE",
        kind=kind,
        samples=tuple(WireSample(*one) for one in _SAMPLES[kind]),
        t=PATTERN_TIME,
        tq="device",
        dev_t=PATTERN_TIME.replace(tzinfo=None),
        gw_t=PATTERN_TIME,
        gw_q="ntp",
        mono_ms=1_000_000_000,
        char=characteristic,
        raw=raw,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The messages of one pattern: a row each in ``block``, with the gateway's ``number`` of it."""

    block: Bytes
    pattern: bytes
    gateway: int
    number: Numbers
    random: np.random.Generator


class _Writer:
    """Fills the patterns in; one set of times and numbers for all gateways."""

    def __init__(self, traffic: Traffic, now: datetime) -> None:
        self._traffic = traffic
        turns = -(-traffic.per_gateway // (traffic.patients // traffic.gateways))
        steps = turns * traffic.items_per_message
        first = now - timedelta(seconds=NEWEST_S + STEP_S * steps)
        moments = [first + timedelta(seconds=STEP_S * n) for n in range(steps)]
        self._times = {
            "t": _table(_zulu(one) for one in moments),
            "gw_t": _table(_zulu(one + timedelta(seconds=2)) for one in moments),
            "dev_t": _table(f"{one:%Y-%m-%dT%H:%M:%S}" for one in moments),
        }

    def packets(self, gateway: int, patterns: list[bytes]) -> Bytes:
        """Return all packets of a gateway, end to end."""
        traffic = self._traffic
        cycles = traffic.per_gateway // traffic.cycle
        block = np.tile(np.frombuffer(b"".join(patterns), np.uint8), (cycles, 1))
        kinds = traffic.kinds(gateway)
        count = traffic.items_per_message
        random = np.random.default_rng((traffic.seed, gateway))
        start = 0
        for turn, pattern in enumerate(patterns):
            number = np.arange(cycles, dtype=np.int64) * traffic.cycle + turn
            part = _Part(block[:, start : start + len(pattern)], pattern, gateway, number, random)
            self._head(part)
            self._items(part, kinds[turn * count : (turn + 1) * count])
            start += len(pattern)
        return block

    def _head(self, one: _Part) -> None:
        part, pattern, gateway, number = one.block, one.pattern, one.gateway, one.number
        topic = wire.topic(gateway_name(gateway), self._traffic.leaf)
        topic_end = pattern.index(b"hemma/v1/") + len(topic)
        packet_id = number % 65_535 + 1
        part[:, topic_end] = packet_id >> 8
        part[:, topic_end + 1] = packet_id & 0xFF
        whole = number * self._traffic.gateways + gateway
        for found in re.finditer(rb"00000000-0000-4000-8000-(\d{12})", pattern):
            _digits(part, found.start(1), 12, whole)

    def _items(self, one: _Part, kinds: list[str]) -> None:
        part, pattern, number, random = one.block, one.pattern, one.number, one.random
        traffic = self._traffic
        places = {name: [m.start(1) for m in re.finditer(p, pattern)] for name, p in _SLOTS.items()}
        own = traffic.patients // traffic.gateways
        patient = (number % own) * traffic.gateways + one.gateway
        whole = (number * traffic.gateways + one.gateway) * traffic.items_per_message
        for position, kind in enumerate(kinds):
            moment = (number // own) * traffic.items_per_message + position
            seq = number * traffic.items_per_message + position
            _digits(part, places["seq"][position], 7, SEQ_FIRST + seq)
            _digits(part, places["mono_ms"][position], 10, 1_000_000_000 + seq * 1000)
            _hex(part, places["dev"][position], 12, device_number(kind, 0) + patient)
            uid = places["uid"][position]
            _hex(part, uid, 20, random.integers(0, 2**62, len(number)), random=random)
            _hex(part, uid + 20, 12, whole + position)
            for name, table in self._times.items():
                at = places[name][position]
                part[:, at : at + table.shape[1]] = table[moment]
        for found in re.finditer(_DIGIT, pattern):
            part[:, found.start(1)] = random.integers(48, 58, len(number))


def _digits(part: Bytes, at: int, width: int, values: Numbers) -> None:
    for power in range(width):
        part[:, at + width - 1 - power] = 48 + values // 10**power % 10


def _hex(
    part: Bytes, at: int, width: int, values: Numbers, *, random: np.random.Generator | None = None
) -> None:
    """Write ``values`` in hexadecimal; what is beyond their 60 bits is 0, or from ``random``."""
    for power in range(min(width, 15)):
        part[:, at + width - 1 - power] = _HEX[values >> (4 * power) & 0xF]
    for position in range(width - 15):
        drawn = 0 if random is None else random.integers(0, 16, len(values))
        part[:, at + position] = _HEX[drawn]


def _table(texts: Any) -> Bytes:
    rows = [text.encode() for text in texts]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _zulu(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def variable_length(number: int) -> bytes:
    """Return MQTT's variable byte integer."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)
