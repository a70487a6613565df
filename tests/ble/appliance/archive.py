"""An initramfs written without root: cpio in its "newc" form, everything owned by root.

The form is described in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
It is not compressed: an emulated processor unpacks more slowly than the image is read.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

TRAILER: Final = "TRAILER!!!"


def _padded(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % 4)


def _entry(number: int, name: str, mode: int, content: bytes) -> Iterator[bytes]:
    named = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(named), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    yield _padded(header + named)
    yield _padded(content)


def write_archive(folder: Path, out: BinaryIO) -> None:
    """Append everything below ``folder`` to ``out``; archives may follow each other in a file."""
    number = 0
    for number, path in enumerate(sorted(folder.rglob("*")), start=1):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = str(path.readlink()).encode()
        else:
            content = path.read_bytes() if stat.S_ISREG(mode) else b""
        out.writelines(_entry(number, str(path.relative_to(folder)), mode, content))
    out.writelines(_entry(number + 1, TRAILER, 0, b""))
