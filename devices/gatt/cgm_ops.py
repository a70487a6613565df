"""CGM Specific Ops Control Point (0x2AAC; GATT Specification Supplement): setting up a sensor.

Op code, operand, perhaps an E2E-CRC. Levels are mg/dL, rates mg/dL a minute (SFLOAT). To the
interval that a sensor answers the supplement gives two bytes, Nordic's library one; both are read,
one is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from devices.gatt.cgm import TREND
from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.glucose_sample import encode_sample, take_sample
from devices.gatt.reading import (
    MILLIGRAM_PER_DECILITRE,
    Fields,
    Reader,
    bit_names,
    choice,
    quantity,
)
from devices.measurement import Absent
from devices.medfloat import Number, encode_sfloat

CHARACTERISTIC = "2AAC"


class Op(IntEnum):
    """What is asked for, or answered. SET and GET are requests, the third of each the answer."""

    SET_INTERVAL = 1
    GET_INTERVAL = 2
    INTERVAL = 3
    SET_CALIBRATION = 4
    GET_CALIBRATION = 5
    CALIBRATION = 6
    SET_HIGH_LEVEL = 7
    GET_HIGH_LEVEL = 8
    HIGH_LEVEL = 9
    SET_LOW_LEVEL = 10
    GET_LOW_LEVEL = 11
    LOW_LEVEL = 12
    SET_HYPO_LEVEL = 13
    GET_HYPO_LEVEL = 14
    HYPO_LEVEL = 15
    SET_HYPER_LEVEL = 16
    GET_HYPER_LEVEL = 17
    HYPER_LEVEL = 18
    SET_DECREASE_RATE = 19
    GET_DECREASE_RATE = 20
    DECREASE_RATE = 21
    SET_INCREASE_RATE = 22
    GET_INCREASE_RATE = 23
    INCREASE_RATE = 24
    RESET_DEVICE_ALERT = 25
    START_SESSION = 26
    STOP_SESSION = 27
    RESPONSE = 28


class Result(IntEnum):
    """How a request went."""

    SUCCESS = 1
    OP_NOT_SUPPORTED = 2
    INVALID_OPERAND = 3
    PROCEDURE_NOT_COMPLETED = 4
    PARAMETER_OUT_OF_RANGE = 5


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration; ``status`` is a bit field of 8, the times are minutes into the session."""

    concentration_mg_dl: float | Absent
    time_min: int
    sample_type: str
    sample_location: str
    next_time_min: int
    record_number: int
    status: int = 0


Operand = int | float | Absent | Calibration | tuple[int, int] | None
"""Minutes or a record number, a level or rate, a calibration, (request, result), or nothing."""

_LEVELS = {op for op in Op if op.name.endswith("_LEVEL") and not op.name.startswith("GET_")}
_RATES = {op for op in Op if op.name.endswith("_RATE") and not op.name.startswith("GET_")}
_INTERVALS = {Op.SET_INTERVAL, Op.INTERVAL}
_CALIBRATIONS = {Op.SET_CALIBRATION, Op.CALIBRATION}
_CALIBRATION_STATUS = {0: "rejected", 1: "out_of_range", 2: "pending"}
_OPS = {op.value: op.name.lower() for op in Op}
_RESULTS = {result.value: result.name.lower() for result in Result}


def decode(raw: bytes) -> Fields:
    """Return ``op``, what belongs to it, and ``e2e_crc``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    number = reader.unsigned(1, "op code")
    fields: dict[str, object] = {"op": choice(number, _OPS, "op code")}
    fields |= _take_operand(reader, Op(number))
    return Fields(CHARACTERISTIC, {**fields, "e2e_crc": take_crc(reader)})


def encode(op: Op, operand: Operand = None, *, has_crc: bool = False) -> bytes:
    """Return the bytes of ``op`` with the operand it takes; ValueError where that does not fit."""
    covered = bytes((op,))
    if isinstance(operand, Calibration):
        covered += _encode_calibration(operand)
    elif isinstance(operand, tuple):
        covered += bytes(operand)
    elif operand is not None and op in _LEVELS | _RATES:
        covered += encode_sfloat(operand).to_bytes(2, "little")
    elif isinstance(operand, int):
        covered += operand.to_bytes(1 if op in _INTERVALS else 2, "little")
    return with_crc(covered) if has_crc else covered


def _take_operand(reader: Reader, op: Op) -> dict[str, object]:
    if op in _INTERVALS:
        size = 2 if op is Op.INTERVAL and reader.left in (2, 4) else 1
        return {"interval_min": reader.unsigned(size, "communication interval")}
    if op in _CALIBRATIONS:
        return {"calibration": _take_calibration(reader)}
    if op is Op.GET_CALIBRATION:
        return {"record_number": reader.unsigned(2, "record number")}
    if op in _LEVELS:
        return {"level": _glucose(reader.sfloat("level"))}
    if op in _RATES:
        return {"rate": quantity(reader.sfloat("rate"), "mmol/L/min", TREND)}
    if op is not Op.RESPONSE:
        return {}
    request = reader.unsigned(1, "request")
    result = reader.unsigned(1, "result")
    return {
        "request": _OPS.get(request),
        "request_code": request,
        "result": _RESULTS.get(result),
        "result_code": result,
    }


def _take_calibration(reader: Reader) -> dict[str, object]:
    concentration = _glucose(reader.sfloat("calibration"))
    time_min = reader.unsigned(2, "calibration time")
    where, odd = take_sample(reader)
    return {
        "concentration": concentration,
        "time_min": time_min,
        **where,
        "next_time_min": reader.unsigned(2, "next calibration time"),
        "record_number": reader.unsigned(2, "record number"),
        "status": list(bit_names(reader.unsigned(1, "status"), _CALIBRATION_STATUS)),
        "flags": odd,
    }


def _encode_calibration(value: Calibration) -> bytes:
    return b"".join(
        (
            encode_sfloat(value.concentration_mg_dl).to_bytes(2, "little"),
            value.time_min.to_bytes(2, "little"),
            encode_sample(value.sample_type, value.sample_location),
            value.next_time_min.to_bytes(2, "little"),
            value.record_number.to_bytes(2, "little"),
            bytes((value.status,)),
        )
    )


def _glucose(concentration: Number) -> dict[str, object]:
    return quantity(concentration, "mmol/L", MILLIGRAM_PER_DECILITRE)
