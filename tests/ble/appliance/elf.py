"""Which shared libraries a program needs, read from the program: nothing of the guest is run here.

So an image can be made on a machine of another kind, such as a Raspberry Pi. The layout is that of
the System V ABI's object file chapter, 64 bits, little end first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
DYNAMIC_ENTRY: Final = struct.Struct("<QQ")
LOAD, DYNAMIC, INTERPRETER = 1, 2, 3
NEEDED, STRINGS = 1, 5


def _segments(raw: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, offset in the file, address and size in the file of each segment."""
    (offset,) = struct.unpack_from("<Q", raw, 0x20)
    size, count = struct.unpack_from("<HH", raw, 0x36)
    for index in range(count):
        kind, _, at, address, _, length, _, _ = PROGRAM_HEADER.unpack_from(
            raw, offset + index * size
        )
        yield kind, at, address, length


def _text(raw: bytes, offset: int) -> str:
    return raw[offset : raw.index(b"\0", offset)].decode()


def needs(program: Path) -> tuple[str, ...]:
    """Name the libraries that ``program`` asks for, and its loader by its full path."""
    raw = program.read_bytes()
    if raw[:5] != b"\x7fELF\x02":
        return ()
    segments = list(_segments(raw))
    names = [_text(raw, at) for kind, at, _, _ in segments if kind == INTERPRETER]
    for _, at, _, length in (segment for segment in segments if segment[0] == DYNAMIC):
        entries = list(DYNAMIC_ENTRY.iter_unpack(raw[at : at + length]))
        (strings,) = (value for tag, value in entries if tag == STRINGS)
        base = next(
            at + strings - address
            for kind, at, address, length in segments
            if kind == LOAD and address <= strings < address + length
        )
        names += [_text(raw, base + value) for tag, value in entries if tag == NEEDED]
    return tuple(names)
