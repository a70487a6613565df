"""Objects as BlueZ has them: an adapter, a bonded cuff and its characteristics."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from dbus_fast import Variant

from gateway.ble.bus import SystemBus
from gateway.paired import PairedDevice
from tests.gateway.ble.fix_bus import StandIn

CUFF = PairedDevice("C0:11:22:33:44:55", "UA-651BLE", "a-and-d-blood-pressure")
ADAPTER_PATH = "/org/bluez/hci0"
CUFF_PATH = f"{ADAPTER_PATH}/dev_C0_11_22_33_44_55"
PRESSURE_PATH = f"{CUFF_PATH}/service0010/char0011"
BATTERY_PATH = f"{CUFF_PATH}/service0020/char0021"
DEVICE = "org.bluez.Device1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"


def adapter(*, powered: bool = True) -> dict[str, dict[str, Variant]]:
    return {
        "org.bluez.Adapter1": {
            "Address": Variant("s", "00:AA:00:AA:00:AA"),
            "Powered": Variant("b", powered),
        }
    }


def cuff(*, bonded: bool = True, connected: bool = False) -> dict[str, dict[str, Variant]]:
    return {
        DEVICE: {
            "Address": Variant("s", CUFF.address),
            "Alias": Variant("s", "A&D_UA-651BLE"),
            "Adapter": Variant("o", ADAPTER_PATH),
            "Paired": Variant("b", bonded),
            "Bonded": Variant("b", bonded),
            "Connected": Variant("b", connected),
        }
    }


def characteristic(short: str, *flags: str) -> dict[str, dict[str, Variant]]:
    return {
        CHARACTERISTIC: {
            "UUID": Variant("s", f"0000{short.lower()}-0000-1000-8000-00805f9b34fb"),
            "Flags": Variant("as", list(flags)),
        }
    }


def known_cuff() -> dict[str, dict[str, dict[str, Variant]]]:
    """What BlueZ has of a bonded cuff that it was linked with since it started."""
    return {
        ADAPTER_PATH: adapter(),
        CUFF_PATH: cuff(),
        PRESSURE_PATH: characteristic("2A35", "indicate"),
        BATTERY_PATH: characteristic("2A19", "read"),
    }


async def value(bluez: StandIn, path: str, raw: bytes) -> None:
    """Tell a value as BlueZ tells a notification, and a read."""
    await bluez.change(path, CHARACTERISTIC, {"Value": Variant("ay", raw)}, known=False)


async def linked(bluez: StandIn, *, is_up: bool) -> None:
    await bluez.change(CUFF_PATH, DEVICE, {"Connected": Variant("b", is_up)})


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run each in a task of its own while the block lasts."""
    async with AsyncExitStack() as stack:
        for each in work:
            task = asyncio.create_task(each)
            stack.push_async_callback(_end, task)
        yield


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def quick_bus() -> SystemBus:
    return SystemBus(retry_first_s=0.02, retry_max_s=0.1)
