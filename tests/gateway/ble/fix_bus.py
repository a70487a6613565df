"""A real dbus-daemon of its own, and something on it that answers to BlueZ's name."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.fix_missing import missing

DAEMON = shutil.which("dbus-daemon")
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
READY_MAX_S = 10.0


class Daemon:
    """The message bus of one test; it can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        self._configuration = folder / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(socket=self.socket))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert DAEMON is not None
        self.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            DAEMON,
            f"--config-file={self._configuration}",
            "--nofork",
            "--nopidfile",
            "--print-address=1",
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_MAX_S):
            assert await self._process.stdout.readline()

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@asynccontextmanager
async def message_bus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    """A running daemon that the environment names as the system bus."""
    if DAEMON is None:
        missing("There is no dbus-daemon.")
    daemon = Daemon(folder)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon.address)
    monkeypatch.delenv("BLEAK_DBUS_AUTH_UID", raising=False)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.kill()


@dataclass
class StandIn:
    """Owns BlueZ's name, answers as told, and sends its signals.

    ``answers`` is by member: the signature and body of a method's answer, or an error's name.
    What is not named is answered with nothing. ``calls`` notes (path, member, body).
    """

    address: str
    objects: dict[str, dict[str, dict[str, Variant]]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str, Sequence[Any]]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    _bus: MessageBus | None = None

    async def appear(self) -> None:
        self._bus = await MessageBus(bus_address=self.address).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name("org.bluez")

    async def vanish(self) -> None:
        if self._bus is not None:
            await close(self._bus)
            self._bus = None

    async def change(
        self, path: str, interface: str, properties: Mapping[str, Variant], *, known: bool = True
    ) -> None:
        if known:
            self.objects[path].setdefault(interface, {}).update(properties)
        await self._send(
            path, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
            [interface, dict(properties), []],
        )  # fmt: skip

    async def add(self, path: str, interfaces: dict[str, dict[str, Variant]]) -> None:
        self.objects[path] = interfaces
        await self._send(
            "/", "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", "oa{sa{sv}}",
            [path, interfaces],
        )  # fmt: skip

    async def remove(self, path: str) -> None:
        names = list(self.objects.pop(path))
        await self._send(
            "/", "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", "oas", [path, names]
        )

    def called(self, member: str) -> list[str]:
        return [path for path, name, _ in self.calls if name == member]

    async def _send(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        assert self._bus is not None
        await self._bus.send(Message.new_signal(path, interface, member, signature, body))

    def _answer(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        member, path = str(message.member), str(message.path)
        self.calls.append((path, member, message.body))
        if member in self.silent:
            return True
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        if error := self.answers.get(member):
            return Message.new_error(message, error, "as the test wants it")
        if member == "Set":
            interface, name, value = message.body
            self.objects[path][interface][name] = value
        return Message.new_method_return(message)


async def close(bus: MessageBus) -> None:
    bus.disconnect()
    # dbus-fast left this one method without types.
    await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})  # type: ignore[no-untyped-call]


@asynccontextmanager
async def stand_in(daemon: Daemon) -> AsyncIterator[StandIn]:
    bluez = StandIn(daemon.address)
    await bluez.appear()
    try:
        yield bluez
    finally:
        await bluez.vanish()
