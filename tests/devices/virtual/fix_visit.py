"""A plain host, as a test plays one: bleak over the virtual air, no gateway."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from devices import gatt
from devices.gatt.reading import Reading
from devices.measurement import Measurement
from devices.virtual.designs import DESIGNS
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import NO_FAULTS, Faults
from devices.virtual.home import VirtualHome

PLAIN: Mapping[str, Mapping[str, float]] = {
    "cuff": {"systolic": 128, "diastolic": 79, "pulse": 66},
    "scale": {"weight": 71.4},
    "thermometer": {"temperature": 36.9},
    "oximeter": {"spo2": 97, "pulse": 58},
    "plain_cuff": {"systolic": 131, "diastolic": 84},
    "two_user_cuff": {"systolic": 131, "diastolic": 84, "user": 2},
    "oximeter_continuous": {"spo2": 95, "pulse": 61, "ticks": 3},
    "body_composition": {"body_fat": 24.1, "weight": 70.2, "muscle": 41.0, "user": 1},
    "glucose_meter": {"glucose": 6.4, "meal": 2},
    "cgm": {"glucose": 7.2, "trend": 0.05},
    "cgm_with_crc": {"glucose": 7.2},
    "heart_rate": {"heart_rate": 72, "ticks": 3},
    "taidoc_cuff": {"systolic": 128, "diastolic": 79, "pulse": 66},
    "nonin_oximeter": {"spo2": 96, "pulse": 71},
}
"""One ordinary measurement for each design."""


@dataclass
class Heard:
    """What a host heard on one link, in order."""

    client: BleakClient
    values: list[tuple[str, bytes]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def subscribe(self, *uuids: str) -> None:
        for uuid in uuids:

            def on_value(_sender: object, data: bytearray, uuid: str = uuid) -> None:
                self.values.append((uuid, bytes(data)))
                self.news.set()

            await self.client.start_notify(uuid.lower(), on_value)

    def of(self, uuid: str) -> list[bytes]:
        return [raw for char, raw in self.values if char == uuid]

    def measurements(self, uuid: str) -> list[Measurement]:
        decoded = [gatt.decode(uuid, raw) for raw in self.of(uuid)]
        return [one for each in decoded if isinstance(each, Reading) for one in each.measurements]

    async def until(self, count: int, uuid: str) -> None:
        async with asyncio.timeout(3):
            while len(self.of(uuid)) < count:
                self.news.clear()
                await self.news.wait()

    async def ask(self, uuid: str, raw: bytes) -> bytes:
        """Write at a control point and return what it answers."""
        had = len(self.of(uuid))
        await self.client.write_gatt_char(uuid.lower(), raw, response=True)
        await self.until(had + 1, uuid)
        return self.of(uuid)[-1]

    async def over(self) -> None:
        """Wait until the device hung up."""
        async with asyncio.timeout(3):
            while self.client.is_connected:  # noqa: ASYNC110 - bleak offers no event for it here
                await asyncio.sleep(0.005)


async def bring(home: VirtualHome, what: str, faults: Faults = NO_FAULTS) -> VirtualDevice:
    """A device in the home that streams fast and does not linger."""
    design = replace(DESIGNS[what], interval_s=0.01, hang_up_after_s=0.06)
    return await home.place.add(design, faults=faults)


@asynccontextmanager
async def linked(
    home: VirtualHome, device: VirtualDevice, *, pair: bool = True, timeout_s: float = 3
) -> AsyncIterator[Heard]:
    """A link with the device, which is awake or about to be."""
    found = await BleakScanner.find_device_by_address(
        device.address, timeout=timeout_s, backend=home.scanner_backend
    )
    assert found is not None, "it advertises"
    client = BleakClient(found, backend=home.client_backend, timeout=timeout_s)
    await client.connect()
    try:
        if pair:
            await client.pair()
        yield Heard(client)
    finally:
        with suppress(BleakError):
            await client.disconnect()


@asynccontextmanager
async def awake(device: VirtualDevice) -> AsyncIterator[None]:
    """The device advertises meanwhile, and sleeps afterwards whatever it was doing."""
    waking = asyncio.create_task(device.wake())
    try:
        yield
    finally:
        waking.cancel()
        with suppress(asyncio.CancelledError):
            await waking
