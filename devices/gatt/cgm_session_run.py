"""CGM Session Run Time (0x2AAB; GATT Specification Supplement): hours that the sensor will last."""

from __future__ import annotations

from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2AAB"


def decode(raw: bytes) -> Fields:
    """Return ``run_time_h`` and ``e2e_crc`` (whether there was one)."""
    reader = Reader(raw)
    run_time_h = reader.unsigned(2, "session run time")
    return Fields(CHARACTERISTIC, {"run_time_h": run_time_h, "e2e_crc": take_crc(reader)})


def encode(run_time_h: int, *, has_crc: bool = False) -> bytes:
    """Return the bytes for ``run_time_h``."""
    covered = run_time_h.to_bytes(2, "little")
    return with_crc(covered) if has_crc else covered
