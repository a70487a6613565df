"""What every virtual device does: keep records, wake, advertise, let itself be linked, hang up.

A device is made from a :class:`~devices.virtual.design.Design` (data) and the place's clocks; cuff,
scale and all others are designs, not subclasses. What it does on a link is its design's behaviour,
what it does wrong are its ``faults``. All waiting happens in the task that calls
:meth:`VirtualDevice.measure` or :meth:`VirtualDevice.wake`; a device that nobody measures with
costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from dataclasses import InitVar, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bumble.att import ATT_WRITE_NOT_PERMITTED_ERROR, ATT_Error
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic
from bumble.keys import KeyStore, PairingKeys

from devices.gatt import battery
from devices.kinds import KINDS
from devices.virtual import table
from devices.virtual.behaviour import Behaviour, Record
from devices.virtual.clock import Clocks, DeviceClock, without_time
from devices.virtual.design import Design, Values
from devices.virtual.faults import NO_FAULTS, Faults
from devices.virtual.link import LinkLost, beside, finish, while_linked
from devices.virtual.pairing import Bonds
from devices.virtual.visit import Visit

__all__ = ["Clocks", "Design", "Report", "VirtualDevice"]

ADVERTISING_INTERVAL_MS = 30.0
ADVERTISED_MAX_BYTES = 31
"""What legacy advertising holds; a kernel drops longer ones."""
LINKS_WAITING_MAX = 8
CONFIRMED_MAX = 10_000
ALL_HANDLES = b"\x01\x00\xff\xff"
"""What Service Changed says when anything may have changed."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one measurement.

    ``delivered`` is what the device believes. ``confirmed_at`` and ``confirmed_mono_s`` are the
    place's clocks when the other side's confirmation reached the device; None while the record is
    still kept for the next link, and for ever where it is notified, which nobody confirms.
    ``attempts`` counts the links that were made meanwhile.
    """

    delivered: bool
    confirmed_at: datetime | None
    confirmed_mono_s: float | None
    attempts: int


@dataclass(slots=True)
class VirtualDevice:
    """One device. Made by :meth:`devices.virtual.place.Place.add`.

    ``confirmed`` holds the bytes of every record for which an ATT confirmation came, oldest first:
    what the device has deleted, or would. ``slots`` are its characteristics by UUID.
    """

    design: Design
    address: str
    clocks: Clocks
    radio: Device
    clock_ahead: InitVar[timedelta]
    passkey: InitVar[int]
    window_s: float
    battery_percent: int = 90
    faults: Faults = NO_FAULTS
    pairing_mode: bool = False
    """Whether it bonds although it has a bond already, as after the user held its button."""
    links: int = 0
    confirmed: deque[bytes] = field(default_factory=lambda: deque(maxlen=CONFIRMED_MAX))
    slots: dict[str, Characteristic[bytes]] = field(default_factory=dict)
    clock: DeviceClock = field(init=False)
    bonds: Bonds = field(init=False)
    behaviour: Behaviour = field(init=False)
    visit: Visit | None = None
    _visits: asyncio.Queue[Visit] = field(default_factory=lambda: asyncio.Queue(LINKS_WAITING_MAX))
    _awake: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_incomplete: bool = False
    _has_changed: bool = False
    _own_services_at: tuple[int, int] = (0, 0)

    def __post_init__(self, clock_ahead: timedelta, passkey: int) -> None:
        """Give it its clock, its bonds and its behaviour."""
        self.clock = DeviceClock(self, clock_ahead)
        self.bonds = Bonds(self, passkey)
        self.behaviour = self.design.behaviour(self)

    @property
    def dev(self) -> str:
        """The name it has on the wire: ``ble-`` and the address in lower hex."""
        return "ble-" + self.address.replace(":", "").lower()

    @property
    def model(self) -> str:
        """The model an operator would enrol it as."""
        return self.design.model

    @property
    def profile(self) -> str:
        """The name of its profile in :mod:`devices.profiles`."""
        return self.design.profile

    @property
    def undelivered(self) -> list[Record]:
        """What it believes nobody has fetched, oldest first."""
        return self.behaviour.undelivered

    @property
    def clock_offset(self) -> timedelta:
        """How far its clock is ahead, faults apart."""
        return self.clock.offset

    @clock_offset.setter
    def clock_offset(self, offset: timedelta) -> None:
        self.clock.offset = offset

    @property
    def shown_passkey(self) -> int | None:
        """The six digits on its display while it pairs, else None."""
        return self.bonds.shown_passkey

    def device_time(self, at: datetime | None = None) -> datetime:
        """What the device's own clock shows at ``at`` (default now): local, naive, seconds."""
        return self.clock.now(at)

    def switch(self, **faults: Any) -> None:
        """Switch these faults on, beside those that are on already."""
        self.faults = replace(self.faults, **faults)

    def switch_off(self, *names: str) -> None:
        """Switch off the faults of these names."""
        self.switch(**{name: getattr(NO_FAULTS, name) for name in names})

    async def power_on(self) -> None:
        """Build the services and join the air. Called once, by the place."""
        server = self.radio.gatt_server
        self._own_services_at = len(server.attributes), len(server.services)
        self.radio.pairing_config_factory = self.bonds.configuration
        self.radio.add_services(table.build(self))
        self.radio.on(Device.EVENT_CONNECTION, self._on_connection)
        self.radio.advertising_data = advertised(self.design)
        await self.radio.power_on()

    def store(self, values: Values, *, at: datetime | None = None) -> Record:
        """Measure and keep the value, without waking: nobody was near.

        ``values`` are component names with values in the catalogue's units. ``at`` is the true time
        of the measurement, default now; the device stamps it with its own clock.
        """
        given = dict(values)
        if self.faults.nan_values:
            given |= dict.fromkeys(given.keys() & measured_by(self.design), math.nan)
        if self.faults.other_user is not None:
            given["user"] = self.faults.other_user
        stamp = self.clock.stamp(at) if self.design.has_clock else None
        record = self.behaviour.store(given, stamp)
        if self.faults.clock_absent:
            record.raw = without_time(record.raw, stamp)
        return record

    async def measure(self, values: Values, *, at: datetime | None = None) -> Report:
        """Take a measurement; returns when it is delivered or the window has passed.

        Arguments as for :meth:`store`. A value nobody fetched is kept and sent at the next link.
        """
        record = self.store(values, at=at)
        attempts = await self.wake(record)
        return Report(
            delivered=record.delivered,
            confirmed_at=record.confirmed_at,
            confirmed_mono_s=record.confirmed_mono_s,
            attempts=attempts,
        )

    async def wake(self, record: Record | None = None) -> int:
        """Advertise for the window and deliver what is kept; returns the number of links made."""
        async with self._awake:
            if record is not None and record.delivered:
                return 0
            links_before = self.links
            try:
                await self._deliver_within_window()
            finally:
                await finish(self.radio.stop_advertising())
            return self.links - links_before

    def confirm(self, record: Record) -> None:
        """Note that the other side confirmed a record: the device may delete it."""
        record.delivered = True
        record.confirmed_mono_s = self.clocks.mono_s()
        record.confirmed_at = self.clocks.utc()
        self.confirmed.append(record.raw)

    async def forget_bond(self) -> None:
        """Lose the bond, as a device does whose battery was out or that was reset."""
        self.bonds.forget()
        await self._keys().delete_all()

    async def drop_link(self) -> None:
        """Break the link as a device out of range would; nothing happens without one."""
        for connection in list(self.radio.connections.values()):
            await _disconnect(connection)

    async def is_bonded(self) -> bool:
        """Whether the device holds a bond."""
        return bool(await self._keys().get_all())

    def read(self, uuid: str) -> bytes | None:
        """Return what is read there now, None where it is always the same."""
        if uuid == table.BATTERY:
            return self._battery()
        value = self.clock.read(uuid)
        return self.behaviour.read(uuid) if value is None else value

    def write(self, uuid: str, raw: bytes) -> None:
        """Take a write; raises ``ATT_Error`` where it is refused."""
        if self.clock.write(uuid, raw):
            return
        visit, is_open = self.visit, not self.faults.refuses_writes
        if visit is None or not (is_open and self.behaviour.write(uuid, raw, visit)):
            raise ATT_Error(ATT_WRITE_NOT_PERMITTED_ERROR)

    def subscribed(self, connection: Connection, uuid: str, value: bytes) -> None:
        """Take note of a subscription, or that it was taken back."""
        self.bonds.note(connection, uuid, value)
        if self.visit is not None:
            self.visit.note_subscription()

    def _battery(self) -> bytes:
        low = self.faults.battery_percent
        return battery.encode(self.battery_percent if low is None else low)

    def _keys(self) -> KeyStore:
        assert self.radio.keystore is not None, "power_on comes first"
        return self.radio.keystore

    async def _deliver_within_window(self) -> None:
        loop = asyncio.get_running_loop()
        short = self.faults.window_s
        until = loop.time() + (self.window_s if short is None else short)
        while True:
            visit = await self._next_link(until)
            if visit is None:
                return
            self.links += 1
            try:
                await while_linked(visit.connection, self._serve(visit))
            except (LinkLost, TimeoutError):
                # What is undelivered stays kept; the rest of the window is for trying again.
                pass
            finally:
                await _disconnect(visit.connection)
                self.visit = None
            if not self.undelivered:
                return

    async def _next_link(self, until: float) -> Visit | None:
        await self._change_before_link()
        self._visits = asyncio.Queue(LINKS_WAITING_MAX)
        await finish(
            self.radio.start_advertising(
                advertising_interval_min=ADVERTISING_INTERVAL_MS,
                advertising_interval_max=ADVERTISING_INTERVAL_MS,
            )
        )
        try:
            async with asyncio.timeout_at(until):
                return await self._visits.get()
        except TimeoutError:
            # Somebody may have linked up in the very moment the window closed.
            await finish(self.radio.stop_advertising())
            return None if self._visits.empty() else self._visits.get_nowait()

    async def _change_before_link(self) -> None:
        """Let the faults come true that show in the next link only."""
        if self.faults.forgets_bond:
            self.switch_off("forgets_bond")
            await self.forget_bond()
        if self.faults.services_incomplete:
            self.switch_off("services_incomplete")
            self._rebuild(self.design.measurement)
            self._is_incomplete = True
        elif self._is_incomplete:
            self._rebuild()
            self._is_incomplete, self._has_changed = False, True

    def _rebuild(self, *left_out: str) -> None:
        server = self.radio.gatt_server
        attributes, services = self._own_services_at
        del server.attributes[attributes:], server.services[services:]
        server.attributes_by_handle.clear()
        self.radio.add_services(table.build(self, left_out))

    async def _serve(self, visit: Visit) -> None:
        async with (
            asyncio.timeout(self.faults.hangs_up_after_s),
            beside(self.bonds.recall(visit), self._expel(visit), self._tell_change(visit)),
        ):
            await self.behaviour.serve(visit)
            if visit.is_subscribed(table.BATTERY):
                await visit.notify(table.BATTERY, self._battery())
            if self.faults.never_hangs_up:
                await asyncio.Event().wait()

    async def _expel(self, visit: Visit) -> None:
        """Throw out who bonded otherwise than this device bonds."""
        await visit.is_unwelcome.wait()
        await self.forget_bond()
        await self.drop_link()

    async def _tell_change(self, visit: Visit) -> None:
        service = self.radio.gatt_service
        assert service is not None, "Bumble adds the service by itself"
        changed = service.service_changed_characteristic
        if not self._has_changed or changed is None:
            return
        self._has_changed = False
        asked = asyncio.Event()
        changed.on(Characteristic.EVENT_SUBSCRIPTION, lambda *_about: asked.set())
        await asked.wait()
        await self.radio.indicate_subscriber(visit.connection, changed, ALL_HANDLES)

    def _on_connection(self, connection: Connection) -> None:
        visit = self.visit = Visit(self, connection)

        def on_pairing(keys: PairingKeys) -> None:
            if not self.bonds.is_good(keys):
                visit.is_unwelcome.set()

        connection.on(Connection.EVENT_PAIRING, on_pairing)
        connection.on(Connection.EVENT_PAIRING_FAILURE, self.bonds.clear_display)
        self._visits.put_nowait(visit)


def measured_by(design: Design) -> set[str]:
    """Return the names of the components that a device of this design measures."""
    return {part.name for kind in design.kinds for part in KINDS[kind].components}


def advertised(design: Design) -> bytes:
    """Return what a device of this design advertises: flags, service, and the name that fits."""
    service = UUID(design.service)
    kind = (
        AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS
        if len(service.to_bytes()) == len(b"16")
        else AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
    )
    parts = [(AdvertisingData.Type.FLAGS, b"\x06"), (kind, service.to_bytes())]
    room = ADVERTISED_MAX_BYTES - len(bytes(AdvertisingData(parts))) - 2
    name = design.local_name.encode()
    name_kind = (
        AdvertisingData.Type.COMPLETE_LOCAL_NAME
        if len(name) <= room
        else AdvertisingData.Type.SHORTENED_LOCAL_NAME
    )
    return bytes(AdvertisingData([*parts, (name_kind, name[:room])]))


async def _disconnect(connection: Connection) -> None:
    try:
        await while_linked(connection, _hang_up(connection))
    except LinkLost:
        return


def _hang_up(connection: Connection) -> Coroutine[Any, Any, None]:
    return connection.disconnect()
