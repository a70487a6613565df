"""How a virtual device bonds: without a question, or with the six digits that it shows.

Bumble keeps no subscriptions with a bond; real devices do (Core 5.4, vol. 3, part G, 3.3.3.3). What
a bonded host subscribed to is remembered here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bumble.device import Connection
from bumble.keys import PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

SENDS_AFTER_ENCRYPTION_S = 0.02
PASSKEY_DIGITS = 6


@dataclass(slots=True)
class Bonds:
    """A device's pairing. ``shown_passkey`` is on its display now, None where it shows nothing."""

    device: VirtualDevice
    passkey: int
    shown_passkey: int | None = None
    _subscriptions: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def shows_passkey(self) -> bool:
        """Whether it bonds by the digits on its display."""
        return self.device.design.shows_passkey or self.device.faults.passkey is not None

    def configuration(self, _connection: Connection) -> PairingConfig:
        """Return how it pairs now, for Bumble."""
        delegate = _Display(self) if self.shows_passkey else _Button(self)
        return PairingConfig(sc=True, mitm=self.shows_passkey, bonding=True, delegate=delegate)

    async def accepts(self) -> bool:
        """Tell whether it pairs at all: in pairing mode, or while it holds no bond."""
        if self.device.pairing_mode:
            return True
        return not (self.device.faults.needs_pairing_mode or await self.device.is_bonded())

    def is_good(self, keys: PairingKeys) -> bool:
        """Tell whether a pairing was by the digits, where those are asked for."""
        self.shown_passkey = None
        return not self.shows_passkey or (keys.ltk is not None and keys.ltk.authenticated)

    def clear_display(self, _reason: object) -> None:
        """Show nothing any more: the pairing came to nothing."""
        self.shown_passkey = None

    def forget(self) -> None:
        """Forget what anybody was subscribed to."""
        self._subscriptions.clear()

    def note(self, connection: Connection, uuid: str, value: bytes) -> None:
        """Remember what a bonded host subscribes to."""
        if connection.is_encrypted:
            self._subscriptions.setdefault(_name(connection), {})[uuid] = value

    async def recall(self, visit: Visit) -> None:
        """Where the device remembers: subscribe for the host, shortly after encryption."""
        encrypted = asyncio.Event()
        connection = visit.connection
        connection.on(Connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, encrypted.set)
        if connection.is_encrypted:
            encrypted.set()
        await encrypted.wait()
        await asyncio.sleep(SENDS_AFTER_ENCRYPTION_S)
        if not self.device.faults.remembers_subscription:
            return
        subscribed = self.device.radio.gatt_server.subscribers.setdefault(connection, {})
        for uuid, value in self._subscriptions.get(_name(connection), {}).items():
            slot = self.device.slots.get(uuid)
            if slot is not None:
                subscribed.setdefault(slot.handle, value)
        visit.note_subscription()


class _Button(PairingDelegate):
    """Bonds without questions, but only in pairing mode or when no bond is held."""

    def __init__(self, bonds: Bonds) -> None:
        super().__init__()
        self._bonds = bonds

    async def accept(self) -> bool:
        """Whether to go on with a pairing that somebody asked for."""
        return await self._bonds.accepts()


class _Display(PairingDelegate):
    """Bonds by six digits on the device's display; it has no keys to type any."""

    def __init__(self, bonds: Bonds) -> None:
        super().__init__(io_capability=PairingDelegate.DISPLAY_OUTPUT_ONLY)
        self._bonds = bonds

    async def accept(self) -> bool:
        """Whether to go on with a pairing that somebody asked for."""
        return await self._bonds.accepts()

    async def generate_passkey(self) -> int:
        """The digits: the fault's, else the device's own."""
        passkey = self._bonds.device.faults.passkey
        shown = self._bonds.passkey if passkey is None else passkey
        self._bonds.shown_passkey = shown
        return shown


def _name(connection: Connection) -> str:
    return str(connection.peer_address)
