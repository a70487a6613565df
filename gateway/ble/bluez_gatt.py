"""A linked device's characteristics through our own bus connection to BlueZ.

bleak makes and ends the link; what happens on it goes over the connection that holds the
subscriptions, so that a value and the answer to a read come in the order in which BlueZ sent them.
Characteristics are looked up in BlueZ each time they are missing: right after a pairing BlueZ says
"resolved" before it has told of all of them (5.66), and bleak looks only once.
"""

from __future__ import annotations

from dbus_fast import Variant

from gateway.ble.bus import BusError
from gateway.ble.objects import CHARACTERISTIC
from gateway.ble.subscriptions import Subscriptions
from gateway.ble.uuids import short_uuid
from gateway.paired import PairedDevice

NOT_THERE = "org.freedesktop.DBus.Error.UnknownObject"
NOT_BONDED = "org.bluez.Error.NotBonded"
ANSWER_MAX_S = 30.0
"""After this ATT itself gives a transaction up (Core specification Vol 3 Part F 3.3.3)."""


class BluezGatt:
    """The characteristics of ``paired``, which is linked."""

    def __init__(self, subscriptions: Subscriptions, paired: PairedDevice) -> None:
        self._bus = subscriptions.bus
        self._subscriptions = subscriptions
        self._paired = paired
        self._paths: dict[str, str] = {}

    async def characteristics(self) -> frozenset[str]:
        """As BlueZ knows them now."""
        self._paths = await self._look()
        return frozenset(self._paths)

    async def is_bonded(self) -> bool:
        """As BlueZ says."""
        device = (await self._bus.managed_objects()).device(self._paired.address)
        return device is not None and device.is_bonded

    async def pair(self) -> None:
        """Raise BusError where there is no bond: a new one is made by an operator only.

        BlueZ would pair with whoever has the device's address, and ask nobody where no passkey is
        wanted. With a bond it encrypts by itself at the start of each link.
        """
        if not await self.is_bonded():
            raise BusError(NOT_BONDED, "The device is not bonded; an operator has to pair it.")

    async def read(self, characteristic: str) -> bytes:
        """Read the value; the signal by which BlueZ tells of it is no value sent by the device."""
        path = await self._path(characteristic)
        with self._subscriptions.reading(path) as was_read:
            (raw,) = await self._bus.call(
                path, CHARACTERISTIC, "ReadValue", "a{sv}", [{}], timeout_s=ANSWER_MAX_S
            )
            was_read(bytes(raw))
        return bytes(raw)

    async def write(self, characteristic: str, raw: bytes) -> None:
        """Write with response."""
        path = await self._path(characteristic)
        options = {"type": Variant("s", "request")}
        body = [raw, options]
        await self._bus.call(
            path, CHARACTERISTIC, "WriteValue", "aya{sv}", body, timeout_s=ANSWER_MAX_S
        )

    async def subscribe(self, characteristic: str) -> None:
        """Subscribe, or make sure that the early subscription holds."""
        path = await self._path(characteristic)
        await self._subscriptions.subscribe(self._paired, path, characteristic)

    async def _path(self, characteristic: str) -> str:
        if characteristic not in self._paths:
            self._paths = await self._look()
        path = self._paths.get(characteristic)
        if path is None:
            raise BusError(NOT_THERE, f"The device has no characteristic {characteristic}.")
        return path

    async def _look(self) -> dict[str, str]:
        """Return the paths by characteristic; of two alike the first in the device's order."""
        objects = await self._bus.managed_objects()
        device = objects.device(self._paired.address)
        if device is None:
            return {}
        found = objects.characteristics(device.path)
        return {short_uuid(one.uuid): one.path for one in reversed(found)}
