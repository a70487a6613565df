"""TaiDoc's own characteristic (00001524-1212-efde-1523-785feabcd123): frames, and records of three.

TaiDoc makes meters that others sell: Fora, GlucoRx, Aktivmed, Menarini. They answer questions. A
frame is 0x51, a command, four bytes, who speaks (0xA3 asks, 0xA5 answers) and the sum of all before
it. A frame decodes to fields, never to a measurement: the value of a record comes in one frame,
its time in another, and what the value is depends on the model in a third. A record here is those
three answers as they came (model, time, value; 24 bytes), and decodes to a measurement.

Sources (each layout stands in two that do not copy one another, but where it is said otherwise):

- glucometers-tech/glucometer-protocols, src/taidoc/td42xx.md (frames, clock, records, glucose);
- markchuang56/iOS-Demo, h2SyncLib/UART/Fora/Fora.m and FORA_MTI/ForaD40.m (the same over
  Bluetooth; pressure of the D40 and P30 Plus; the bits for irregular beats and averages);
- YentingChia-Ultron/Ultron-esp32BLE, gatt_client_myTest/main/foraBP.c, foraThermometer.c (pressure
  with mean; temperature, unit and place: the last two stand only here);
- advmeds-service/advmeds-bluetooth-lib, measure/taidoc/decoder (which model has which layout;
  temperature in hundredths; the analyte of meters with several strips);
- tidepool-org/uploader, lib/drivers/glucorx/glucoRxDriver.js (frames, clock, records, glucose with
  meals, control solution, analyte, HI and LO by the maker's specification).

Not read here, for want of sources that agree: oximeters (8xxx) and scales (2xxx), which have no
such records, and the TD-3140 (P80), of which two sources tell two layouts. Such a record is
refused with its reason and kept. Tried on hardware: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "00001524-1212-efde-1523-785feabcd123"
SERVICE = "00001523-1212-efde-1523-785feabcd123"
FRAME_BYTES = 8
RECORD_BYTES = 3 * FRAME_BYTES
_START, _ASKS, _ANSWERS = 0x51, 0xA3, 0xA5
_FIRST_YEAR = 2000


class Command(IntEnum):
    """What is asked. 0x52, which empties a meter, is left out: nobody here is to send it."""

    CLOCK = 0x23
    MODEL = 0x24
    RECORD_TIME = 0x25
    RECORD_VALUE = 0x26
    RECORD_COUNT = 0x2B
    SET_CLOCK = 0x33
    TURN_OFF = 0x50
    READY = 0x54
    """Said by the meter by itself when it begins to listen."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: ``command`` as sent, it may be none of ours; ``body`` are its four bytes."""

    command: int
    body: bytes = bytes(4)
    is_answer: bool = False


@dataclass(frozen=True, slots=True)
class Stamp:
    """A meter's time, to the minute, and the bits that share its bytes in a record."""

    time: datetime | None
    doubts: tuple[str, ...]
    minute_bits: int
    hour_bits: int


def read_frame(raw: bytes) -> Frame:
    """Return the frame in ``raw``; DecodeError where it is none or its sum is wrong."""
    reader = Reader(raw)
    start, command, *body, speaker, total = reader.take(FRAME_BYTES, "frame")
    reader.end()
    if start != _START:
        raise DecodeError("reserved_value", f"a frame begins with 0x51, not 0x{start:02X}")
    if total != sum(raw[:-1]) & 0xFF:
        raise DecodeError("bad_crc", f"sum 0x{total:02X}, counted 0x{sum(raw[:-1]) & 0xFF:02X}")
    if speaker not in (_ASKS, _ANSWERS):
        raise DecodeError("reserved_value", f"speaker 0x{speaker:02X}")
    return Frame(command, bytes(body), is_answer=speaker == _ANSWERS)


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of ``frame``; ValueError where its body has not four bytes."""
    if len(frame.body) != FRAME_BYTES - 4:
        raise ValueError("a frame's body has four bytes")
    speaker = _ANSWERS if frame.is_answer else _ASKS
    head = bytes((_START, frame.command)) + frame.body + bytes((speaker,))
    return head + bytes((sum(head) & 0xFF,))


def read_stamp(body: bytes) -> Stamp:
    """Return the time in the four bytes of a clock's or record's time, and the bits beside it.

    A day or month of 0 is a clock that was never set; an impossible date is flagged, not raised: it
    is no reason to lose the value.
    """
    day_word, minute_byte, hour_byte = int.from_bytes(body[:2], "little"), body[2], body[3]
    year, month, day = _FIRST_YEAR + (day_word >> 9), day_word >> 5 & 0xF, day_word & 0x1F
    minute_bits, hour_bits = minute_byte >> 6, hour_byte >> 5
    if not (month and day):
        return Stamp(None, ("device_time_unknown",), minute_bits, hour_bits)
    try:
        time = datetime(year, month, day, hour_byte & 0x1F, minute_byte & 0x3F)  # noqa: DTZ001 - a device has no zone
    except ValueError:
        return Stamp(None, ("device_time_invalid",), minute_bits, hour_bits)
    return Stamp(time, (), minute_bits, hour_bits)


def encode_stamp(time: datetime | None, minute_bits: int = 0, hour_bits: int = 0) -> bytes:
    """Return the four bytes for ``time`` (None: a clock never set), to the minute."""
    if time is None:
        return bytes((0, 0, minute_bits << 6, hour_bits << 5))
    assert time.tzinfo is None, "a device's clock has no zone"
    day_word = (time.year - _FIRST_YEAR) << 9 | time.month << 5 | time.day
    clock = bytes((minute_bits << 6 | time.minute, hour_bits << 5 | time.hour))
    return day_word.to_bytes(2, "little") + clock


def read_model(body: bytes) -> str:
    """Return the model in a model's answer as its four digits, such as ``3128``."""
    return f"{int.from_bytes(body[:2], 'little'):04X}"


def encode_model(model: str) -> bytes:
    """Return the four bytes that answer with ``model``."""
    return int(model, 16).to_bytes(2, "little") + bytes(2)


def decode_frame(raw: bytes) -> Fields:
    """Return what one frame says, as fields; it is no measurement whatever it says."""
    frame = read_frame(raw)
    names = {command.value: command.name.lower() for command in Command}
    fields: dict[str, object] = {
        "command": names.get(frame.command),
        "command_code": frame.command,
        "is_answer": frame.is_answer,
        "body": frame.body.hex(),
    }
    if frame.is_answer:
        fields |= _told(frame)
    return Fields(CHARACTERISTIC, fields)


def _told(frame: Frame) -> dict[str, object]:
    match frame.command:
        case Command.CLOCK:
            # Under this name the gateway knows it as the device's clock beside its own.
            return {"time": _iso(frame.body)}
        case Command.SET_CLOCK:
            return {"set_to": _iso(frame.body)}
        case Command.RECORD_TIME:
            return {"record_time": _iso(frame.body)}
        case Command.MODEL:
            return {"model": read_model(frame.body)}
        case Command.RECORD_COUNT:
            return {"count": int.from_bytes(frame.body[:2], "little")}
        case _:
            return {}


def _iso(body: bytes) -> str | None:
    time = read_stamp(body).time
    return None if time is None else time.isoformat()
