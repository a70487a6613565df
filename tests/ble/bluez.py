"""BlueZ in the guest, as a test looks at it: with a bus connection of its own, and no agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal
from dbus_fast.unpack import unpack_variants

ADAPTER: Final = "/org/bluez/hci0"
PATIENCE_S: Final = 20.0


class Refused(Exception):
    """BlueZ, or the bus, answered with an error; the text begins with its name."""


class Bluez:
    """What BlueZ knows. Open it while ``DBUS_SYSTEM_BUS_ADDRESS`` names the guest's bus."""

    def __init__(self) -> None:
        self._bus = MessageBus(bus_type=BusType.SYSTEM, auth=AuthExternal(uid=0))

    async def open(self) -> None:
        """Connect; raises what dbus-fast raises where there is no bus."""
        await self._bus.connect()

    async def close(self) -> None:
        """Disconnect; one that has broken is fine."""
        self._bus.disconnect()
        with suppress(EOFError, OSError):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def call(self, path: str, interface: str, member: str, *body: str) -> list[Any]:
        """Call a method whose arguments are object paths or none; raises Refused."""
        message = Message(
            destination="org.bluez",
            path=path,
            interface=interface,
            member=member,
            signature="o" * len(body),
            body=list(body),
        )
        reply = await self._bus.call(message)
        assert reply is not None, "it was connected"
        if reply.message_type is MessageType.ERROR:
            raise Refused(f"{reply.error_name}: {reply.body}")
        return list(unpack_variants(reply.body))

    async def objects(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Everything BlueZ manages: path, interface, property; nothing while it is away."""
        try:
            (told,) = await self.call(
                "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"
            )
        except Refused:
            return {}
        return dict(told)

    async def device(self, address: str) -> Mapping[str, Any] | None:
        """The properties of a device; None where BlueZ does not know it."""
        return (await self.objects()).get(_path(address), {}).get("org.bluez.Device1")

    async def is_powered(self) -> bool:
        """Whether there is an adapter and it is on."""
        adapter = (await self.objects()).get(ADAPTER, {}).get("org.bluez.Adapter1", {})
        return bool(adapter.get("Powered"))

    async def is_discovering(self) -> bool:
        """Whether somebody scans."""
        adapter = (await self.objects()).get(ADAPTER, {}).get("org.bluez.Adapter1", {})
        return bool(adapter.get("Discovering"))

    async def is_pairable(self) -> bool:
        """Whether the adapter keeps the keys of what is paired."""
        adapter = (await self.objects()).get(ADAPTER, {}).get("org.bluez.Adapter1", {})
        return bool(adapter.get("Pairable"))

    async def set_pairable(self, pairable: bool) -> None:
        """Let the adapter keep keys, or not."""
        message = Message(
            destination="org.bluez",
            path=ADAPTER,
            interface="org.freedesktop.DBus.Properties",
            member="Set",
            signature="ssv",
            body=["org.bluez.Adapter1", "Pairable", Variant("b", pairable)],
        )
        reply = await self._bus.call(message)
        assert reply is not None, "it was connected"
        assert reply.message_type is not MessageType.ERROR, reply.body

    async def is_bonded(self, address: str) -> bool:
        """Whether BlueZ holds a bond with a device."""
        return bool((await self.device(address) or {}).get("Paired"))

    async def is_linked(self, address: str) -> bool:
        """Whether there is a link with a device now."""
        return bool((await self.device(address) or {}).get("Connected"))

    async def connect(self, address: str) -> None:
        """Have BlueZ link up with a device that it knows; raises Refused."""
        await self.call(_path(address), "org.bluez.Device1", "Connect")

    async def remove(self, address: str) -> None:
        """Have BlueZ forget a device, its bond too; one it does not know is fine."""
        if await self.device(address) is not None:
            await self.call(ADAPTER, "org.bluez.Adapter1", "RemoveDevice", _path(address))


async def until(
    is_so: Callable[[], Awaitable[object] | object], what: str, *, patience_s: float = PATIENCE_S
) -> None:
    """Wait until ``is_so`` holds; fails naming ``what`` was waited for."""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                answer = is_so()
                if await answer if isinstance(answer, Awaitable) else answer:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {patience_s} s: {what}") from None


def _path(address: str) -> str:
    return f"{ADAPTER}/dev_{address.replace(':', '_')}"
