"""The devices this gateway listens to, kept in the outbox's file."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from gateway.errors import DeviceRefused
from gateway.storage import transaction

ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")


# The wire's bound for `model`; a longer one would be refused with every value.
MODEL_MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class PairedDevice:
    """A device of this home.

    ``address`` is its Bluetooth identity address as ``AA:BB:CC:DD:EE:FF`` (never a resolvable
    private one), ``model`` what it calls itself, ``profile`` its family in ``devices.profiles``.
    """

    address: str
    model: str
    profile: str

    def __post_init__(self) -> None:
        """Raise DeviceRefused where the address is not one or the model could not travel."""
        if not ADDRESS.fullmatch(self.address):
            raise DeviceRefused(
                f"{self.address!r} is not a Bluetooth address.", "Write it as AA:BB:CC:DD:EE:FF."
            )
        if len(self.model) > MODEL_MAX_CHARACTERS:
            raise DeviceRefused("The model's name is longer than 64 characters.", "Shorten it.")

    @property
    def dev(self) -> str:
        """The device's name on the wire: ``ble-`` and twelve hex digits (contract.md 1)."""
        return "ble-" + self.address.replace(":", "").lower()


def pair(connection: sqlite3.Connection, device: PairedDevice) -> None:
    """Remember ``device``; a device known before gets the new model and profile."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO paired (address, model, profile) VALUES (?, ?, ?)"
            " ON CONFLICT (address) DO UPDATE SET model=excluded.model, profile=excluded.profile",
            (device.address, device.model, device.profile),
        )


def unpair(connection: sqlite3.Connection, address: str) -> bool:
    """Forget the device of ``address``; returns whether it was known. What it sent stays."""
    with transaction(connection):
        cursor = connection.execute("DELETE FROM paired WHERE address=?", (address,))
    return cursor.rowcount > 0


def paired(connection: sqlite3.Connection) -> tuple[PairedDevice, ...]:
    """Return the devices of this home, by address."""
    rows = connection.execute("SELECT address, model, profile FROM paired ORDER BY address")
    return tuple(PairedDevice(*row) for row in rows)
