"""Who was heard when, who rests, and whose turn it is: what listening knows of the home."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from devices.conversation import Ending
from gateway.ble.health import RadioHealth
from gateway.ble.session import Ended
from gateway.clock import ClockReading
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

SIGHTING_MAX_S = 15.0
"""How long an advertisement is good for; a device heard earlier may have gone to sleep."""
REST_FIRST_S = 0.5
REST_MAX_S = 30.0
"""Rest after a link that brought nothing, doubling. It stays below the time such devices advertise,
so that a cuff once out of reach is not left waiting. No jitter: this radio has one user."""
REST_BOND_LOST_S = 60.0
"""Rest for a device that refuses its bond: only a person can help. Still one try in each window of
a cuff, since a device at the edge of reach may look the same."""
REST_BLIND_S = REST_FIRST_S
"""Rest after a link whose value BlueZ may have taken before anybody could hear it: that says
nothing of the device, and whoever measures once more should not have to wait."""
LOOKED_UP_MAX_S = 1.0
"""Hundreds of advertisements a second come in where people live close; each is looked up."""
WAIT_MIN_S = 0.05


@dataclass(slots=True)
class _Rest:
    served_s: float = 0.0
    failures: int = 0
    until_s: float = 0.0


@dataclass(slots=True)
class Room:
    """The devices of one home as they were heard. ``has_room`` tells whether values can be kept.

    ``is_scan_old`` where only a fresh scan tells who is there: BlueZ 5.82 tells of a device once in
    a scan, and not again while nothing about it changes. So what was heard while the device was not
    ours yet, rested, or could not be served, may have been its only word, however long it goes on.
    """

    paired: Callable[[], Sequence[PairedDevice]]
    clock: Callable[[], ClockReading]
    health: RadioHealth
    has_room: Callable[[], bool] = lambda: True
    sightings: dict[str, tuple[float, BLEDevice]] = field(default_factory=dict)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    is_scan_old: bool = False
    _rests: dict[str, _Rest] = field(default_factory=dict)
    _known: dict[str, PairedDevice] = field(default_factory=dict)
    _is_full: bool = False
    _has_heard_stranger: bool = False
    _asked_s: float = float("-inf")

    def now_s(self) -> float:
        """Seconds of the gateway's monotonic clock."""
        return self.clock().mono_ms / 1000

    def known(self, now_s: float) -> dict[str, PairedDevice]:
        """The paired devices by address; asked for anew when what is known is a second old."""
        if now_s - self._asked_s >= LOOKED_UP_MAX_S:
            self._asked_s, self._has_heard_stranger = now_s, False
            before = self._known
            self._known = {device.address.upper(): device for device in self.paired()}
            if not self._known.keys() <= before.keys():
                self.is_scan_old = True
                self.something.set()
            was_full, self._is_full = self._is_full, not self.has_room()
            if self._is_full and not was_full:
                # BlueZ confirms a value before we can refuse it: it is safer in the device.
                log.error("no_links_while_full")
        return self._known

    def on_advertisement(self, device: BLEDevice, _data: AdvertisementData) -> None:
        """Some device advertised; bleak's callback."""
        now_s = self.now_s()
        self.health.heard(now_s)
        if device.address.upper() in self.known(now_s):
            self.sighted(device)
        elif not self._has_heard_stranger:
            self._has_heard_stranger = True
            self.something.set()

    def scan_begins(self) -> None:
        """A scan begins: whoever is there will be told of anew."""
        self.is_scan_old = False

    def sighted(self, device: BLEDevice) -> None:
        """A paired device is there, heard or linked already."""
        self.sightings[device.address.upper()] = (self.now_s(), device)
        self.something.set()

    def may_serve(self) -> bool:
        """Tell whether some device that was heard lately may be linked up with now."""
        return bool(self._ready(self.now_s()))

    def choose(self) -> tuple[PairedDevice, BLEDevice] | None:
        """The paired device, heard lately and not resting, that was served longest ago."""
        ready = self._ready(self.now_s())
        if not ready:
            return None
        address = min(ready, key=lambda address: self._rests[address].served_s)
        _, device = self.sightings.pop(address)
        return self._known[address], device

    def wait_s(self, limit_s: float) -> float:
        """Until something may have changed, at most ``limit_s``.

        That is the end of a heard device's rest, and the next look whether who was heard and is not
        ours has become ours.
        """
        now_s = self.now_s()
        ends = [
            self._rests[address].until_s - now_s
            for address in self.sightings
            if address in self._rests
        ]
        if self._has_heard_stranger:
            ends.append(self._asked_s + LOOKED_UP_MAX_S - now_s)
        return max(WAIT_MIN_S, min([limit_s, *(end for end in ends if end > 0)]))

    def rested(self) -> None:
        """Let nobody rest any longer, and ask who is ours: a person has just paired a device."""
        self._rests.clear()
        self._asked_s = float("-inf")

    def served(self, paired: PairedDevice, ended: Ended) -> None:
        """Note how it went; a link that brought nothing earns the device a rest."""
        reading = self.clock()
        rest = self._rests.setdefault(paired.address.upper(), _Rest())
        rest.served_s = reading.mono_ms / 1000
        ending = ended.ending.value if ended.ending is not None else "no_link"
        self.health.ended(paired.dev, ending, reading.utc, ended.clock_offset_s)
        if ended.ending is None and ended.cause is not None:
            self.health.no_links[ended.cause] += 1
        self._bond_told(paired, ended)
        self._rest(paired, rest, ended)
        log.info(
            "device_link_ended",
            dev=paired.dev,
            ending=ending,
            values=ended.values,
            cause=ended.cause,
            failures=rest.failures,
        )

    def _bond_told(self, paired: PairedDevice, ended: Ended) -> None:
        was_lost = paired.dev in self.health.bond_lost()
        self.health.bond_told(
            paired.dev, is_refused=ended.is_bond_refused, is_good=ended.values > 0
        )
        if not was_lost and paired.dev in self.health.bond_lost():
            # Never paired anew from here: whoever takes the cuff's address would be let in.
            log.error("bond_lost", dev=paired.dev, remedy="Pair it again: hemma gateway pair.")

    def _rest(self, paired: PairedDevice, rest: _Rest, ended: Ended) -> None:
        if ended.values > 0 and ended.ending is not Ending.NOT_KEPT:
            rest.failures, rest.until_s = 0, rest.served_s
            return
        if ended.may_be_lost:
            rest.until_s = rest.served_s + REST_BLIND_S
            return
        rest.failures += 1
        if paired.dev in self.health.bond_lost():
            rest_s = REST_BOND_LOST_S
        else:
            rest_s = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(rest.failures - 1, 16))
        rest.until_s = rest.served_s + rest_s

    def _ready(self, now_s: float) -> list[str]:
        known = self.known(now_s)
        self.sightings = {
            address: sighting for address, sighting in self.sightings.items() if address in known
        }
        if self._is_full:
            return []
        may_be = [
            address
            for address in self.sightings
            if self._rests.setdefault(address, _Rest()).until_s <= now_s
        ]
        for address in may_be:
            if now_s - self.sightings[address][0] > SIGHTING_MAX_S:
                del self.sightings[address]
                self.is_scan_old = True
        return [address for address in may_be if address in self.sightings]
