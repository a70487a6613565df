"""What an image is made of: which Debian, which packages, which files and modules.

Everything that changes what is in an image is in this folder's ``recipe``, ``tree``, ``elf``,
``archive`` and ``init.sh``; their contents are hashed into the image's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
RECIPE_FILES: Final = ("recipe.py", "tree.py", "elf.py", "archive.py", "init.sh")

USERLAND_PACKAGES: Final = ("bluez", "dbus", "socat", "busybox-static")
KERNEL_PACKAGE: Final = "linux-image-amd64"
"""Not the ``cloud`` one, which has no Bluetooth in it."""

PROGRAMS: Final = (
    "usr/libexec/bluetooth/bluetoothd",
    "usr/bin/bluetoothctl",
    "usr/bin/btattach",
    "usr/bin/btmon",
    "usr/bin/dbus-daemon",
    "usr/bin/dbus-uuidgen",
    "usr/bin/socat",
)
BUSYBOX: Final = ("usr/bin/busybox", "bin/busybox")
CONFIGURATION: Final = (
    "etc/bluetooth",
    "etc/dbus-1",
    "usr/share/dbus-1/system.conf",
    "usr/share/dbus-1/system.d/bluetooth.conf",
)
"""The bus's service files stay out: nothing in the guest starts bluetoothd but a command."""

WRITTEN: Final[Mapping[str, str]] = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nmessagebus:x:100:100::/:/bin/false\n",
    "etc/group": "root:x:0:\nmessagebus:x:100:\nbluetooth:x:101:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\n",
    "etc/hostname": "appliance\n",
}
FOLDERS: Final = ("proc", "sys", "dev", "run", "tmp", "var/lib/bluetooth", "var/lib/dbus")

MODULES: Final = (
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "jitterentropy_rng",
    "drbg",
    "cmac",
    "ecdh_generic",
    "hci_uart",
    "uhid",
)
"""In the order in which they are loaded: random numbers come before ``ecdh`` needs them."""
MODULE_FOLDERS: Final = ("crypto", "lib/crypto")
"""Taken whole: without a working cmac, ecdh or drbg the kernel silently has no pairing."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of guest: whose BlueZ on whose kernel, by Debian's suite names."""

    name: str
    bluez: str
    userland: str
    kernel: str
    what: str


VARIANTS: Final[Mapping[str, Variant]] = {
    variant.name: variant
    for variant in (
        Variant("5.82", "5.82", "trixie", "trixie", "Debian 13 as it is"),
        Variant("5.66", "5.66", "bookworm", "trixie", "Debian 12's BlueZ on Debian 13's kernel"),
        Variant("5.66-linux-6.1", "5.66", "bookworm", "bookworm", "Debian 12 as it is, for F5"),
    )
}


def recipe_hash() -> str:
    """Twelve hex digits that change whenever an image made now would differ from an older one."""
    digest = hashlib.sha256()
    for name in RECIPE_FILES:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:12]
