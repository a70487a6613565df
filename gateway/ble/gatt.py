"""One link's characteristics as the session uses them, whichever stack is below."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakError, BleakGATTProtocolError

from gateway.ble.bus import BusAway, BusError
from gateway.ble.uuids import long_uuid, short_uuid

LINK_ERRORS = (BleakError, BusError, BusAway, TimeoutError, OSError, EOFError)
"""What bleak, the D-Bus connection below it and our own raise when a link or a bus fails."""
ATT_ERROR = re.compile(r"ATT error: 0x([0-9a-fA-F]{2})")
INSUFFICIENT_ENCRYPTION = 0x0F
BLUEZ_ATT_ERRORS = {
    ("org.bluez.Error.NotPermitted", "Read not permitted"): 0x02,
    ("org.bluez.Error.NotPermitted", "Write not permitted"): 0x03,
    ("org.bluez.Error.NotPermitted", "Not paired"): INSUFFICIENT_ENCRYPTION,
    ("org.bluez.Error.InvalidArguments", "Invalid offset"): 0x07,
    ("org.bluez.Error.InvalidArguments", "Invalid Length"): 0x0D,
}
BLUEZ_ATT_NAMES = {
    "org.bluez.Error.NotAuthorized": 0x08,
    "org.bluez.Error.NotSupported": 0x06,
    "org.bluez.Error.ImproperlyConfigured": 0xFD,
}

OnValue = Callable[[str, bytes], None]
"""Told a characteristic and what it sent; raises where the value could not be kept."""


class Gatt(Protocol):
    """The characteristics of a linked device. Every method raises one of LINK_ERRORS."""

    async def characteristics(self) -> frozenset[str]:
        """Return what is there now, by the names of this house."""

    async def is_bonded(self) -> bool:
        """Tell whether the keys are known to be kept; False where the stack does not say."""

    async def pair(self) -> None:
        """Bond, or encrypt with the bond there is."""

    async def read(self, characteristic: str) -> bytes:
        """Read the value."""

    async def write(self, characteristic: str, raw: bytes) -> None:
        """Write ``raw`` and wait for the device's answer."""

    async def subscribe(self, characteristic: str) -> None:
        """Have the device send the characteristic's values."""


@dataclass(frozen=True, slots=True)
class BleakGatt:
    """What a bleak client offers; values go to ``on_value``, which keeps them."""

    client: BleakClient
    on_value: OnValue

    async def characteristics(self) -> frozenset[str]:
        """As bleak found them when the link was made."""
        found = self.client.services.characteristics.values()
        return frozenset(short_uuid(characteristic.uuid) for characteristic in found)

    async def is_bonded(self) -> bool:
        """Never known: bleak has no such question, and pairing what is bonded does nothing."""
        return False

    async def pair(self) -> None:
        """Pair through bleak's backend."""
        await self.client.pair()

    async def read(self, characteristic: str) -> bytes:
        """Read the value."""
        return bytes(await self.client.read_gatt_char(long_uuid(characteristic)))

    async def write(self, characteristic: str, raw: bytes) -> None:
        """Write with response."""
        await self.client.write_gatt_char(long_uuid(characteristic), raw, response=True)

    async def subscribe(self, characteristic: str) -> None:
        """Subscribe through bleak; whatever ``on_value`` raises goes to the backend."""
        await self.client.start_notify(long_uuid(characteristic), self._heard)

    def _heard(self, sender: BleakGATTCharacteristic, data: bytearray) -> None:
        self.on_value(short_uuid(sender.uuid), bytes(data))


def att_error(error: BaseException) -> int | None:
    """Return the ATT error code (Core specification Vol 3 Part F 3.4.1.1) where it is known."""
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code)
    if not isinstance(error, BusError):
        return None
    if found := ATT_ERROR.search(error.text):
        return int(found[1], 16)
    return BLUEZ_ATT_ERRORS.get((error.name, error.text)) or BLUEZ_ATT_NAMES.get(error.name)
