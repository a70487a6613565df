"""bleak's scanner and client over a Bumble central on the in-process link.

bleak takes backends as classes and constructs them itself, so :func:`backends` makes the two
classes for one central. The client behaves as bleak's BlueZ backend does where a caller can tell: a
stored bond is used at connect, pairing an already bonded device does nothing, protocol errors are
``BleakGATTProtocolError``, the disconnected callback also runs for a hang-up by the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from bleak.args import SizedBuffer
from bleak.assigned_numbers import (
    CharacteristicPropertyName,
    gatt_char_props_to_strs,
)
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import (
    AdvertisementData,
    AdvertisementDataCallback,
    BaseBleakScanner,
)
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_16
from bumble import core, hci
from bumble.att import ATT_Error
from bumble.controller import Controller
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.keys import KeyStore

from devices.virtual.link import LinkLost, finish, is_linked, while_linked

T = TypeVar("T")
ATT_MTU = 247
DISCONNECT_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Central:
    """The virtual gateway radio: Bumble's host and the controller below it."""

    device: Device
    controller: Controller


def backends(central: Central) -> tuple[type[BaseBleakScanner], type[BaseBleakClient]]:
    """Scanner and client classes bound to ``central``, for bleak's ``backend=``."""
    scanner = type("VirtualScanner", (BumbleScanner,), {"central": central})
    client = type("VirtualClient", (BumbleClient,), {"central": central})
    return scanner, client


def _address_text(address: hci.Address) -> str:
    return str(address).removesuffix("/P")


def _advertised(advertisement: Advertisement) -> AdvertisementData:
    name = advertisement.data.get(AdvertisingData.Type.COMPLETE_LOCAL_NAME, raw=True)
    listed = advertisement.data.get(
        AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, raw=True
    )
    listed = listed or b""
    uuids = [
        normalize_uuid_16(int.from_bytes(listed[at : at + 2], "little"))
        for at in range(0, len(listed) - 1, 2)
    ]
    return AdvertisementData(
        local_name=name.decode() if name else None,
        manufacturer_data={},
        service_data={},
        service_uuids=uuids,
        tx_power=None,
        rssi=advertisement.rssi,
        platform_data=(),
    )


class BumbleScanner(BaseBleakScanner):
    """Scanner: reports every advertisement heard while started."""

    central: Central

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **_platform: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        """Start; what was seen before is forgotten."""
        self.seen_devices = {}
        self.central.device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
        # Nothing answers scan requests on the virtual link, so wait for none.
        await finish(self.central.device.start_scanning(active=False))

    async def stop(self) -> None:
        """Stop; a scanner that is not started stays so."""
        if self._on_advertisement in self.central.device.listeners(Device.EVENT_ADVERTISEMENT):
            self.central.device.remove_listener(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
        await finish(self.central.device.stop_scanning())

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        data = _advertised(advertisement)
        if not self.is_allowed_uuid(data.service_uuids):
            return
        address = _address_text(advertisement.address)
        device = self.create_or_update_device(
            address, address, data.local_name, advertisement.address, data
        )
        self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """Client: one link to one peripheral."""

    central: Central

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        **_platform: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        self._connection: Connection | None = None
        self._given_up: set[asyncio.Future[Any]] = set()

    @property
    def name(self) -> str:
        """The address: the virtual link knows no other name without reading one."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """The ATT MTU agreed for this link, 23 before that."""
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None and is_linked(self._connection)

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Link up, use a stored bond, pair if asked, discover.

        Raises ``TimeoutError`` when no advertisement of the device is heard in time, ``BleakError``
        when the link is lost or the bond is refused.
        """
        async with asyncio.timeout(float(kwargs.get("timeout", self._timeout))):
            self._connection = await self._link()
            self._connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnected)
            try:
                if pair:
                    await self.pair()
                elif await self._is_bonded():
                    await self._on_link(self._connection.encrypt())
                self.services = await self._on_link(self._discover())
            except (BleakError, asyncio.CancelledError):
                await self.disconnect()
                raise

    async def _link(self) -> Connection:
        address = hci.Address(self.address)
        device = self.central.device
        left_over = device.find_connection_by_bd_addr(address, core.PhysicalTransport.LE)
        if left_over is not None:
            # A try given up in the very moment the link came: end it before starting another.
            await left_over.disconnect()
        # One controller, one pending connection. The virtual controller ignores the cancel command,
        # so a try that was given up is taken back by hand, else no later connection would be
        # allowed.
        try:
            return await device.connect_le(address, timeout=None)
        except core.BaseBumbleError as error:
            raise BleakError(f"{type(error).__name__}: {error}") from error
        finally:
            self.central.controller.pending_le_connection = None

    async def _discover(self) -> BleakGATTServiceCollection:
        connection = self._linked()
        peer = Peer(connection)
        await peer.request_mtu(ATT_MTU)
        await peer.discover_services()
        found = BleakGATTServiceCollection()
        for service in peer.services:
            bleak_service = BleakGATTService(service, service.handle, _uuid_text(service.uuid))
            found.add_service(bleak_service)
            for proxy in await peer.discover_characteristics(service=service):
                found.add_characteristic(
                    BleakGATTCharacteristic(
                        proxy,
                        proxy.handle,
                        _uuid_text(proxy.uuid),
                        _property_names(int(proxy.properties)),
                        lambda: connection.att_mtu - 3,
                        bleak_service,
                    )
                )
        return found

    async def disconnect(self) -> None:
        """Hang up; a link that is already gone is fine."""
        connection = self._connection
        if connection is None or not is_linked(connection):
            return
        try:
            async with asyncio.timeout(DISCONNECT_MAX_S):
                await while_linked(connection, connection.disconnect())
        except LinkLost:
            return

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        """Bond and encrypt; with a stored bond only encrypt, never bond anew in silence."""
        connection = self._linked()
        if connection.is_encrypted:
            return
        if await self._is_bonded():
            await self._on_link(connection.encrypt())
        else:
            await self._on_link(connection.pair())

    async def unpair(self) -> None:
        """Forget the bond on this side and hang up."""
        await self._keys().delete(self.address)
        await self.disconnect()

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_kwargs: Any
    ) -> bytearray:
        """Read a value from the device; nothing is cached."""
        return bytearray(await self._asked(characteristic.obj.read_value()))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_kwargs: Any
    ) -> bytearray:
        """Not offered: this backend discovers no descriptors."""
        raise BleakError("descriptors are not discovered by the virtual backend")

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a value."""
        await self._asked(characteristic.obj.write_value(bytes(data), with_response=response))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Not offered: this backend discovers no descriptors."""
        raise BleakError("descriptors are not discovered by the virtual backend")

    async def start_notify(
        self,
        characteristic: BleakGATTCharacteristic,
        callback: NotifyCallback,
        **_kwargs: Any,
    ) -> None:
        """Subscribe. ``callback`` runs before the confirmation; if it raises, none is sent."""
        proxy = characteristic.obj
        try:
            await self._asked(proxy.subscribe(lambda raw: callback(bytearray(raw))))
        except BleakError:
            # Bumble registers the callback before it asks; a refused one must not stay behind.
            proxy.client.indication_subscribers.pop(proxy.handle, None)
            proxy.client.notification_subscribers.pop(proxy.handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        await self._asked(characteristic.obj.unsubscribe(force=True))

    def _linked(self) -> Connection:
        if self._connection is None:
            raise BleakError("not connected")
        return self._connection

    def _keys(self) -> KeyStore:
        keystore = self.central.device.keystore
        assert keystore is not None, "the radio is powered on"
        return keystore

    async def _is_bonded(self) -> bool:
        return await self._keys().get(self.address) is not None

    async def _asked(self, request: Coroutine[Any, Any, T]) -> T:
        """Await the answer to a request; one that is given up still takes its own answer.

        Else that would be taken for the answer to the next request. What follows waits until then,
        as it does in BlueZ, which also ends the link over a request that is never answered.
        """
        task = asyncio.ensure_future(self._on_link(request))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._given_up.add(task)
            task.add_done_callback(self._forget)
            raise

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._given_up.discard(task)
        if not task.cancelled():
            # What it was answered no longer matters, nor that it failed.
            task.exception()

    async def _on_link(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await while_linked(self._linked(), work)
        except LinkLost as error:
            raise BleakError("disconnected") from error
        except core.TimeoutError as error:
            await self.disconnect()
            raise BleakError("not answered") from error
        except ATT_Error as error:
            raise BleakGATTProtocolError(int(error.error_code)) from error
        except (core.BaseBumbleError, hci.HCI_Error) as error:
            raise BleakError(f"{type(error).__name__}: {error}") from error

    def _on_disconnected(self, _reason: int) -> None:
        if self._disconnected_callback is not None:
            self._disconnected_callback()


def _uuid_text(uuid: core.UUID) -> str:
    return str(UUID(bytes=bytes(reversed(uuid.to_bytes(force_128=True)))))


def _property_names(flags: int) -> list[CharacteristicPropertyName]:
    return list(gatt_char_props_to_strs(flags))
