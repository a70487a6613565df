"""An operator enrols devices on real BlueZ, and nobody else gets in.

The first passkey here is the device's: it shows six digits, and whoever answers for the operator
types them, right or wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

import pytest

from devices.profiles.profile import Bonding
from devices.virtual.device import VirtualDevice
from devices.virtual.faults import Faults
from gateway.ble.agent import Agent, Refusal
from gateway.ble.bluez_bonding import BluezBonding
from gateway.ble.bus import SystemBus
from gateway.ble.pairing import Pairing
from gateway.ble.radio import Radio
from gateway.ble.turn import Turn
from gateway.control import socket_path
from gateway.desk import (
    Answer,
    AskPair,
    AskUnpair,
    Event,
    Failed,
    FoundDevice,
    PairedNow,
    Typed,
    UnpairedNow,
    WantsPasskey,
    WithoutPasskey,
)
from gateway.pair_command import alone
from gateway.paired import paired
from gateway.storage import open_storage
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import Guest
from tests.ble.bluez import Bluez, Refused, until
from tests.ble.home import Home, measured
from tests.gateway.ble.fix_desk import Desk, Reply, desk

Add = Callable[..., Awaitable[VirtualDevice]]
DEVICE = "org.bluez.Device1"
WINDOW_S = 60.0
PASSKEY = 294_817


@asynccontextmanager
async def in_pairing_mode(device: VirtualDevice) -> AsyncIterator[None]:
    """The person holds the device's button: it advertises and bonds."""
    device.pairing_mode, device.window_s = True, WINDOW_S
    waking = asyncio.create_task(keep_awake(device))
    try:
        yield
    finally:
        waking.cancel()
        await asyncio.wait({waking})
        device.pairing_mode = False


async def keep_awake(device: VirtualDevice) -> None:
    """Advertise again after each link."""
    while True:
        await device.wake()


@asynccontextmanager
async def at_the_gateway(home: Home) -> AsyncIterator[Desk]:
    """A desk at the running gateway's socket."""
    await until(socket_path(home.data).exists, "the gateway takes questions")
    reader, writer = await asyncio.open_unix_connection(str(socket_path(home.data)))
    try:
        yield Desk(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def at_a_table(home: Home) -> AsyncIterator[Desk]:
    """A desk where no gateway runs."""
    async with alone(home.settings) as (reader, writer):
        yield Desk(reader, writer)


@dataclass
class Eyes:
    """Types the digits that the device shows; ``wrong`` ones where it misreads."""

    device: VirtualDevice
    wrong: bool = False

    def __call__(self, event: Event) -> Answer | None:
        if not isinstance(event, WantsPasskey):
            return None
        shown = self.device.shown_passkey
        assert shown is not None, "the device shows its digits"
        return Typed(f"{(shown + self.wrong) % 1_000_000:06d}")


def nobody(_event: Event) -> Answer | None:
    return None


async def pair(
    at: Desk, device: VirtualDevice, reply: Reply = nobody, *, again: bool = False
) -> Event:
    async with in_pairing_mode(device):
        return await at.ask(AskPair(address=device.address, again=again), reply)


async def pair_here(
    home: Home, device: VirtualDevice, reply: Reply = nobody, *, again: bool = False
) -> Event:
    """Enrol at the running gateway."""
    async with at_the_gateway(home) as at:
        return await pair(at, device, reply, again=again)


async def with_passkey(add: Add) -> VirtualDevice:
    """A cuff that shows six digits when it is paired."""
    cuff = await add("cuff")
    cuff.faults = Faults(passkey=PASSKEY)
    return cuff


async def heard(at: Desk, kind: type[Event]) -> Event:
    """Wait for an event of ``kind``."""
    async with asyncio.timeout(60):
        while (event := await at.hear()) is not None:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}: {at.told}")


def code_of(event: Event) -> str | None:
    return event.code if isinstance(event, Failed) else None


def rows(home: Home) -> set[str]:
    with closing(open_storage(home.settings.database, quota_bytes=1 << 28)) as connection:
        return {device.address for device in paired(connection)}


async def test_pairing_beside_a_running_gateway(home: Home, add: Add, bluez: Bluez) -> None:
    """A cuff is paired while the gateway runs; its next reading is in the outbox."""
    cuff = await add("cuff")
    await home.start()
    told = await pair_here(home, cuff)
    assert isinstance(told, PairedNow)
    assert (told.model, told.bonded, told.secured) == (cuff.model, True, "no_passkey")
    assert await bluez.is_bonded(cuff.address)
    assert await cuff.is_bonded()
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_pairing_where_no_gateway_runs(home: Home, add: Add, bluez: Bluez) -> None:
    """A cuff is paired alone; the gateway that is started then has its reading."""
    cuff = await add("cuff")
    async with at_a_table(home) as at:
        assert isinstance(await pair(at, cuff), PairedNow)
    await home.start()
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_the_list_shows_what_is_near(home: Home, add: Add, bluez: Bluez) -> None:
    """Devices are shown with name, signal and family; which are paired already is told."""
    cuff, thermometer = await add("cuff"), await add("thermometer")
    home.enrol(thermometer)
    shown: dict[str, FoundDevice] = {}
    async with in_pairing_mode(cuff), in_pairing_mode(thermometer), at_a_table(home) as at:
        at.send(b'{"ask":"pair"}\n')
        while len(shown) < 2:
            event = await heard(at, FoundDevice)
            assert isinstance(event, FoundDevice)
            shown[event.address] = event
    assert not shown[cuff.address].paired
    assert shown[thermometer.address].paired
    assert shown[cuff.address].name == cuff.design.local_name
    assert shown[cuff.address].families[0].profile == cuff.profile
    assert shown[cuff.address].signal_dbm < 0


async def test_the_passkey_that_the_device_shows_is_typed(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """Six digits shown by the device and typed by the operator make a bond."""
    cuff = await with_passkey(add)
    await home.start()
    told = await pair_here(home, cuff, Eyes(cuff))
    assert isinstance(told, PairedNow)
    assert told.secured == "passkey_typed"
    assert await bluez.is_bonded(cuff.address)
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_a_passkey_that_was_expected_and_not_wanted_is_told(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """A device is enrolled as a family that shows six digits, and wants none: that is said."""
    scale = await add("scale")
    async with at_a_table(home) as at, in_pairing_mode(scale):
        told = await at.ask(AskPair(address=scale.address, profile="beurer-scale"))
    assert isinstance(told, PairedNow)
    assert WithoutPasskey(scale.address, Bonding.PASSKEY_SHOWN) in at.told


async def test_pairing_on_an_adapter_that_is_not_pairable(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """An adapter that keeps no keys (Pairable off) keeps those of the enrolled; then it is off."""
    cuff = await add("cuff")
    await home.start()
    # BlueZ switches it on for the first agent; somebody switches it off after that.
    await until(bluez.is_pairable, "our agent is registered")
    await bluez.set_pairable(False)
    assert isinstance(await pair_here(home, cuff), PairedNow)
    assert not await bluez.is_pairable()
    assert (await bluez.device(cuff.address) or {}).get("Bonded")
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_the_wrong_passkey_makes_no_bond_and_the_right_one_does_then(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """A misread passkey is said so; nothing is bonded or stored; the next try succeeds."""
    cuff = await with_passkey(add)
    await home.start()
    assert code_of(await pair_here(home, cuff, Eyes(cuff, wrong=True))) == "wrong_passkey"
    assert not await bluez.is_bonded(cuff.address)
    assert not await cuff.is_bonded()
    assert rows(home) == set()
    assert isinstance(await pair_here(home, cuff, Eyes(cuff)), PairedNow)


async def test_an_operator_who_never_answers(home: Home, add: Add, bluez: Bluez) -> None:
    """Digits that are not typed in time end the pairing, and nothing is bonded."""
    cuff = await with_passkey(add)
    home.data.mkdir()
    bus = SystemBus()
    agent = Agent(bus, answer_max_s=0.5)
    running = asyncio.create_task(bus.run())
    path = home.settings.database
    with closing(open_storage(path, quota_bytes=1 << 28)) as connection:
        pairing = Pairing(Radio(), BluezBonding(bus, agent), Turn(), connection, path)
        async with desk(pairing) as at:
            assert code_of(await pair(at, cuff)) == "no_answer"
    assert agent.refused[Refusal.NO_ANSWER] == 1
    assert not await bluez.is_bonded(cuff.address)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_desk_that_dies_ends_the_pairing(home: Home, add: Add, bluez: Bluez) -> None:
    """The terminal is closed while digits are asked for: no bond, and the gateway listens again."""
    cuff, thermometer = await add("cuff"), await add("thermometer")
    cuff.faults = Faults(passkey=PASSKEY)
    home.enrol(thermometer)
    await home.start()
    async with in_pairing_mode(cuff):
        async with at_the_gateway(home) as at:
            at.send(b'{"ask":"pair","address":"%s"}\n' % cuff.address.encode())
            await heard(at, WantsPasskey)
        await until(bluez.is_discovering, "the gateway listens again")
    assert not await bluez.is_bonded(cuff.address)
    assert (await measured(thermometer)).delivered
    await home.until_readings(thermometer, 1)


@pytest.mark.parametrize("enrolling", [False, True])
async def test_a_stranger_that_asks_to_be_paired_is_refused(
    home: Home, add: Add, bluez: Bluez, enrolling: bool
) -> None:
    """A device that nobody chose asks for a bond, also while another is enrolled: refused."""
    stranger, cuff = await add("oximeter"), await add("cuff")
    cuff.faults = Faults(passkey=PASSKEY)
    await home.start()
    async with in_pairing_mode(stranger), in_pairing_mode(cuff), at_the_gateway(home) as at:
        if enrolling:
            at.send(b'{"ask":"pair","address":"%s"}\n' % cuff.address.encode())
            await heard(at, WantsPasskey)
        else:
            await until(lambda: bluez.device(stranger.address), "BlueZ hears the stranger")
        await link_up(bluez, stranger)
        (connection,) = stranger.radio.connections.values()
        failed = asyncio.Event()
        connection.on(connection.EVENT_PAIRING_FAILURE, lambda _reason: failed.set())
        stranger.radio.request_pairing(connection)
        await until(failed.is_set, "the stranger was refused")
    assert not await bluez.is_bonded(stranger.address)
    assert not await stranger.is_bonded()
    assert rows(home) == set()
    if not enrolling:
        # While the agent answers for the other device, BlueZ refuses without asking it.
        (refused,) = home.logged("pairing_refused", why="stranger")
        assert refused["address"] == stranger.address


async def link_up(bluez: Bluez, device: VirtualDevice) -> None:
    """Have BlueZ link up with a device that the gateway would not link up with."""
    path = f"/org/bluez/hci0/dev_{device.address.replace(':', '_')}"
    async with asyncio.timeout(30):
        while not await bluez.is_linked(device.address):
            with suppress(Refused):
                await bluez.call(path, DEVICE, "Connect")


async def test_another_program_cannot_pair_with_a_passkey_through_our_agent(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """Another program calls Pair for a device with a passkey: our agent answers it with no."""
    meter = await add("cuff")
    meter.faults = Faults(passkey=PASSKEY)
    await home.start()
    async with in_pairing_mode(meter):
        await until(lambda: bluez.device(meter.address), "BlueZ hears it")
        path = f"/org/bluez/hci0/dev_{meter.address.replace(':', '_')}"
        with pytest.raises(Refused, match="Authentication"):
            await bluez.call(path, DEVICE, "Pair")
    assert home.logged("pairing_refused", why="stranger", asked="passkey")
    assert not await bluez.is_bonded(meter.address)


async def test_a_forgotten_bond_is_a_persons_decision(home: Home, add: Add, bluez: Bluez) -> None:
    """The cuff forgot its bond: no reading, no new bond by itself; ``--again`` makes one (F4)."""
    cuff = await add("cuff")
    await home.start()
    await pair_here(home, cuff)
    await cuff.forget_bond()
    cuff.window_s = 6.0
    assert not (await measured(cuff)).delivered
    assert not await cuff.is_bonded(), "the gateway made no new bond"
    assert code_of(await pair_here(home, cuff)) == "paired_already"
    async with at_the_gateway(home) as at:
        assert isinstance(await pair(at, cuff, again=True), PairedNow)
        assert at.found(cuff.address).paired, "looked for, and shown, once"
    assert await cuff.is_bonded()
    cuff.window_s = WINDOW_S
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_again_for_a_device_that_is_not_heard_removes_nothing(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """``--again`` for a device that sleeps gives up and leaves the bond as it is."""
    cuff = await add("cuff")
    async with at_a_table(home) as at:
        await pair(at, cuff)
    async with at_a_table(home) as at:
        at.send(b'{"ask":"pair","again":true,"address":"%s"}\n' % cuff.address.encode())
        await asyncio.sleep(1)
    assert await bluez.is_bonded(cuff.address)
    assert rows(home) == {cuff.address}


async def test_services_that_come_late_are_waited_for_and_the_bond_stays(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """A first link without the measurement's service: linked up anew, not unpaired (F3)."""
    cuff = await add("cuff")
    cuff.faults = Faults(services_incomplete=True)
    await home.start()
    assert isinstance(await pair_here(home, cuff), PairedNow)
    assert cuff.links >= 2
    assert (await measured(cuff)).delivered
    await home.until_readings(cuff, 1)


async def test_unpairing_removes_bond_and_listening(home: Home, add: Add, bluez: Bluez) -> None:
    """A device that is unpaired is neither bonded nor listened to any more."""
    cuff = await add("cuff")
    await home.start()
    await pair_here(home, cuff)
    async with at_the_gateway(home) as at:
        assert isinstance(await at.ask(AskUnpair(cuff.address)), UnpairedNow)
    assert not await bluez.is_bonded(cuff.address)
    assert rows(home) == set()
    cuff.window_s = 3.0
    assert not (await measured(cuff)).delivered


async def test_a_device_that_goes_to_sleep_after_it_was_seen(
    home: Home, add: Add, bluez: Bluez
) -> None:
    """The device is chosen and does not answer any more: out of reach, nothing stored."""
    cuff = await add("cuff")
    async with at_a_table(home) as at:
        async with in_pairing_mode(cuff):
            at.send(b'{"ask":"pair"}\n')
            await heard(at, FoundDevice)
        at.send(b'{"answer":"choose","number":1}\n')
        assert code_of(await heard(at, Failed)) == "out_of_reach"
    assert rows(home) == set()


async def test_what_is_missing_is_said(
    guest: Guest, adapter: Adapter, bluez: Bluez, home: Home
) -> None:
    """No adapter, then no bluetoothd: each has its own reason."""
    await adapter.pull_out()
    async with at_a_table(home) as at:
        assert code_of(await at.ask(AskPair())) == "no_adapter"
    await guest.command("bluetoothd stop")
    async with at_a_table(home) as at:
        assert code_of(await at.ask(AskPair())) == "no_bluetooth"
