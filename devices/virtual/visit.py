"""One link with whoever came: what was subscribed to, what was asked, what went out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from bumble.device import Connection
from bumble.gatt import Characteristic

from devices.virtual.behaviour import Record
from devices.virtual.design import INDICATE, NOTIFY
from devices.virtual.link import LinkLost

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice

REQUESTS_MAX = 64
SUBSCRIPTION_MAX_S = 30.0
"""A device gives up a link on which nobody subscribes."""
NOTIFYING, INDICATING = 1, 2
CHANGED = "changed"


@dataclass(slots=True)
class Visit:
    """One link of ``device``. Everything waits only as long as the link stands."""

    device: VirtualDevice
    connection: Connection
    records_sent: int = 0
    requests: asyncio.Queue[tuple[str, bytes]] = field(
        default_factory=lambda: asyncio.Queue(REQUESTS_MAX)
    )
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at each subscription."""
    is_unwelcome: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when whoever came has bonded as this device does not bond."""

    @property
    def room_bytes(self) -> int:
        """How many bytes fit in one value."""
        return self.connection.att_mtu - 3

    def subscription(self, uuid: str) -> int:
        """Return what is subscribed to at ``uuid``: NOTIFYING, INDICATING, both, or 0."""
        subscribed = self.device.radio.gatt_server.subscribers.get(self.connection, {})
        slot = self.device.slots.get(uuid)
        return int.from_bytes(subscribed.get(slot.handle, b""), "little") if slot else 0

    def is_subscribed(self, uuid: str) -> bool:
        """Whether what the characteristic can send is subscribed to."""
        slot = self.device.slots.get(uuid)
        if slot is None:
            return False
        can = NOTIFYING * bool(slot.properties & NOTIFY) | INDICATING * bool(
            slot.properties & INDICATE
        )
        return bool(self.subscription(uuid) & can)

    async def subscribed(self, *uuids: str) -> None:
        """Wait until one of ``uuids`` is subscribed to; TimeoutError where nobody does in time."""
        async with asyncio.timeout(SUBSCRIPTION_MAX_S):
            while not any(self.is_subscribed(uuid) for uuid in uuids):
                self.changed.clear()
                await self.changed.wait()
        await self.speak()

    async def speak(self) -> None:
        """Return where the device says anything at all; else stay until the link is lost."""
        if self.device.faults.stays_silent:
            await asyncio.Event().wait()

    def note_subscription(self) -> None:
        """Tell whoever waits that somebody subscribed, or no longer is."""
        self.changed.set()
        # Where nobody takes what is asked, as on a stream, the event alone has to do.
        with suppress(asyncio.QueueFull):
            self.ask(CHANGED, b"")

    def ask(self, uuid: str, raw: bytes) -> None:
        """Put what was written at a control point where the device finds it."""
        self.requests.put_nowait((uuid, raw))

    async def request(self, within_s: float) -> tuple[str, bytes] | None:
        """Return what was asked next at a control point, None where nothing is for so long.

        CHANGED in its place says that a subscription came or went.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self.requests.get()
        except TimeoutError:
            return None

    async def indicate(self, uuid: str, raw: bytes) -> None:
        """Send ``raw`` and wait for the ATT confirmation, where somebody subscribed to it."""
        await self.device.radio.indicate_subscriber(self.connection, self._slot(uuid), raw)

    async def notify(self, uuid: str, raw: bytes) -> None:
        """Send ``raw``, where somebody subscribed to it; nobody confirms it."""
        if uuid in self.device.slots:
            await self.device.radio.notify_subscriber(self.connection, self._slot(uuid), raw)
        await asyncio.sleep(0)

    async def send(self, uuid: str, raw: bytes) -> None:
        """Indicate or notify ``raw``, whichever the characteristic can."""
        is_indicated = uuid in self.device.slots and self._slot(uuid).properties & INDICATE
        await (self.indicate(uuid, raw) if is_indicated else self.notify(uuid, raw))

    async def deliver(self, uuid: str, record: Record) -> None:
        """Indicate a record; when this returns it is confirmed. Raises LinkLost where it is not."""
        await self._lose_link_in_time()
        for other, raw in record.more:
            await self.send(other, raw)
        # Bumble sends nothing, and says nothing, where the subscription was taken back meanwhile.
        await self.subscribed(uuid)
        if self.device.faults.lose_confirmation:
            await self._lose_confirmation(uuid, record)
        await self.indicate(uuid, record.raw)
        self.records_sent += 1
        self.device.confirm(record)

    async def _lose_confirmation(self, uuid: str, record: Record) -> None:
        self.device.switch_off("lose_confirmation")
        sending = asyncio.ensure_future(self.indicate(uuid, record.raw))
        try:
            await asyncio.sleep(0)
            await self.lose()
        finally:
            sending.cancel()
            await asyncio.wait({sending})

    async def lose(self) -> NoReturn:
        """Break the link, as out of reach; raises LinkLost."""
        await self.device.drop_link()
        raise LinkLost  # pragma: no cover - the end of the link ends whoever waits here, too

    async def notify_records(self, uuid: str, records: list[Record]) -> None:
        """Notify records, in one value where there are several, and what goes with each."""
        await self._lose_link_in_time()
        await self.notify(uuid, b"".join(record.raw for record in records))
        for record in records:
            for other, raw in record.more:
                await self.send(other, raw)
        self.records_sent += len(records)

    async def _lose_link_in_time(self) -> None:
        bound = self.device.faults.lose_link_after
        if bound is not None and self.records_sent >= bound:
            await self.lose()

    def _slot(self, uuid: str) -> Characteristic[bytes]:
        return self.device.slots[uuid]
