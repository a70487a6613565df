"""What is heard while an operator looks for a device to enrol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError

from devices.profiles import Profile, suggest
from gateway.ble.gatt import LINK_ERRORS
from gateway.ble.radio import Radio
from gateway.ble.scan import scanning
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.ble.uuids import short_uuid

FOUND_MAX = 64
"""Where more are heard at once nobody can choose anyway; the rest is left out."""
NAME_MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A device that could be enrolled; ``number`` is its place in the list, from 1.

    ``profiles`` are the families it may belong to, best first; ``is_paired`` says that this gateway
    listens to it already. ``signal_dbm`` is how strongly it was heard first: nearer 0 is nearer.
    """

    number: int
    address: str
    name: str
    signal_dbm: int
    profiles: tuple[Profile, ...]
    is_paired: bool


@dataclass(slots=True)
class Nearby:
    """Everything heard in one search, and what of it is told to the operator.

    With ``only`` no other address counts. With ``everything`` also devices of no known family are
    told. ``paired`` are the addresses that are listened to.
    """

    told: Callable[[Found], None]
    paired: frozenset[str] = frozenset()
    only: str | None = None
    everything: bool = False
    found: dict[str, Found] = field(default_factory=dict)
    devices: dict[str, BLEDevice] = field(default_factory=dict)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was told."""
    again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when any of them was heard since it was cleared."""

    def on_advertisement(self, device: BLEDevice, data: AdvertisementData) -> None:
        """Take one advertisement; a device is told once, and again when more is known of it."""
        address = device.address.upper()
        if self.only is not None and address != self.only:
            return
        name = _printable(data.local_name or device.name or "")
        known = self.found.get(address)
        if known is not None:
            name = name or known.name
        profiles = suggest(name or None, [short_uuid(uuid) for uuid in data.service_uuids])
        if known is not None:
            self.devices[address] = device
            self.again.set()
        if known is not None and (known.name, len(known.profiles)) >= (name, len(profiles)):
            return
        is_wanted = bool(profiles) or self.everything or self.only is not None
        if not is_wanted or (known is None and len(self.found) >= FOUND_MAX):
            return
        number = len(self.found) + 1 if known is None else known.number
        found = Found(number, address, name, data.rssi, profiles, address in self.paired)
        self.found[address], self.devices[address] = found, device
        self.told(found)
        self.heard.set()

    async def anew(self, address: str) -> None:
        """Return when ``address``, told before and forgotten since, is heard once more."""
        self.devices.pop(address, None)
        while address not in self.devices:
            self.again.clear()
            await self.again.wait()


@asynccontextmanager
async def searching(radio: Radio, nearby: Nearby) -> AsyncIterator[None]:
    """Scan while the block lasts; raises PairingFailed where there is nothing to scan with."""
    scanner = BleakScanner(
        detection_callback=nearby.on_advertisement, backend=radio.scanner_backend
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(scanning(scanner))
        except BleakBluetoothNotAvailableError as error:
            raise PairingFailed(Trouble.NO_ADAPTER) from error
        except LINK_ERRORS as error:
            raise PairingFailed(Trouble.NO_SEARCH, cause=str(error)) from error
        yield


def _printable(name: str) -> str:
    """A name comes from whoever sends it: nothing in it may steer a terminal."""
    kept = "".join(letter for letter in name if letter.isprintable())
    return kept.strip()[:NAME_MAX_CHARACTERS]
