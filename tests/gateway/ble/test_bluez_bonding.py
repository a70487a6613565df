"""What BlueZ's answers mean to an operator, on a real message bus with a stand-in for BlueZ.

That BlueZ does answer so is tried in ``tests/ble``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bleak.backends.device import BLEDevice
from dbus_fast import Variant

from gateway.ble.agent import Agent, How
from gateway.ble.bluez_bonding import BluezBonding
from gateway.ble.bonding import BondingLimits
from gateway.ble.bus import SystemBus
from gateway.ble.trouble import PairingFailed, Trouble
from tests.gateway.ble.fix_bus import StandIn, message_bus, stand_in

ADAPTER = "/org/bluez/hci0"
ADDRESS = "C0:FF:EE:00:00:01"
PATH = f"{ADAPTER}/dev_C0_FF_EE_00_00_01"
CUFF_VALUE = "00002a35-0000-1000-8000-00805f9b34fb"
ERROR = "org.bluez.Error."
LIMITS = BondingLimits(
    connect_s=0.4, pair_s=1.0, services_s=0.3, late_s=0.1, step_s=0.5, agent_s=0.3, poll_s=0.02
)
NEEDED = frozenset({"2A35"})


class Nobody:
    """An operator who is never asked."""

    async def passkey(self) -> int | None:
        raise AssertionError("no passkey was to be asked")

    async def show(self, passkey: int) -> None:
        raise AssertionError("no passkey was to be shown")

    async def confirm(self, passkey: int) -> bool:
        raise AssertionError("no passkey was to be compared")


@dataclass
class Room:
    bonding: BluezBonding
    bluez: StandIn

    def device(self, **properties: Variant) -> None:
        told = {"Address": Variant("s", ADDRESS), "Adapter": Variant("o", ADAPTER), **properties}
        self.bluez.objects[PATH] = {"org.bluez.Device1": told}

    def offers(self, uuid: str) -> None:
        self.bluez.objects[f"{PATH}/service0010/char0011"] = {
            "org.bluez.GattCharacteristic1": {
                "UUID": Variant("s", uuid),
                "Flags": Variant("as", ["indicate"]),
            }
        }

    async def enrol(self, *, bond: bool = True, kind: str = "public") -> frozenset[str]:
        found = BLEDevice(ADDRESS, "A&D", {"path": PATH, "props": {"AddressType": kind}})
        async with self.bonding.link(found, Nobody(), bond=bond) as link:
            return await link.characteristics(NEEDED)


@asynccontextmanager
async def room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_powered: bool = True
) -> AsyncIterator[Room]:
    async with message_bus(folder, monkeypatch) as daemon, stand_in(daemon) as bluez:
        bluez.objects[ADAPTER] = {"org.bluez.Adapter1": {"Powered": Variant("b", is_powered)}}
        bus = SystemBus(retry_first_s=0.02, retry_max_s=0.05)
        agent = Agent(bus)
        running = asyncio.create_task(bus.run())
        try:
            async with asyncio.timeout(10):
                await agent.registered.wait()
            yield Room(BluezBonding(bus, agent, LIMITS), bluez)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def yes(*names: str) -> dict[str, Variant]:
    return {name: Variant("b", True) for name in names}


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        ("AuthenticationFailed", Trouble.REFUSED),
        ("AuthenticationRejected", Trouble.REFUSED),
        ("AuthenticationCanceled", Trouble.HUNG_UP),
        ("AuthenticationTimeout", Trouble.HUNG_UP),
        ("ConnectionAttemptFailed", Trouble.OUT_OF_REACH),
        ("InProgress", Trouble.BUSY),
        ("NotReady", Trouble.NO_ADAPTER),
    ],
)
async def test_an_error_of_bluez_has_its_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, trouble: Trouble
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device()
        here.bluez.answers["Pair"] = ERROR + answer
        with pytest.raises(PairingFailed) as failed:
            await here.enrol()
        assert failed.value.trouble is trouble
        assert here.bluez.called("Disconnect") == [PATH]


@pytest.mark.parametrize("error", [None, "AuthenticationFailed"])
async def test_an_adapter_that_is_not_pairable_is_made_so_for_the_pairing_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str | None
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.bluez.objects[ADAPTER]["org.bluez.Adapter1"]["Pairable"] = Variant("b", False)
        here.device(**yes("Connected", "ServicesResolved"))
        here.offers(CUFF_VALUE)
        if error is None:
            assert await here.enrol() == NEEDED
        else:
            here.bluez.answers["Pair"] = ERROR + error
            with pytest.raises(PairingFailed):
                await here.enrol()
        done = [
            (member, *(body[2:] and [body[2].value]))
            for _, member, body in here.bluez.calls
            if member in ("Set", "Pair")
        ]
        assert done == [("Set", True), ("Pair",), ("Set", False)]


async def test_how_a_device_was_bonded_is_told_only_where_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        found = BLEDevice(ADDRESS, "A&D", {"path": PATH, "props": {"AddressType": "public"}})
        for before, how in (([], How.NO_PASSKEY), (["Paired", "Bonded"], How.NOT_TOLD)):
            here.device(**yes("Connected", "ServicesResolved", *before))
            async with here.bonding.link(found, Nobody(), bond=True) as link:
                assert link.how is how


@pytest.mark.parametrize("is_linked", [False, True], ids=["no_link", "no_end"])
async def test_a_pairing_that_does_not_end_is_bounded_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device(**(yes("Connected") if is_linked else {}))
        here.bluez.silent.add("Pair")
        with pytest.raises(PairingFailed) as failed:
            await here.enrol()
        assert failed.value.trouble is Trouble.OUT_OF_REACH
        assert here.bluez.called("CancelPairing") == [PATH]


async def test_who_is_bonded_already_is_only_linked_up_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device(**yes("Paired", "Bonded", "Connected", "ServicesResolved"))
        here.offers(CUFF_VALUE)
        assert await here.bonding.is_bonded(ADDRESS)
        assert await here.enrol() == NEEDED
        assert here.bluez.called("Pair") == []
        # What is bonded in the moment in which it is asked for is fine, too.
        here.device(**yes("Connected", "ServicesResolved"))
        here.bluez.answers["Pair"] = ERROR + "AlreadyExists"
        assert await here.enrol() == NEEDED
        assert here.bluez.called("Connect") == [PATH] * 2


async def test_services_that_stay_away_are_looked_for_in_new_links_and_the_bond_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device(**yes("Connected", "ServicesResolved"))
        assert await here.enrol(bond=False) == frozenset()
        assert here.bluez.called("Connect") == [PATH] * 3
        assert here.bluez.called("RemoveDevice") == []
        # One that sleeps after it was paired is not called away: what is missing is told.
        here.bluez.answers["Connect"] = ERROR + "Failed"
        here.device(**yes("Paired", "Bonded"))
        with pytest.raises(PairingFailed):
            await here.enrol()


async def test_a_service_told_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device(**yes("Connected", "ServicesResolved"))
        enrolling = asyncio.create_task(here.enrol(bond=False))
        await asyncio.sleep(0.05)
        here.offers(CUFF_VALUE)
        assert await enrolling == NEEDED
        assert here.bluez.called("Connect") == [PATH]


async def test_an_address_that_changes_is_bonded_or_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "4A:FF:EE:00:00:01"
    path = f"{ADAPTER}/dev_4A_FF_EE_00_00_01"
    async with room(tmp_path, monkeypatch) as here:
        here.bluez.objects[path] = {"org.bluez.Device1": {"Address": Variant("s", hidden)}}
        found = BLEDevice(hidden, "X", {"path": path, "props": {"AddressType": "random"}})
        with pytest.raises(PairingFailed) as failed:
            async with here.bonding.link(found, Nobody(), bond=False):
                raise AssertionError("it would not be known again")
        assert failed.value.trouble is Trouble.HIDDEN_ADDRESS
        assert here.bluez.called("Pair") == [path]
        # A random address that does not change is one to know it by.
        here.device(**yes("Connected", "ServicesResolved"))
        here.offers(CUFF_VALUE)
        assert await here.enrol(bond=False, kind="random") == NEEDED


async def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with room(tmp_path, monkeypatch, is_powered=False) as here:
        for trouble in (Trouble.NO_ADAPTER, Trouble.NO_AGENT, Trouble.NO_BLUETOOTH):
            if trouble is Trouble.NO_AGENT:
                here.bonding._agent.released()
            elif trouble is Trouble.NO_BLUETOOTH:
                await here.bluez.vanish()
            with pytest.raises(PairingFailed) as failed:
                await here.bonding.ready()
            assert failed.value.trouble is trouble
        with pytest.raises(PairingFailed) as failed:
            await here.bonding.forget(ADDRESS)
        assert failed.value.trouble is Trouble.BOND_STAYS


async def test_a_bond_is_forgotten_with_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        await here.bonding.forget(ADDRESS)
        assert here.bluez.called("RemoveDevice") == []
        here.device(**yes("Paired"))
        await here.bonding.forget(ADDRESS)
        assert (ADAPTER, "RemoveDevice", [PATH]) in here.bluez.calls
        here.bluez.answers["RemoveDevice"] = ERROR + "Failed"
        with pytest.raises(PairingFailed) as failed:
            await here.bonding.forget(ADDRESS)
        assert failed.value.trouble is Trouble.BOND_STAYS


async def test_a_device_that_is_gone_when_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        with pytest.raises(PairingFailed) as failed:
            await here.enrol()
        assert failed.value.trouble is Trouble.OUT_OF_REACH


async def test_nothing_is_read_where_nothing_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.device(**yes("Connected", "ServicesResolved"))
        found = BLEDevice(ADDRESS, "A&D", {"path": PATH})
        async with here.bonding.link(found, Nobody(), bond=False) as link:
            assert await link.read("2A24") is None
            here.offers(CUFF_VALUE)
            here.bluez.answers["ReadValue"] = ERROR + "NotPermitted"
            assert await link.read("2A35") is None


def test_limits_leave_a_person_the_time_that_a_device_does() -> None:
    with pytest.raises(AssertionError):
        replace(LIMITS, connect_s=5.0, pair_s=1.0)
