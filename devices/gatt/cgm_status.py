"""CGM Status (0x2AA9; GATT Specification Supplement): how the sensor is, minutes into its session.

The three octets of the measurement's annunciation, here always all of them; perhaps an E2E-CRC.
"""

from __future__ import annotations

from devices.gatt.cgm import STATUS
from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.reading import Fields, Reader, bit_names

CHARACTERISTIC = "2AA9"


def decode(raw: bytes) -> Fields:
    """Return ``time_offset_min``, ``status`` (names) and ``e2e_crc`` (whether there was one)."""
    reader = Reader(raw)
    offset_min = reader.unsigned(2, "time offset")
    status = reader.unsigned(3, "CGM status")
    return Fields(
        CHARACTERISTIC,
        {
            "time_offset_min": offset_min,
            "status": list(bit_names(status, STATUS)),
            "e2e_crc": take_crc(reader),
        },
    )


def encode(time_offset_min: int, status: int, *, has_crc: bool = False) -> bytes:
    """Return the bytes for the 24-bit ``status``."""
    covered = time_offset_min.to_bytes(2, "little") + status.to_bytes(3, "little")
    return with_crc(covered) if has_crc else covered
