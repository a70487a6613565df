"""Bytes from chance into every decoder: ``python -m tests.bench.fuzz_codecs --inputs 10000000``.

Half of the inputs are random bytes, half are values that read, with a few bytes changed, cut off or
added; a few are records of a maker with right sums around random bytes. Only a value or a
DecodeError may come out, each number finite or absent with a reason, and within a time that no
value may take. What fails is printed with its bytes; the exit code is then 1.

The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter, thread_time

from devices import gatt
from devices.errors import DecodeError
from devices.gatt import nonin_oximetry, taidoc, taidoc_record
from devices.gatt.e2e_crc import with_crc
from devices.measurement import Measurement
from tests.devices.gatt import test_generic_health
from tests.devices.gatt.test_any_bytes import READABLE, check_measurement
from tests.devices.gatt.test_gatt import COMPLETE

# Of the processor; hundreds of times what the longest value takes. One that loops takes for ever.
SLOW_S = 1.0
# Values of the others that read, to be changed like those of the tests.
_ALSO = (
    ("2A1D", "02"),
    ("2A2B", "EA070B16070C0007800A"),
    ("2A0D", "04"),
    ("2A0F", "0404"),
    ("2A52", "0103010500"),
    ("2A52", "06000101"),
    ("2A9F", "0201D204"),
    ("2A9F", "20010103"),
    ("2AA4", "0631323334"),
    ("2AA5", "300404"),
    ("2AA8", "6E8E0116FFFF"),
    ("2AA9", "05003F3FFFA7E0"),
    ("2AAA", "E20704180D08180804E0C2"),
    ("2AAB", "A800"),
    ("2AAC", "0105"),
    (nonin_oximetry.CHARACTERISTIC, "0A170100C8000561004A"),
    (
        nonin_oximetry.CHARACTERISTIC,
        nonin_oximetry.encode_spot_check(nonin_oximetry.Frame(97, 74, 5)).hex(),
    ),
    ("2BDD", test_generic_health.ST_SPO2.replace("8B ", "03 07000000 ")),
)
_TRUTHS = (bool, int, float, str, type(None))


@dataclass(slots=True)
class Tally:
    """What came out so far. ``reasons`` counts refusals; ``slowest_s`` is one decoding's."""

    values: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


def inputs(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` characteristics with bytes for them, random and nearly right by turns."""
    source = random.Random(seed)
    uuids = sorted(gatt.CHARACTERISTICS)
    readable = [(uuid, bytes.fromhex(digits)) for uuid, digits in (*READABLE, *COMPLETE, *_ALSO)]
    for number in range(count):
        if number % 16 == 0:
            yield taidoc.CHARACTERISTIC, _record(source)
        elif number % 2:
            # Short ones are likeliest to read; a few are longer than any attribute.
            yield source.choice(uuids), source.randbytes(int(source.expovariate(1 / 16)))
        else:
            uuid, raw = source.choice(readable)
            yield uuid, _changed(source, raw)


def _record(source: random.Random) -> bytes:
    model = source.choice(sorted(taidoc_record.LAYOUTS))
    return taidoc_record.encode(model, source.randbytes(4), source.randbytes(4))


def _changed(source: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(source.randrange(5)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    if source.random() < 0.2:
        del changed[source.randrange(len(changed) + 1) :]
    if source.random() < 0.1:
        changed += source.randbytes(source.randrange(4))
    # A changed value with a wrong CRC would be refused for that alone.
    return with_crc(bytes(changed)) if source.random() < 0.1 else bytes(changed)


def check(uuid: str, raw: bytes, tally: Tally) -> None:
    """Decode ``raw`` and count what came out; AssertionError where it breaks a promise."""
    start = thread_time()
    try:
        decoded = gatt.decode(uuid, raw)
    except DecodeError as error:
        tally.reasons[error.reason] += 1
    else:
        tally.values[uuid] += 1
        if isinstance(decoded, gatt.Reading):
            for one in decoded.measurements:
                _check_numbers(one)
                check_measurement(one, uuid, raw)
        else:
            assert decoded.characteristic == uuid
            _check_field(decoded.fields)
    spent = thread_time() - start
    tally.slowest_s = max(tally.slowest_s, spent)
    assert spent < SLOW_S, f"{spent:.1f} s"


def _check_numbers(one: Measurement) -> None:
    for sample in one.samples:
        assert (sample.value is None) == (sample.absent is not None)
        assert sample.value is None or math.isfinite(sample.value)
    for value in one.context.values():
        assert not isinstance(value, float) or math.isfinite(value)


def _check_field(value: object) -> None:
    """Check that ``value`` can be written as JSON and holds no number that is none."""
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_field(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            _check_field(part)
    else:
        assert isinstance(value, _TRUTHS), type(value)


def run(count: int, seed: int) -> dict[str, object]:
    """Try ``count`` inputs; AssertionError, or what the decoder raised, with the bytes noted."""
    tally = Tally()
    # What is there already is not looked through for garbage in the middle of a decoding.
    gc.freeze()
    start = perf_counter()
    for uuid, raw in inputs(count, seed):
        try:
            check(uuid, raw, tally)
        except BaseException:
            print(f"seed {seed}: {uuid} {raw.hex() or '(no bytes)'}", file=sys.stderr)
            raise
    return {
        "inputs": count,
        "seed": seed,
        "seconds": round(perf_counter() - start),
        "characteristics": len(gatt.CHARACTERISTICS),
        "values": tally.values.total(),
        "never_a_value": sorted(set(gatt.CHARACTERISTICS) - set(tally.values)),
        "refused": dict(tally.reasons.most_common()),
        "slowest_ms": round(tally.slowest_s * 1000, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(json.dumps(run(asked.inputs, asked.seed)))
