"""Processor time and memory of other processes, from ``/proc``."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, of its children and of those that have ended.

    0 when it is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    # After the name in brackets: user, system, and both again of children that were waited for.
    fields = stat.rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) * TICK_S + sum(cpu_s(int(child)) for child in children)


def peak_mib(pid: int) -> float:
    """Return the greatest resident memory that a process has had, in MiB; 0 when it is gone."""
    return _memory_mib(pid, "VmHWM:")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB; 0 when it is gone."""
    return _memory_mib(pid, "VmRSS:")


def _memory_mib(pid: int, name: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Meter:
    """Notes the processor time of named processes as often as it is asked to."""

    processes: Mapping[str, int]
    moments_s: list[float] = field(default_factory=list)
    spent_s: list[dict[str, float]] = field(default_factory=list)
    peaks_mib: dict[str, float] = field(default_factory=dict)

    def note(self) -> None:
        """Take a reading now."""
        self.moments_s.append(time.time())
        self.spent_s.append({name: cpu_s(pid) for name, pid in self.processes.items()})
        for name, pid in self.processes.items():
            self.peaks_mib[name] = max(peak_mib(pid), self.peaks_mib.get(name, 0.0))

    def spent_between(self, start_s: float, end_s: float) -> dict[str, float]:
        """Return the processor time of each between two moments, in s, between two readings."""
        return {name: self._at(name, end_s) - self._at(name, start_s) for name in self.processes}

    def _at(self, name: str, moment_s: float) -> float:
        place = bisect_left(self.moments_s, moment_s)
        if place == 0:
            return self.spent_s[0][name]
        if place == len(self.moments_s):
            return self.spent_s[-1][name]
        before, after = self.moments_s[place - 1], self.moments_s[place]
        share = (moment_s - before) / (after - before)
        first, last = self.spent_s[place - 1][name], self.spent_s[place][name]
        return first + share * (last - first)
