"""How a device is bonded: the link on which an operator enrols it.

Two ways to the same: :class:`BleakBonding` with whatever backend bleak has (the virtual home), and
:class:`gateway.ble.bluez_bonding.BluezBonding` on BlueZ, where our agent must answer meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from gateway.ble.agent import How, Operator
from gateway.ble.gatt import LINK_ERRORS
from gateway.ble.radio import Radio
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.ble.uuids import long_uuid, short_uuid


@dataclass(frozen=True, slots=True)
class BondingLimits:
    """How long each thing may take, in seconds.

    ``pair_s`` leaves the operator the half minute that a device waits for a passkey.
    ``services_s`` bounds discovery, ``late_s`` how much later than told a service may come (F3).
    """

    connect_s: float = 10.0
    pair_s: float = 60.0
    services_s: float = 15.0
    late_s: float = 1.0
    step_s: float = 8.0
    hang_up_s: float = 5.0
    agent_s: float = 4.0
    poll_s: float = 0.2

    def __post_init__(self) -> None:
        """Check that a passkey can be typed within the time that pairing may take."""
        assert 0 < self.poll_s < self.late_s <= self.services_s, "a late service is waited for"
        assert self.connect_s <= self.pair_s, "pairing begins with a connection"


class EnrolLink(Protocol):
    """A link with the device that is being enrolled, bonded where that was asked for."""

    @property
    def address(self) -> str:
        """The identity address: what the device is known by from now on."""

    @property
    def is_bonded(self) -> bool:
        """Whether both sides have kept keys."""

    @property
    def how(self) -> How:
        """How much a person secured the pairing."""

    async def characteristics(self, needed: frozenset[str]) -> frozenset[str]:
        """Return what the device offers, waiting for ``needed`` within bounds."""

    async def read(self, characteristic: str) -> bytes | None:
        """Read a value; None where the device does not give it."""


class Bonding(Protocol):
    """What enrolling needs of the radio beside the scan."""

    async def ready(self) -> None:
        """Return when pairing is possible; raises PairingFailed where it is not."""

    async def is_bonded(self, address: str) -> bool:
        """Whether this side keeps a bond with ``address``."""

    async def forget(self, address: str) -> None:
        """Remove the bond with ``address`` on this side; nothing happens without one.

        Raises PairingFailed (BOND_STAYS) where that cannot be done.
        """

    def link(
        self, device: BLEDevice, operator: Operator, *, bond: bool
    ) -> AbstractAsyncContextManager[EnrolLink]:
        """Link up with ``device``, bonding first where ``bond``; hang up afterwards.

        Raises PairingFailed.
        """


class BleakBonding:
    """Bonds through bleak's own call; passkeys are the backend's business."""

    def __init__(self, radio: Radio, limits: BondingLimits | None = None) -> None:
        self._radio = radio
        self._limits = limits or BondingLimits()

    async def ready(self) -> None:
        """A backend that was given is there."""

    async def is_bonded(self, address: str) -> bool:
        """False: bleak does not tell, and pairing what is bonded does nothing."""
        return False

    async def forget(self, address: str) -> None:
        """Remove the bond through bleak."""
        # A KeyError is how the virtual link says that there was none.
        with suppress(*LINK_ERRORS, KeyError):
            await BleakClient(address, backend=self._radio.client_backend).unpair()

    @asynccontextmanager
    async def link(
        self,
        device: BLEDevice,
        operator: Operator,
        *,
        bond: bool,
    ) -> AsyncIterator[EnrolLink]:
        """Link up, pair and discover."""
        limits = self._limits
        client = BleakClient(device, pair=bond, backend=self._radio.client_backend)
        try:
            try:
                async with asyncio.timeout(limits.pair_s if bond else limits.connect_s):
                    await client.connect()
            except LINK_ERRORS as error:
                raise _failed(device.address, error, is_bonding=bond) from error
            yield _BleakLink(client, limits, bond)
        finally:
            with suppress(*LINK_ERRORS):
                async with asyncio.timeout(limits.hang_up_s):
                    await client.disconnect()


@dataclass(frozen=True, slots=True)
class _BleakLink:
    client: BleakClient
    limits: BondingLimits
    is_bonded: bool

    @property
    def address(self) -> str:
        return self.client.address.upper()

    @property
    def how(self) -> How:
        return How.NOT_TOLD if self.is_bonded else How.NO_PASSKEY

    async def characteristics(self, needed: frozenset[str]) -> frozenset[str]:
        """What bleak found when it linked up: it does not look again."""
        found = self.client.services.characteristics.values()
        return frozenset(short_uuid(characteristic.uuid) for characteristic in found)

    async def read(self, characteristic: str) -> bytes | None:
        try:
            async with asyncio.timeout(self.limits.step_s):
                return bytes(await self.client.read_gatt_char(long_uuid(characteristic)))
        except LINK_ERRORS:
            return None


def _failed(address: str, error: BaseException, *, is_bonding: bool) -> PairingFailed:
    cause = type(error).__name__
    if is_bonding and isinstance(error, BleakError):
        return PairingFailed(Trouble.REFUSED, address=address, cause=str(error) or cause)
    return PairingFailed(Trouble.OUT_OF_REACH, address=address, cause=cause)
