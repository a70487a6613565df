"""How long it takes to decode a full blood pressure: ``python -m tests.bench.decode_speed``.

Every optional field is there, and pressures, times and pulse differ from value to value, so that
nothing is fast only because it was just read. Processor time, so that waiting for others does not
count. The baseline reads one number out of the same bytes: where it is slow too, the machine was
busy.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import thread_time_ns

from devices import gatt
from devices.gatt import blood_pressure
from devices.gatt.blood_pressure import CUFF_LOOSE, IRREGULAR_PULSE, MOVEMENT, BloodPressure

VALUES = 1000
_FIRST = datetime(2026, 1, 1, 7, 0)  # noqa: DTZ001 - a device has no zone
_STATUS = (0, MOVEMENT, CUFF_LOOSE, IRREGULAR_PULSE)


def full_values(count: int, seed: int) -> list[bytes]:
    """Return ``count`` blood pressures with time, pulse, user and status."""
    source = random.Random(seed)
    return [_one(source, number) for number in range(count)]


def _one(source: random.Random, number: int) -> bytes:
    diastolic = source.randint(50, 110)
    systolic = diastolic + source.randint(20, 90)
    value = BloodPressure(
        systolic,
        diastolic,
        mean=round(diastolic + (systolic - diastolic) / 3),
        time=_FIRST + timedelta(minutes=7 * number),
        pulse_bpm=source.randint(45, 130),
        user=source.randint(1, 2),
        status=source.choice(_STATUS),
    )
    return blood_pressure.encode(value)


def _baseline(_uuid: str, raw: bytes) -> int:
    return int.from_bytes(raw[1:3], "little")


def _ns_per_value(decode: Callable[[str, bytes], object], values: Sequence[bytes]) -> float:
    start = thread_time_ns()
    for raw in values:
        decode("2A35", raw)
    return (thread_time_ns() - start) / len(values)


def measure(rounds: int, seed: int = 1) -> dict[str, object]:
    """Return the median and the extremes of both, in ns a value; rounds of the two alternate."""
    values = full_values(VALUES, seed)
    decoded, baseline = [], []
    for _ in range(rounds):
        baseline.append(_ns_per_value(_baseline, values))
        decoded.append(_ns_per_value(gatt.decode, values))
    return {
        "values": VALUES,
        "bytes": len(values[0]),
        "rounds": rounds,
        "decode_ns": _summary(decoded),
        "baseline_ns": _summary(baseline),
        "python": platform.python_version(),
    }


def _summary(found: Sequence[float]) -> dict[str, int]:
    return {
        "median": round(statistics.median(found)),
        "least": round(min(found)),
        "most": round(max(found)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=201)
    print(json.dumps(measure(parser.parse_args().rounds)))
