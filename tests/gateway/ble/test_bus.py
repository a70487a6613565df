"""The long-lived connection: made late, killed and back, and nobody else's word for BlueZ's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method

from gateway.ble.bus import NO_REPLY, BusAway, BusError, SystemBus
from tests.gateway.ble.fix_bus import Daemon, close, message_bus, stand_in
from tests.gateway.ble.fix_home import until

ADAPTER = {"org.bluez.Adapter1": {"Address": Variant("s", "00:11:22:33:44:55")}}


@asynccontextmanager
async def running(bus: SystemBus) -> AsyncIterator[list[bool]]:
    """Run ``bus``; gives the turns it tells."""
    turns: list[bool] = []

    async def note(is_here: bool) -> None:
        turns.append(is_here)

    bus.on_bluez(note)
    task = asyncio.create_task(bus.run())
    try:
        yield turns
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def quick_bus() -> SystemBus:
    return SystemBus(retry_first_s=0.02, retry_max_s=0.1)


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    async with message_bus(tmp_path, monkeypatch) as daemon:
        yield daemon


async def test_without_a_bus_it_waits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    bus = quick_bus()
    async with running(bus) as turns:
        with pytest.raises(BusAway):
            await bus.managed_objects()
        with pytest.raises(BusAway):
            await bus.watch("/org/bluez/hci0")
        await asyncio.sleep(0.1)
        assert turns == []
        assert not bus.is_bluez_here


async def test_bluez_comes_goes_and_comes_again(daemon: Daemon) -> None:
    bus = quick_bus()
    async with running(bus) as turns:
        with suppress(BusAway):
            await bus.managed_objects()
        async with stand_in(daemon) as bluez:
            await until(lambda: turns == [True])
            await bluez.add("/org/bluez/hci0", ADAPTER)
            (adapter,) = (await bus.managed_objects()).adapters
            assert adapter.address == "00:11:22:33:44:55"
            await bluez.vanish()
            await until(lambda: turns == [True, False])
            with pytest.raises(BusAway):
                await bus.managed_objects()
            await bluez.appear()
            await until(lambda: turns == [True, False, True])
            assert bus.bluez_starts == 2


async def test_the_daemon_dies_and_all_is_asked_for_again(daemon: Daemon) -> None:
    class Agent(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.bluez.Agent1")

        @method()
        def Release(self) -> None:  # noqa: N802 - D-Bus names it
            return

    bus, heard = quick_bus(), list[str]()
    bus.on_signal(lambda message: heard.append(str(message.path)))
    bus.export(Agent(), "/hemma/agent")
    async with running(bus) as turns:
        async with stand_in(daemon):
            await until(lambda: turns == [True])
            await bus.watch("/org/bluez/hci0/dev_1")
        await daemon.kill()
        await until(lambda: turns[-1] is False)
        await asyncio.sleep(0.1)
        await daemon.start()
        async with stand_in(daemon) as bluez:
            await until(lambda: turns[-1] is True)
            await bluez.change("/org/bluez/hci0/dev_1/x", "org.bluez.X", {}, known=False)
            await bluez.change("/org/bluez/hci0/dev_2/x", "org.bluez.X", {}, known=False)
            await bluez.change(
                "/org/bluez/hci0", "org.bluez.Adapter1", {"Powered": Variant("b", True)},
                known=False,
            )  # fmt: skip
            await until(lambda: len(heard) == 2)
            assert heard == ["/org/bluez/hci0/dev_1/x", "/org/bluez/hci0"]
            caller = await MessageBus(bus_address=daemon.address).connect()
            names = await caller.call(
                Message("org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "ListNames")
            )  # fmt: skip
            assert names is not None
            replies = [
                await caller.call(Message(name, "/hemma/agent", "org.bluez.Agent1", "Release"))
                for name in names.body[0]
                if name.startswith(":") and name != caller.unique_name
            ]
            assert any(not reply.error_name for reply in replies), "exported again"
            await close(caller)


async def test_only_bluez_itself_is_listened_to(daemon: Daemon) -> None:
    bus, heard = quick_bus(), list[object]()
    bus.on_signal(lambda message: heard.append(message.body[0]))
    async with running(bus) as turns, stand_in(daemon) as bluez:
        await until(lambda: turns == [True])
        await bus.watch("/org/bluez")
        other = await MessageBus(bus_address=daemon.address).connect()
        forged = Message.new_signal(
            "/org/bluez/hci0", "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
            ["forged", {}, []],
        )  # fmt: skip
        forged.destination = None
        await other.send(forged)
        await bluez.change("/org/bluez/hci0", "true", {}, known=False)
        await until(lambda: bool(heard))
        assert heard == ["true"]
        await close(other)


async def test_an_error_is_told_by_name_and_silence_too(daemon: Daemon) -> None:
    bus = quick_bus()
    async with running(bus) as turns, stand_in(daemon) as bluez:
        await until(lambda: turns == [True])
        bluez.answers["StartNotify"] = "org.bluez.Error.InProgress"
        with pytest.raises(BusError) as told:
            await bus.call("/org/bluez/hci0", "org.bluez.X", "StartNotify")
        assert told.value.name == "org.bluez.Error.InProgress"
        bluez.silent.add("Connect")
        with pytest.raises(BusError) as unanswered:
            await bus.call("/org/bluez/hci0", "org.bluez.X", "Connect", timeout_s=0.05)
        assert unanswered.value.name == NO_REPLY
        waiting = asyncio.create_task(bus.call("/x", "org.bluez.X", "Connect"))
        await asyncio.sleep(0.05)
        await daemon.kill()
        with pytest.raises(BusAway):
            await waiting


async def test_a_callback_that_fails_does_not_keep_the_next_from_being_told(
    daemon: Daemon,
) -> None:
    bus = quick_bus()

    async def fail(_is_here: bool) -> None:
        raise BusAway("gone again")

    bus.on_bluez(fail)
    async with running(bus) as turns, stand_in(daemon):
        await until(lambda: turns == [True])
