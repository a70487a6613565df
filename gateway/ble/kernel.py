"""Which kernel runs here, and whether Bluetooth on it is known to fail.

Linux 6.1 crashed in its Bluetooth part (``hci_chan_del``, "list_del corruption") whenever a device
refused its bond, and took bluetoothd with it in 11 of 11 runs; 6.12 did not. From the first long
term release without reports on, it is left at that.
"""

from __future__ import annotations

import platform
import re

OLDEST = (6, 6)


def kernel_release() -> str:
    """Return the running kernel's release, as ``6.12.107+deb13-amd64``."""
    return platform.release()


def is_too_old(release: str) -> bool:
    """Tell whether ``release`` is older than what a gateway should run; False where unreadable."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
