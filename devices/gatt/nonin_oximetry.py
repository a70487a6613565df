"""Nonin's own oximetry characteristic (0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b), of the 3230.

The oximeter notifies a frame a second while a finger is in: length (10), status, battery (0.1 V),
pulse amplitude (0.01 %), seconds since it was switched on, SpO2 (127: none), pulse (511: none);
numbers big-endian. A frame is a value in passing and decodes to fields. A spot-check is two frames
in a row, a second apart, both qualified: by Nonin's SmartPoint, with the finger in place, not
searching, both numbers there. Its 20 bytes decode to a measurement, the later frame's.

Two frames and not one is our choice: one qualified second may be the edge of a movement.

Sources: Nonin's "NONIN3230 Mini iOS Application" of 2013 as found in a public repository (fields,
status bits, 127 and 511); another public decoder, ble_nco_spec_decoder.swift, after Nonin's
document 113142-000-02 revision B (big-endian, the length byte, scale of each field, the bit for
encryption); andreasdri/nonin-3230-ble, index.js (the same offsets). Tried on hardware: none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader, bit_names, sample
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement

CHARACTERISTIC = "0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b"
SERVICE = "46a970e0-0d5f-11e2-8b5e-0002a5d5c51b"
CONTROL_POINT = "1447af80-0d60-11e2-88b6-0002a5d5c51b"
FRAME_BYTES = 10
RECORD_BYTES = 2 * FRAME_BYTES
_KIND = KINDS["pulse_oximetry"]
_NO_SPO2, _NO_PULSE = 127, 511
_COUNTER_MODULUS = 1 << 16

DISPLAY_IN_STEP, WEAK_SIGNAL, SMARTPOINT, SEARCHING, FINGER_IN_PLACE, BATTERY_LOW, ENCRYPTED = (
    1 << bit for bit in range(7)
)
# What a qualified frame may still say of its value. The other bits are facts of every frame.
_DOUBTS = {1: "low_perfusion", 5: "device_battery_low", 7: "unknown_status"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What the oximeter says in one second; ``status`` is a sum of this module's constants.

    SpO2 in per cent and pulse per minute, None where it has none. ``amplitude_percent`` goes in
    steps of 0.01. ``counter_s`` counts seconds and begins anew after 65,535.
    """

    spo2_percent: int | None
    pulse_bpm: int | None
    counter_s: int
    status: int = DISPLAY_IN_STEP | SMARTPOINT | FINGER_IN_PLACE | ENCRYPTED
    amplitude_percent: float = 0.0
    battery_decivolt: int = 28

    @property
    def is_qualified(self) -> bool:
        """Tell whether the oximeter itself stands for both numbers of this second."""
        wanted = SMARTPOINT | FINGER_IN_PLACE
        has_both = self.spo2_percent is not None and self.pulse_bpm is not None
        return has_both and self.status & (wanted | SEARCHING) == wanted


def read_frame(raw: bytes) -> Frame:
    """Return the frame in ``raw``; DecodeError where it is none."""
    reader = Reader(raw)
    length = reader.unsigned(1, "length")
    if length != FRAME_BYTES:
        raise DecodeError("bad_size", f"a frame of {length} bytes; known are {FRAME_BYTES}")
    status = reader.unsigned(1, "status")
    battery = reader.unsigned(1, "battery")
    amplitude = int.from_bytes(reader.take(2, "pulse amplitude"))
    counter = int.from_bytes(reader.take(2, "counter"))
    spo2 = reader.unsigned(1, "SpO2")
    pulse = int.from_bytes(reader.take(2, "pulse"))
    reader.end()
    return Frame(
        None if spo2 == _NO_SPO2 else spo2,
        None if pulse == _NO_PULSE else pulse,
        counter,
        status,
        float(Decimal(amplitude) / 100),
        battery,
    )


def is_spot_check(earlier: Frame, later: Frame) -> bool:
    """Tell whether the two frames, heard in this order, make a spot-check."""
    is_next = (later.counter_s - earlier.counter_s) % _COUNTER_MODULUS == 1
    return is_next and earlier.is_qualified and later.is_qualified


def decode(raw: bytes) -> Measurement | Fields:
    """Return the spot-check in two frames, or the fields in one; DecodeError else."""
    if len(raw) != RECORD_BYTES:
        return _fields(read_frame(raw))
    earlier, later = read_frame(raw[:FRAME_BYTES]), read_frame(raw[FRAME_BYTES:])
    if not is_spot_check(earlier, later):
        raise DecodeError("reserved_value", "two frames that are no spot-check")
    numbers = {
        "spo2": _number(later.spo2_percent),
        "pulse": _number(later.pulse_bpm),
        "perfusion_index": Decimal(str(later.amplitude_percent)),
    }
    samples = tuple(sample(_KIND.named(name), number) for name, number in numbers.items())
    said = later.status & sum(1 << bit for bit in _DOUBTS)
    flags = tuple(bit_names(said, _DOUBTS))
    return Measurement(_KIND.name, samples, CHARACTERISTIC, raw, flags=flags)


def encode(frame: Frame) -> bytes:
    """Return the bytes of ``frame``; OverflowError where a number does not fit."""
    spo2 = _NO_SPO2 if frame.spo2_percent is None else frame.spo2_percent
    pulse = _NO_PULSE if frame.pulse_bpm is None else frame.pulse_bpm
    head = bytes((FRAME_BYTES, frame.status, frame.battery_decivolt))
    amplitude = round(frame.amplitude_percent * 100).to_bytes(2)
    return head + amplitude + frame.counter_s.to_bytes(2) + spo2.to_bytes(1) + pulse.to_bytes(2)


def encode_spot_check(frame: Frame) -> bytes:
    """Return the two frames of a spot-check that ends with ``frame``."""
    earlier = replace(frame, counter_s=(frame.counter_s - 1) % _COUNTER_MODULUS)
    return encode(earlier) + encode(frame)


def _number(number: int | None) -> Decimal | Absent:
    return Absent.NAN if number is None else Decimal(number)


def _fields(frame: Frame) -> Fields:
    return Fields(
        CHARACTERISTIC,
        {
            "spo2_percent": frame.spo2_percent,
            "pulse_bpm": frame.pulse_bpm,
            "amplitude_percent": frame.amplitude_percent,
            "counter_s": frame.counter_s,
            "battery_volt": float(Decimal(frame.battery_decivolt) / 10),
            "is_qualified": frame.is_qualified,
            "status": frame.status,
        },
    )
