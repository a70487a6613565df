"""A device's GATT server: its design's services with battery and device information added.

Every read and write goes through the device, so that faults act at once. Bumble's own permissions
stand when a service is built; these here are asked each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bumble import core
from bumble.att import (
    ATT_INSUFFICIENT_ENCRYPTION_ERROR,
    ATT_Error,
    Attribute,
    AttributeValue,
)
from bumble.device import Connection
from bumble.gatt import (
    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
    Characteristic,
    Descriptor,
    Service,
)

from devices.gatt import device_information, pnp_id
from devices.virtual.design import NOTIFY, READ, Design, Properties, Slot, Table

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice

BATTERY = "2A19"
_SENDS = Properties.NOTIFY | Properties.INDICATE
_ASKED = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
_ANYBODY = Attribute.Permissions.READABLE | Attribute.Permissions.WRITEABLE
# A company number of the SIG's that means "no company": for tests and nothing else.
_NO_COMPANY = 0xFFFF


def build(device: VirtualDevice, left_out: Iterable[str] = ()) -> list[Service]:
    """Return the services of ``device`` without the characteristics ``left_out``.

    ``device.slots`` holds the new characteristics by UUID afterwards.
    """
    device.slots.clear()
    services = []
    for table, is_own in _tables(device):
        slots = [slot for slot in table.slots if slot.uuid not in left_out]
        built = [_characteristic(device, slot, is_own=is_own) for slot in slots]
        device.slots.update(zip((slot.uuid for slot in slots), built, strict=True))
        services.append(Service(core.UUID(table.uuid), built))
    return services


def _tables(device: VirtualDevice) -> list[tuple[Table, bool]]:
    common = (
        Table("180F", (Slot(BATTERY, READ | NOTIFY),)),
        Table("180A", tuple(_information(device.design, device.address))),
    )
    return [(table, True) for table in device.design.tables] + [(table, False) for table in common]


def _information(design: Design, address: str) -> Iterable[Slot]:
    texts = {
        "2A29": design.manufacturer,
        "2A24": design.model,
        "2A25": address.replace(":", "")[-6:],
        "2A26": "virtual",
    }
    for uuid, text in texts.items():
        yield Slot(uuid, READ, device_information.encode(text))
    made_by_nobody = pnp_id.PnpId(vendor_source=1, vendor=_NO_COMPANY, product=0, version=1)
    yield Slot(pnp_id.CHARACTERISTIC, READ, pnp_id.encode(made_by_nobody))


def _characteristic(device: VirtualDevice, slot: Slot, *, is_own: bool) -> Characteristic[bytes]:
    # A feature says nothing about anybody, so real devices leave it open.
    is_open = not is_own or (slot.can == READ and bool(slot.value))

    async def read(connection: Connection) -> bytes:
        await _admit(device, connection, slot.uuid, is_open=is_open)
        value = device.read(slot.uuid)
        return slot.value if value is None else value

    async def write(connection: Connection, raw: bytes) -> None:
        await _admit(device, connection, slot.uuid, is_open=is_open)
        device.write(slot.uuid, raw)

    characteristic: Characteristic[bytes] = Characteristic(
        core.UUID(slot.uuid),
        slot.can,
        _permissions(slot),
        AttributeValue(read=read, write=write),
    )
    if slot.can & _SENDS:
        characteristic.descriptors = [
            _subscription(device, slot.uuid, characteristic, is_open=is_open)
        ]
    return characteristic


def _permissions(slot: Slot) -> Attribute.Permissions:
    allowed = Attribute.Permissions(0)
    if slot.can & READ:
        allowed |= Attribute.Permissions.READABLE
    if slot.can & _ASKED:
        allowed |= Attribute.Permissions.WRITEABLE
    return allowed


def _subscription(
    device: VirtualDevice, uuid: str, characteristic: Characteristic[bytes], *, is_open: bool
) -> Descriptor:
    server = device.radio.gatt_server

    async def write(connection: Connection, raw: bytes) -> None:
        await _admit(device, connection, uuid, is_open=is_open)
        server.write_cccd(connection, characteristic, raw)
        device.subscribed(connection, uuid, raw)

    return Descriptor(
        GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
        _ANYBODY,
        AttributeValue(
            read=lambda connection: server.read_cccd(connection, characteristic), write=write
        ),
    )


async def _admit(
    device: VirtualDevice, connection: Connection, uuid: str, *, is_open: bool
) -> None:
    """Let pass what the device answers; raises ``ATT_Error`` where it refuses."""
    if device.faults.unanswered == uuid:
        await asyncio.Event().wait()
    if device.faults.slow_answers_s:
        await asyncio.sleep(device.faults.slow_answers_s)
    is_guarded = device.design.must_bond or device.faults.bond_required
    if is_guarded and not is_open and not connection.is_encrypted:
        raise ATT_Error(ATT_INSUFFICIENT_ENCRYPTION_ERROR)
