"""What is known of the radio: "deaf" must never look like "no reading".

A quiet home is not a deaf radio: cuffs advertise for a minute a day. The radio counts as deaf only
when it hears nothing at all for ``DEAF_S`` although it heard something in most of the recent
stretches of that length, as it does wherever a telephone, a television or a neighbour is near.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

RadioState = Literal["ok", "deaf", "absent"]
DEAF_S = 120.0
STRETCHES_KEPT = 10
STRETCHES_MIN = 3
"""Fewer stretches than this say nothing about what is usual here."""
DEVICES_MAX = 64
BOND_REFUSALS = 3
"""So many refused links in a row, with none between that brought a value, are no accident."""


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """What the last links with a device told; the offset is from before its clock was corrected."""

    last_seen: datetime
    clock_offset_s: float | None = None


@dataclass(slots=True)
class RadioHealth:
    """The radio's state, written by :mod:`gateway.ble.listen`, read for the gateway's status.

    Times are seconds of the gateway's monotonic clock. ``resets`` counts scans that were started
    anew because the radio was deaf; ``endings`` counts links by how they ended, including those
    that never came about ("no_link"), which ``no_links`` tells apart by reason; ``devices`` is by
    device name (``ble-…``). ``on_heard`` is called with each advertisement; ``counts`` gives what
    others count beside this (:mod:`gateway.radio_side`).
    """

    deaf_after_s: float = DEAF_S
    resets: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    no_links: Counter[str] = field(default_factory=Counter)
    devices: dict[str, DeviceSeen] = field(default_factory=dict)
    on_heard: Callable[[], None] = lambda: None
    counts: Callable[[], Mapping[str, int]] = dict
    _bond_refusals: Counter[str] = field(default_factory=Counter)
    last_heard_s: float | None = None
    _listening_since_s: float | None = None
    _stretches: deque[bool] = field(default_factory=lambda: deque(maxlen=STRETCHES_KEPT))
    _stretch_began_s: float = 0.0
    _heard_in_stretch: bool = False
    _is_deaf: bool = False

    def state(self) -> RadioState:
        """Return "absent" while no scan runs because there is no radio, else "deaf" or "ok"."""
        if self._listening_since_s is None:
            return "absent"
        return "deaf" if self._is_deaf else "ok"

    def last_adv_s(self, now_s: float) -> int | None:
        """Whole seconds since any advertisement was heard; None when none ever was."""
        return None if self.last_heard_s is None else int(now_s - self.last_heard_s)

    def started(self, now_s: float) -> None:
        """A scan has begun; silence is counted from here."""
        if self._listening_since_s is None:
            self._listening_since_s = self._stretch_began_s = now_s

    def absent(self) -> None:
        """There is no radio to scan with."""
        self._listening_since_s = None
        self._is_deaf = False

    def paused(self, seconds: float) -> None:
        """Scanning stood still for a link; that time is no silence."""
        if self._listening_since_s is not None:
            self._listening_since_s += seconds
            self._stretch_began_s += seconds

    def heard(self, now_s: float) -> None:
        """Some advertisement was heard, from any device."""
        self.last_heard_s = now_s
        self._heard_in_stretch = True
        self._is_deaf = False
        self.on_heard()

    def judge(self, now_s: float) -> bool:
        """Close a stretch that has run out; returns whether the scan should be started anew now.

        True at the end of each silent stretch: a fresh scan costs nothing and is the first remedy.
        The state becomes "deaf" only where something was to be expected.
        """
        if self._listening_since_s is None or now_s - self._stretch_began_s < self.deaf_after_s:
            return False
        was_silent = not self._heard_in_stretch
        if was_silent and self._is_something_expected():
            self._is_deaf = True
            self.resets += 1
        if not self._is_deaf:
            self._stretches.append(not was_silent)
        self._stretch_began_s = now_s
        self._heard_in_stretch = False
        return was_silent

    def ended(self, dev: str, ending: str, at: datetime, clock_offset_s: float | None) -> None:
        """A link with ``dev`` ended, or did not come about, as ``ending`` says."""
        self.endings[ending] += 1
        if ending == "no_link":
            return
        known = self.devices.pop(dev, None)
        if clock_offset_s is None and known is not None:
            clock_offset_s = known.clock_offset_s
        self.devices[dev] = DeviceSeen(at, clock_offset_s)
        while len(self.devices) > DEVICES_MAX:
            self.devices.pop(next(iter(self.devices)))

    def bond_told(self, dev: str, *, is_refused: bool, is_good: bool) -> None:
        """A link with ``dev`` told something of its bond: refused it, or brought a value."""
        if is_refused:
            self._bond_refusals[dev] += 1
        elif is_good:
            del self._bond_refusals[dev]

    def bonds_may_be_new(self) -> None:
        """A person has paired a device: what was known of refused bonds may be past."""
        self._bond_refusals.clear()

    def bond_lost(self) -> tuple[str, ...]:
        """The devices that forgot this gateway, or it them: a person has to pair them again."""
        return tuple(
            sorted(dev for dev, count in self._bond_refusals.items() if count >= BOND_REFUSALS)
        )

    def _is_something_expected(self) -> bool:
        heard = sum(self._stretches)
        return len(self._stretches) >= STRETCHES_MIN and heard * 2 > len(self._stretches)
