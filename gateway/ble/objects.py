"""What BlueZ has told of itself: adapters, devices and their characteristics, as typed values.

Pure: made of the answer to ``org.freedesktop.DBus.ObjectManager.GetManagedObjects`` with its
variants taken off. Nothing here is kept; ask again when it matters, for BlueZ makes and removes
these objects as it pleases (those of a device that is not bonded go when the link does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
SUBSCRIBABLE = frozenset({"notify", "indicate"})

Interfaces = Mapping[str, Mapping[str, Any]]
"""An object's interfaces and their properties by name."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A radio: ``path`` as ``/org/bluez/hci0``, ``address`` as ``AA:BB:CC:DD:EE:FF``.

    One that is not ``is_pairable`` keeps no keys, also of what is paired from this side.
    """

    path: str
    address: str
    is_powered: bool
    is_discovering: bool
    is_pairable: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """A device that BlueZ knows, from the air or from its own storage.

    ``address`` is in upper case: the identity address where the device told one when it was paired.
    ``is_bonded`` says that the keys are kept; ``is_resolved`` that its services are known now.
    """

    path: str
    adapter_path: str
    address: str
    name: str
    is_paired: bool
    is_bonded: bool
    is_connected: bool
    is_resolved: bool
    is_trusted: bool
    service_uuids: frozenset[str]
    rssi_dbm: int | None


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A characteristic of a device; ``uuid`` has 36 characters in lower case."""

    path: str
    uuid: str
    flags: frozenset[str]
    is_notifying: bool

    @property
    def is_subscribable(self) -> bool:
        """Whether notifications or indications can be asked for."""
        return not SUBSCRIBABLE.isdisjoint(self.flags)


@dataclass(frozen=True, slots=True)
class Objects:
    """Everything BlueZ knew at one moment, each in the order of its path."""

    adapters: tuple[Adapter, ...]
    devices: tuple[Device, ...]
    _characteristics: Mapping[str, tuple[Characteristic, ...]]

    def device(self, address: str) -> Device | None:
        """Return the device of ``address``: on a powered adapter before any other, else None."""
        powered = {adapter.path for adapter in self.adapters if adapter.is_powered}
        found = [device for device in self.devices if device.address == address.upper()]
        return min(found, key=lambda device: device.adapter_path not in powered, default=None)

    def characteristics(self, device_path: str) -> tuple[Characteristic, ...]:
        """Return the characteristics known of the device at ``device_path``, perhaps none."""
        return self._characteristics.get(device_path, ())


def objects_of(managed: Mapping[str, Interfaces]) -> Objects:
    """Return the typed view of ``managed``: interfaces by object path, variants taken off."""
    adapters, devices = [], []
    characteristics: dict[str, list[Characteristic]] = {}
    for path, interfaces in sorted(managed.items()):
        if (properties := interfaces.get(ADAPTER)) is not None:
            adapters.append(_adapter(path, properties))
        if (properties := interfaces.get(DEVICE)) is not None:
            devices.append(_device(path, properties))
        if (properties := interfaces.get(CHARACTERISTIC)) is not None:
            of_device = characteristics.setdefault(device_path_of(path), [])
            of_device.append(_characteristic(path, properties))
    return Objects(
        tuple(adapters),
        tuple(devices),
        {path: tuple(found) for path, found in characteristics.items()},
    )


def device_path_of(path: str) -> str:
    """Return the device's path out of one below it: ``/org/bluez/hci0/dev_…/service…/char…``."""
    return "/".join(path.split("/")[:5])


def _adapter(path: str, properties: Mapping[str, Any]) -> Adapter:
    return Adapter(
        path=path,
        address=str(properties.get("Address", "")).upper(),
        is_powered=bool(properties.get("Powered", False)),
        is_discovering=bool(properties.get("Discovering", False)),
        is_pairable=bool(properties.get("Pairable", True)),
    )


def _device(path: str, properties: Mapping[str, Any]) -> Device:
    is_paired = bool(properties.get("Paired", False))
    rssi = properties.get("RSSI")
    return Device(
        path=path,
        adapter_path=str(properties.get("Adapter", path.rpartition("/")[0])),
        address=str(properties.get("Address", "")).upper(),
        name=str(properties.get("Alias") or properties.get("Name") or ""),
        is_paired=is_paired,
        # Older than 5.65 BlueZ has no such property, and pairing always bonded there.
        is_bonded=bool(properties.get("Bonded", is_paired)),
        is_connected=bool(properties.get("Connected", False)),
        is_resolved=bool(properties.get("ServicesResolved", False)),
        is_trusted=bool(properties.get("Trusted", False)),
        service_uuids=frozenset(str(uuid).lower() for uuid in properties.get("UUIDs", ())),
        rssi_dbm=None if rssi is None else int(rssi),
    )


def _characteristic(path: str, properties: Mapping[str, Any]) -> Characteristic:
    return Characteristic(
        path=path,
        uuid=str(properties.get("UUID", "")).lower(),
        flags=frozenset(str(flag) for flag in properties.get("Flags", ())),
        is_notifying=bool(properties.get("Notifying", False)),
    )
