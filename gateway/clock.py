"""The gateway's clock: what time it says, and how far that can be trusted.

A Raspberry Pi has no battery behind its clock; after a power cut it starts with a wrong time until
NTP answers. Whether it has, we ask the kernel itself: ``adjtimex`` with nothing to adjust
(``modes`` 0, needs no right) returns ``TIME_ERROR`` while no daemon disciplines it. That holds for
systemd-timesyncd, chrony and ntpd alike, starts no process, and turns back to "unsynchronised" by
itself when the daemon has been without answer so long that the error may exceed 16 s.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from devices.wire import ClockQuality

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
# Return value of adjtimex(2) while the clock is not synchronised (linux/timex.h).
TIME_ERROR = 5
# struct timex is 208 bytes on 64-bit Linux and smaller on 32-bit; the kernel never writes more.
TIMEX_BYTES = 256
# A clock that says an earlier year was never set: no gateway is older than this software.
YEAR_MIN = 2025


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the gateway's clocks.

    ``utc`` is the wall clock, ``quality`` how far it can be trusted, ``mono_ms`` milliseconds since
    the machine started (it counts suspended time and never jumps).
    """

    utc: datetime
    quality: ClockQuality
    mono_ms: int

    def __post_init__(self) -> None:
        """Check that the wall time knows its zone."""
        assert self.utc.tzinfo is not None, "a clock reading is in UTC"


def boot_id(path: Path = BOOT_ID_PATH) -> str:
    """Return the kernel's UUID for this boot; raises OSError where ``path`` cannot be read."""
    return path.read_text(encoding="ascii").strip()


def is_synchronised() -> bool:
    """Tell whether the kernel says that NTP disciplines the clock; no answer counts as no."""
    return int(_kernel().adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))) not in (-1, TIME_ERROR)


@cache
def _kernel() -> ctypes.CDLL:
    # Loaded once: the clock is read at every advertisement.
    return ctypes.CDLL(None)


class SystemClock:
    """The machine's clocks, remembering whether they were ever right in this run.

    Pass another ``synchronised`` where the kernel is not to be asked.
    """

    def __init__(self, synchronised: Callable[[], bool] = is_synchronised) -> None:
        self._synchronised = synchronised
        self._was_synchronised = False

    def read(self) -> ClockReading:
        """Return the time now.

        Quality is ``ntp`` while synchronised, ``estimated`` when it was so earlier in this run and
        runs free since, ``none`` before the first synchronisation or with an impossible year.
        """
        utc = datetime.now(UTC)
        mono_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        return ClockReading(utc=utc, quality=self._quality(utc), mono_ms=mono_ms)

    def _quality(self, utc: datetime) -> ClockQuality:
        if utc.year < YEAR_MIN:
            return "none"
        if self._synchronised():
            self._was_synchronised = True
            return "ntp"
        return "estimated" if self._was_synchronised else "none"


def text_of(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds: it sorts as text."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def text_or_none(moment: datetime | None) -> str | None:
    """Return :func:`text_of` ``moment``, None for none."""
    return None if moment is None else text_of(moment)


def moment_of(text: str) -> datetime:
    """Return the moment that :func:`text_of` wrote; raises ValueError for other text."""
    return datetime.fromisoformat(text)
