"""What every virtual device does: keep records, wake, advertise, deliver, hang up.

A device is made from a :class:`Design` (data) and the home's clocks; cuff, scale, thermometer and
oximeter are designs, not subclasses. All waiting happens in the task that calls
:meth:`VirtualDevice.measure`; a device that nobody measures with costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from bumble.att import Attribute, AttributeValue
from bumble.core import AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import (
    GATT_BATTERY_LEVEL_CHARACTERISTIC,
    GATT_BATTERY_SERVICE,
    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
    Characteristic,
    Descriptor,
    Service,
)
from bumble.keys import KeyStore
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.profiles.device_information_service import DeviceInformationService

from devices.gatt import battery, date_time
from devices.virtual.link import LinkLost, finish, while_linked

ADVERTISING_INTERVAL_MS = 30.0
SUBSCRIPTION_MAX_S = 30.0
"""A device gives up a link on which nobody subscribes."""
RECORDS_MAX = 60
"""As many as such devices keep; the oldest is then overwritten, as theirs is."""

LINKS_WAITING_MAX = 8
SAME_MOMENT = timedelta(minutes=1)

Properties = Characteristic.Properties
Permissions = Attribute.Permissions


@dataclass(frozen=True, slots=True)
class Design:
    """What one kind of device is: names, services and how it turns values into bytes.

    ``encode`` takes component names of :mod:`devices.kinds` with their values and the time by the
    device's own clock (None for a device without one). ``window_s`` is how long it advertises after
    a measurement. ``profile`` and ``model`` are what an operator would enrol it with.
    """

    model: str
    profile: str
    kinds: tuple[str, ...]
    local_name: str
    service: int
    measurement: int
    feature: int
    feature_value: bytes
    encode: Callable[[Mapping[str, float], datetime | None], bytes]
    manufacturer: str
    must_bond: bool
    has_clock: bool
    window_s: float
    hang_up_after_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Clocks:
    """The invented home's clocks: true UTC, monotonic seconds, and the zone it lies in."""

    utc: Callable[[], datetime]
    mono_s: Callable[[], float]
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one measurement.

    ``confirmed_at`` and ``confirmed_mono_s`` are the home's clocks when the gateway's confirmation
    of the indication reached the device; None while the record is still kept for the next link.
    ``attempts`` counts the links that were made meanwhile.
    """

    delivered: bool
    confirmed_at: datetime | None
    confirmed_mono_s: float | None
    attempts: int


@dataclass(slots=True)
class _Record:
    raw: bytes
    confirmed_at: datetime | None = None
    confirmed_mono_s: float | None = None


@dataclass(slots=True)
class VirtualDevice:
    """One device in the home. Made by :class:`devices.virtual.home.VirtualHome`."""

    design: Design
    address: str
    clocks: Clocks
    radio: Device
    clock_offset: timedelta
    window_s: float
    battery_percent: int = 90
    pairing_mode: bool = False
    """Whether it bonds although it has a bond already, as after the user held its button."""
    links: int = 0
    undelivered: list[_Record] = field(default_factory=list)
    _last_stamp: datetime | None = None
    _connections: asyncio.Queue[Connection] = field(
        default_factory=lambda: asyncio.Queue(LINKS_WAITING_MAX)
    )
    _awake: asyncio.Lock = field(default_factory=asyncio.Lock)
    _measurement: Characteristic[bytes] | None = None
    _subscribed: asyncio.Event = field(default_factory=asyncio.Event)

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

    def device_time(self, at: datetime | None = None) -> datetime:
        """What the device's own clock shows at ``at`` (default now): local, naive, seconds."""
        local = (at or self.clocks.utc()).astimezone(self.clocks.zone).replace(tzinfo=None)
        return (local + self.clock_offset).replace(microsecond=0)

    async def power_on(self) -> None:
        """Build the services and join the link. Called once, by the home."""
        self.radio.pairing_config_factory = self._pairing
        self.radio.add_services(self._services())
        self.radio.on(Device.EVENT_CONNECTION, self._on_connection)
        self.radio.advertising_data = bytes(
            AdvertisingData(
                [
                    (AdvertisingData.Type.FLAGS, b"\x06"),
                    (
                        AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                        self.design.service.to_bytes(2, "little"),
                    ),
                    (AdvertisingData.Type.COMPLETE_LOCAL_NAME, self.design.local_name.encode()),
                ]
            )
        )
        await self.radio.power_on()

    async def measure(self, values: Mapping[str, float], *, at: datetime | None = None) -> Report:
        """Take a measurement; returns when it is delivered or the window has passed.

        ``values`` are component names with values in the catalogue's units. ``at`` is the true time
        of the measurement, default now; the device stamps it with its own clock. A value nobody
        fetched is kept and sent at the next link.
        """
        record = _Record(self.design.encode(values, self._stamp(at)))
        self.undelivered.append(record)
        del self.undelivered[:-RECORDS_MAX]
        attempts = await self.wake(record)
        return Report(
            delivered=record.confirmed_at is not None,
            confirmed_at=record.confirmed_at,
            confirmed_mono_s=record.confirmed_mono_s,
            attempts=attempts,
        )

    async def wake(self, record: _Record | None = None) -> int:
        """Advertise for the window and deliver what is kept; returns the number of links made."""
        async with self._awake:
            if record is not None and record.confirmed_at is not None:
                return 0
            links_before = self.links
            try:
                await self._deliver_within_window()
            finally:
                await finish(self.radio.stop_advertising())
            return self.links - links_before

    def _stamp(self, at: datetime | None) -> datetime | None:
        if not self.design.has_clock:
            return None
        stamp = self.device_time(at)
        last = self._last_stamp
        if last is not None and timedelta(0) <= last - stamp < SAME_MOMENT:
            # No device measures twice in a second, so no two of its records may look the same.
            stamp = last + timedelta(seconds=1)
        self._last_stamp = stamp
        return stamp

    async def forget_bond(self) -> None:
        """Lose the bond, as a device does whose battery was out or that was reset."""
        await self._keys().delete_all()

    async def drop_link(self) -> None:
        """Break the link as a device out of range would; nothing happens without one."""
        for connection in list(self.radio.connections.values()):
            await _disconnect(connection)

    async def is_bonded(self) -> bool:
        """Whether the device holds a bond."""
        return bool(await self._keys().get_all())

    def _keys(self) -> KeyStore:
        assert self.radio.keystore is not None, "power_on comes first"
        return self.radio.keystore

    async def _deliver_within_window(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.window_s
        while True:
            connection = await self._next_link(until)
            if connection is None:
                return
            self.links += 1
            try:
                await while_linked(connection, self._deliver(connection))
            except (LinkLost, TimeoutError):
                # What is undelivered stays kept; the rest of the window is for trying again.
                pass
            finally:
                await _disconnect(connection)
            if not self.undelivered:
                return

    async def _next_link(self, until: float) -> Connection | None:
        self._connections = asyncio.Queue(LINKS_WAITING_MAX)
        self._subscribed.clear()
        await finish(
            self.radio.start_advertising(
                advertising_interval_min=ADVERTISING_INTERVAL_MS,
                advertising_interval_max=ADVERTISING_INTERVAL_MS,
            )
        )
        try:
            async with asyncio.timeout_at(until):
                return await self._connections.get()
        except TimeoutError:
            # Somebody may have linked up in the very moment the window closed.
            await finish(self.radio.stop_advertising())
            return None if self._connections.empty() else self._connections.get_nowait()

    async def _deliver(self, connection: Connection) -> None:
        """Indicate every kept record once somebody has subscribed; forget each when confirmed."""
        async with asyncio.timeout(SUBSCRIPTION_MAX_S):
            await self._subscribed.wait()
        assert self._measurement is not None, "power_on comes first"
        while self.undelivered:
            record = self.undelivered[0]
            await self.radio.indicate_subscriber(connection, self._measurement, record.raw)
            record.confirmed_mono_s = self.clocks.mono_s()
            record.confirmed_at = self.clocks.utc()
            self.undelivered.remove(record)
        await asyncio.sleep(self.design.hang_up_after_s)

    def _on_connection(self, connection: Connection) -> None:
        self._connections.put_nowait(connection)

    def _on_subscription(self, _bearer: object, _notify: bool, indicate: bool) -> None:
        if indicate:
            self._subscribed.set()

    def _pairing(self, _connection: Connection) -> PairingConfig:
        return PairingConfig(sc=True, mitm=False, bonding=True, delegate=_Delegate(self))

    def _services(self) -> list[Service]:
        protected = self.design.must_bond
        measurement: Characteristic[bytes] = Characteristic(
            f"{self.design.measurement:04X}", Properties.INDICATE, Permissions(0), b""
        )
        # Bumble's own descriptor needs no encryption; a cuff that must be bonded does.
        allowed = Permissions.READABLE | Permissions.WRITEABLE
        if protected:
            allowed |= Permissions.WRITE_REQUIRES_ENCRYPTION
        measurement.descriptors = [
            Descriptor(
                GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
                allowed,
                self.radio.gatt_server.make_descriptor_value(measurement),
            )
        ]
        measurement.on(Characteristic.EVENT_SUBSCRIPTION, self._on_subscription)
        self._measurement = measurement
        characteristics = [measurement, _readable(self.design.feature, self.design.feature_value)]
        if self.design.has_clock:
            characteristics.append(self._clock(protected=protected))
        level: Characteristic[bytes] = Characteristic(
            GATT_BATTERY_LEVEL_CHARACTERISTIC,
            Properties.READ,
            Permissions.READABLE,
            AttributeValue(read=lambda _connection: battery.encode(self.battery_percent)),
        )
        return [
            Service(f"{self.design.service:04X}", characteristics),
            Service(GATT_BATTERY_SERVICE, [level]),
            DeviceInformationService(
                manufacturer_name=self.design.manufacturer,
                model_number=self.design.model,
                serial_number=self.address.replace(":", "")[-6:],
                firmware_revision="virtual",
            ),
        ]

    def _clock(self, *, protected: bool) -> Characteristic[bytes]:
        allowed = Permissions.READABLE | Permissions.WRITEABLE
        if protected:
            allowed |= Permissions.READ_REQUIRES_ENCRYPTION | Permissions.WRITE_REQUIRES_ENCRYPTION
        return Characteristic(
            "2A08",
            Properties.READ | Properties.WRITE,
            allowed,
            AttributeValue(
                read=lambda _connection: date_time.encode(self.device_time()),
                write=lambda _connection, raw: self._set_clock(raw),
            ),
        )

    def _set_clock(self, raw: bytes) -> None:
        told = date_time.read(raw)
        if told is not None:
            self.clock_offset += told - self.device_time()


class _Delegate(PairingDelegate):
    """Bonds without questions, but only in pairing mode or when no bond is held."""

    def __init__(self, owner: VirtualDevice) -> None:
        super().__init__()
        self._owner = owner

    async def accept(self) -> bool:
        """Whether to go on with a pairing that somebody asked for."""
        return self._owner.pairing_mode or not await self._owner.is_bonded()


def _readable(uuid: int, value: bytes) -> Characteristic[bytes]:
    return Characteristic(f"{uuid:04X}", Properties.READ, Permissions.READABLE, value)


async def _disconnect(connection: Connection) -> None:
    try:
        await while_linked(connection, _hang_up(connection))
    except LinkLost:
        return


def _hang_up(connection: Connection) -> Coroutine[Any, Any, None]:
    return connection.disconnect()
