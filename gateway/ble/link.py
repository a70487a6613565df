"""What a link is while it lasts, and what every link needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from bleak import BleakClient

from devices.conversation import Consent, Conversation, Event, Moment, Notified
from devices.profiles import Profile
from gateway.ble.bluez_gatt import BluezGatt
from gateway.ble.connect import Limits
from gateway.ble.gatt import LINK_ERRORS, BleakGatt, Gatt
from gateway.ble.journal import Journal
from gateway.ble.radio import Radio
from gateway.ble.subscriptions import Subscriptions
from gateway.clock import ClockReading
from gateway.paired import PairedDevice


class Notes(Protocol):
    """What is remembered of a device between its links; each method raises JOURNAL_ERRORS."""

    def last_sequence(self, dev: str, characteristic: str) -> int | None:
        """Return the number up to which records are kept, None for none."""

    def proof(self, dev: str, characteristic: str) -> bytes | None:
        """Return what was noted beside that number."""

    def consent(self, dev: str) -> Consent | None:
        """Return which user of the device the person is, None where nobody said."""

    def sequence(
        self, dev: str, characteristic: str, number: int | None, proof: bytes | None
    ) -> None:
        """Remember that number; None forgets it."""

    def event(self, dev: str, what: str, detail: str) -> None:
        """Keep a fact about measuring that is no measurement."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every link needs: made once by whoever listens.

    ``subscriptions`` is set on BlueZ: values then come through them only. ``zone`` is the home's:
    devices keep local time. Without ``notes`` nothing is remembered between links.
    """

    radio: Radio
    journal: Journal
    clock: Callable[[], ClockReading]
    zone: tzinfo
    limits: Limits
    subscriptions: Subscriptions | None = None
    notes: Notes | None = None


@dataclass(slots=True)
class Link:
    """One link, from the try to make it to its end; ``client`` is None before it is up.

    ``is_blind`` where a value that came at once could not be heard.
    """

    paired: PairedDevice
    profile: Profile
    around: Surroundings
    conversation: Conversation
    events: asyncio.Queue[Event]
    client: BleakClient | None = None
    clock_offset_s: float | None = None
    is_blind: bool = False
    _gatt: Gatt | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is a link as far as is known."""
        return self.client is not None and self.client.is_connected

    @property
    def gatt(self) -> Gatt:
        """The device's characteristics."""
        assert self._gatt is not None, "only a link has characteristics"
        return self._gatt

    def linked(self, client: BleakClient) -> None:
        """The link is up."""
        subscriptions = self.around.subscriptions
        self.client = client
        self._gatt = (
            BleakGatt(client, self.on_value)
            if subscriptions is None
            else BluezGatt(subscriptions, self.paired)
        )

    def on_value(self, characteristic: str, raw: bytes) -> None:
        """Keep what bleak hands over; whatever the journal raises goes on to the backend.

        So nothing is confirmed where the backend can still hold the confirmation back.
        """
        kept = False
        try:
            self.append(characteristic, raw)
            kept = True
        finally:
            self.put(Notified(characteristic, raw, kept))

    def append(self, characteristic: str, raw: bytes) -> None:
        """Keep a value; raises one of JOURNAL_ERRORS."""
        dev, model = self.paired.dev, self.paired.model
        self.around.journal.append(dev=dev, model=model, characteristic=characteristic, raw=raw)

    def put(self, event: Event) -> None:
        """Hand ``event`` to the conversation, when its turn comes."""
        # At the bound an event is only a count or a hang-up that the next tick finds out anyway:
        # the value itself is in the journal already.
        with suppress(asyncio.QueueFull):
            self.events.put_nowait(event)

    def now(self) -> Moment:
        """What the clocks say, as a conversation wants it."""
        reading = self.around.clock()
        if reading.quality == "none":
            return Moment(reading.mono_ms / 1000, None)
        local = reading.utc.astimezone(self.around.zone).replace(tzinfo=None)
        return Moment(reading.mono_ms / 1000, local)

    async def hang_up(self) -> None:
        """End the link, if there is one; what fails at that is no matter any more."""
        if self.client is None:
            return
        with suppress(*LINK_ERRORS):
            async with asyncio.timeout(self.around.limits.hang_up_s):
                await self.client.disconnect()
