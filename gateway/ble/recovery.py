"""What to do about a radio that hears nothing: which step, when, and doing it.

The ladder: start the scan anew, switch the adapter off and on, restart bluetoothd, ask for a
reboot. Each step is tried, given time, and followed by the next only while the trouble lasts; once
anything is heard it begins at the bottom again. Every step is counted and reported, so that nobody
wonders later why a value came late.

A home without a radio, or one that is only quiet, is no trouble: steps beyond the scan are taken
only where this process has heard something before, so that a reboot that did not help is not
followed by another one.

Steps and their order: what habluetooth and bluetooth-auto-recovery do for Home Assistant, and
reports such as hbldh/bleak#2021 (a scan that BlueZ believes to run) and
home-assistant/operating-system#4022 (a chip that only a reboot revives).
"""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from gateway.ble.bus import BusAway, BusError
from gateway.ble.watch import Watch

log = structlog.get_logger(__name__)

COMMAND_MAX_S = 60.0


class Trouble(StrEnum):
    """What is wrong with the radio."""

    DEAF = "deaf"
    """It scans and hears nothing, where something was usual."""
    REFUSES = "refuses"
    """BlueZ and a powered adapter are there, and no scan can be started."""
    ABSENT = "absent"
    """There is no BlueZ, or no powered adapter."""


class Step(StrEnum):
    """What can be done about it, gentlest first."""

    SCAN = "scan"
    POWER = "power"
    BLUETOOTHD = "bluetoothd"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a trouble has lasted, in seconds, when each step is due, by kind of trouble."""

    deaf: tuple[tuple[Step, float], ...] = (
        (Step.POWER, 240.0),
        (Step.BLUETOOTHD, 600.0),
        (Step.REBOOT, 1800.0),
    )
    refuses: tuple[tuple[Step, float], ...] = (
        (Step.POWER, 30.0),
        (Step.BLUETOOTHD, 120.0),
        (Step.REBOOT, 1200.0),
    )
    absent: tuple[tuple[Step, float], ...] = (
        (Step.BLUETOOTHD, 60.0),
        (Step.REBOOT, 1800.0),
    )

    def steps(self, trouble: Trouble) -> tuple[tuple[Step, float], ...]:
        """Return the steps against ``trouble``, each with when it is due."""
        return {
            Trouble.DEAF: self.deaf,
            Trouble.REFUSES: self.refuses,
            Trouble.ABSENT: self.absent,
        }[trouble]


@dataclass(slots=True)
class Ladder:
    """Decides, and remembers what was decided. Times are of the gateway's monotonic clock."""

    patience: Patience = field(default_factory=Patience)
    _trouble: Trouble | None = None
    _since_s: float = 0.0
    _done: set[Step] = field(default_factory=set)
    _has_heard: bool = False

    def heard(self) -> None:
        """Something was heard: all is well, and the next trouble begins at the bottom."""
        self._has_heard = True
        self.well()

    def well(self) -> None:
        """The trouble is over, or may be."""
        self._trouble = None
        self._done.clear()

    def decide(self, trouble: Trouble, now_s: float) -> Step | None:
        """Return the step that is due against ``trouble``, None where none is."""
        if self._trouble is None:
            self._trouble, self._since_s = trouble, now_s
        # One trouble turns into another on the way up (bluetoothd goes when it is restarted): the
        # time counts from the first, and what was done stays done.
        if not self._has_heard:
            return None
        for step, due_s in self.patience.steps(trouble):
            if step not in self._done and now_s - self._since_s >= due_s:
                self._done.add(step)
                return step
        return None


@dataclass(slots=True)
class Recovery:
    """Carries the steps out. ``counts`` is by step, since the start.

    ``restart_bluetooth`` and ``reboot`` are commands as a shell would split them; an empty one is
    not run: the step is counted and logged for a person to take.
    """

    watch: Watch
    restart_bluetooth: str = ""
    reboot: str = ""
    ladder: Ladder = field(default_factory=Ladder)
    counts: Counter[Step] = field(default_factory=Counter)

    async def tend(self, trouble: Trouble, now_s: float) -> None:
        """Take the step that is due, if one is. Nobody may be scanning or linked meanwhile."""
        step = self.ladder.decide(trouble, now_s)
        if step is None:
            return
        self.counts[step] += 1
        log.warning("recovery_step", step=step, trouble=trouble, count=self.counts[step])
        match step:
            case Step.POWER:
                try:
                    await self.watch.power_cycle()
                except (BusError, BusAway) as error:
                    log.warning("recovery_failed", step=step, error=str(error))
            case Step.BLUETOOTHD:
                await _run(step, self.restart_bluetooth)
            case Step.REBOOT:
                await _run(step, self.reboot)
            case _:  # SCAN: whoever listens begins its scan anew by itself
                return


async def _run(step: Step, command: str) -> None:
    if not command:
        log.error("recovery_needs_a_person", step=step)
        return
    try:
        async with asyncio.timeout(COMMAND_MAX_S):
            process = await asyncio.create_subprocess_exec(
                *shlex.split(command), stdin=asyncio.subprocess.DEVNULL
            )
            code = await process.wait()
    except (OSError, ValueError) as error:
        # A time-out is an OSError too: the command goes on, and nobody waits for it.
        log.warning("recovery_failed", step=step, error=type(error).__name__)
        return
    log.info("recovery_command_ended", step=step, code=code)
