"""An operator enrols virtual devices: looked for, chosen, bonded, checked, listened to."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bleak.backends.device import BLEDevice

from devices.virtual.device import VirtualDevice
from devices.virtual.home import VirtualHome
from gateway.ble.agent import How, Operator
from gateway.ble.bonding import BleakBonding, EnrolLink
from gateway.ble.nearby import FOUND_MAX, Nearby
from gateway.ble.pairing import Pairing, PairingLimits, Step
from gateway.ble.radio import Radio
from gateway.ble.turn import Turn
from gateway.desk import (
    Answer,
    AskPair,
    AskUnpair,
    Chosen,
    Event,
    Failed,
    FoundDevice,
    GivenUp,
    PairedNow,
    Stepped,
    UnpairedNow,
    WantsChoice,
    WithoutPasskey,
)
from gateway.paired import PairedDevice, pair, paired
from gateway.storage import open_storage
from tests.gateway.ble.fix_desk import desk
from tests.gateway.ble.fix_home import until

QUICK = PairingLimits(turn_s=0.2, look_s=5.0)


@dataclass
class Enrolling:
    home: VirtualHome
    pairing: Pairing
    connection: sqlite3.Connection
    held: list[str]

    def device(self, name: str) -> VirtualDevice:
        return self.home.devices[name]


@asynccontextmanager
async def enrolling(
    folder: Path, limits: PairingLimits = QUICK, window_s: float = 20.0
) -> AsyncIterator[Enrolling]:
    path = folder / "outbox.sqlite3"
    held: list[str] = []

    async def hold(address: str) -> None:
        held.append(address)

    async with VirtualHome(seed=3, window_s=window_s) as home:
        radio = Radio(home.scanner_backend, home.client_backend)
        with closing(open_storage(path, quota_bytes=1 << 20)) as connection:
            pairing = Pairing(radio, BleakBonding(radio), Turn(), connection, path, hold, limits)
            yield Enrolling(home, pairing, connection, held)


@asynccontextmanager
async def awake(*devices: VirtualDevice, pairing_mode: bool = True) -> AsyncIterator[None]:
    """The devices advertise, in pairing mode or after a measurement."""
    for device in devices:
        device.pairing_mode = pairing_mode
    waking = [asyncio.create_task(device.wake()) for device in devices]
    try:
        yield
    finally:
        for task in waking:
            task.cancel()
        await asyncio.wait(waking)


class Chooser:
    """Chooses the device of ``address`` once it is shown and asked for."""

    def __init__(self, address: str, profile: str | None = None) -> None:
        self.address = address
        self.profile = profile
        self.is_asked = False
        self.number: int | None = None

    def __call__(self, event: Event) -> Answer | None:
        if isinstance(event, WantsChoice):
            self.is_asked = True
        elif isinstance(event, FoundDevice) and event.address == self.address:
            self.number = event.number
        if self.is_asked and self.number is not None:
            number, self.number = self.number, None
            return Chosen(number=number, profile=self.profile)
        return None


async def test_a_cuff_is_found_chosen_bonded_and_listened_to(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        cuff, scale = here.device("cuff"), here.device("scale")
        async with awake(cuff, scale):
            told = await at.ask(AskPair(), Chooser(cuff.address))
        assert isinstance(told, PairedNow)
        assert (told.address, told.dev, told.model) == (cuff.address, cuff.dev, cuff.model)
        assert (told.profile, told.manufacturer) == (cuff.profile, cuff.design.manufacturer)
        assert (told.bonded, told.secured) == (True, "not_told")
        steps = [event.step for event in at.told if isinstance(event, Stepped)]
        assert steps == [Step.WAITING, Step.LOOKING, Step.PAIRING, Step.CHECKING]
        found = at.found(cuff.address)
        assert found.families[0].profile == cuff.profile
        assert (found.paired, found.name) == (False, cuff.design.local_name)
        assert paired(here.connection) == (PairedDevice(cuff.address, cuff.model, cuff.profile),)
        assert here.held == [cuff.address]
        assert await cuff.is_bonded()
        assert not cuff.radio.connections


async def test_a_device_that_does_not_bond_is_taken_by_its_address(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        oximeter = here.device("oximeter")
        async with awake(oximeter, here.device("cuff")):
            told = await at.ask(AskPair(address=oximeter.address.lower()))
        assert isinstance(told, PairedNow)
        assert (told.address, told.bonded) == (oximeter.address, False)
        assert not await oximeter.is_bonded()
        assert [event for event in at.told if isinstance(event, WantsChoice)] == []
        assert len([event for event in at.told if isinstance(event, FoundDevice)]) == 1


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (AskPair(), "nothing_found"),
        (AskPair(address="C0:00:00:00:00:01"), "not_heard"),
        (AskPair(profile="kitchen"), "unknown_profile"),
        (AskUnpair(address="C0:00:00:00:00:01"), "not_paired"),
    ],
)
async def test_what_cannot_be_done_has_its_reason_and_remedy(
    tmp_path: Path, ask: AskPair | AskUnpair, code: str
) -> None:
    async with enrolling(tmp_path, replace(QUICK, look_s=0.3)) as here, desk(here.pairing) as at:
        told = await at.ask(ask)
        assert isinstance(told, Failed)
        assert told.code == code
        assert told.error
        assert told.remedy
        assert paired(here.connection) == ()


async def test_what_to_do_on_the_device_is_said_where_its_family_is_known(tmp_path: Path) -> None:
    async with enrolling(tmp_path, replace(QUICK, look_s=0.2)) as here, desk(here.pairing) as at:
        told = await at.ask(AskPair(profile="a-and-d-blood-pressure"))
        assert isinstance(told, Failed)
        assert "Håll startknappen" in told.remedy


async def test_nobody_choosing_ends_the_search(tmp_path: Path) -> None:
    async with enrolling(tmp_path, replace(QUICK, look_s=0.5)) as here, desk(here.pairing) as at:
        async with awake(here.device("cuff")):
            told = await at.ask(AskPair())
        assert isinstance(told, Failed)
        assert told.code == "not_chosen"


async def test_a_device_paired_already_is_said_so_and_left_alone(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        thermometer = here.device("oximeter")
        pair(here.connection, PairedDevice(thermometer.address, "m", thermometer.profile))
        async with awake(thermometer):
            told = await at.ask(AskPair(), Chooser(thermometer.address))
        assert isinstance(told, Failed)
        assert told.code == "paired_already"
        assert at.found(thermometer.address).paired
        assert thermometer.links == 0


async def test_a_bond_that_the_device_forgot_is_made_anew_when_a_person_says_so(
    tmp_path: Path,
) -> None:
    async with enrolling(tmp_path) as here:
        cuff = here.device("cuff")
        async with awake(cuff), desk(here.pairing) as at:
            assert isinstance(await at.ask(AskPair(), Chooser(cuff.address)), PairedNow)
        await cuff.forget_bond()
        async with awake(cuff), desk(here.pairing) as at:
            told = await at.ask(AskPair(address=cuff.address))
            assert isinstance(told, Failed), "a lost bond is not made anew by itself"
            assert not await cuff.is_bonded()
        async with awake(cuff), desk(here.pairing) as at:
            told = await at.ask(AskPair(address=cuff.address, again=True))
        assert isinstance(told, PairedNow)
        assert await cuff.is_bonded()
        steps = [event.step for event in at.told if isinstance(event, Stepped)]
        assert steps[1:4] == [Step.LOOKING, Step.FORGETTING, Step.PAIRING], "looked for once"
        assert at.found(cuff.address).paired, "and shown once"


@dataclass
class FallsAsleep(BleakBonding):
    """Bonding with a device that goes to sleep when its old bond is forgotten."""

    radio: Radio
    waking: asyncio.Task[int]

    def __post_init__(self) -> None:
        super().__init__(self.radio)

    async def forget(self, address: str) -> None:
        await super().forget(address)
        self.waking.cancel()
        await asyncio.wait({self.waking})


async def test_a_device_that_falls_asleep_when_its_bond_is_forgotten_is_said(
    tmp_path: Path,
) -> None:
    async with enrolling(tmp_path, replace(QUICK, look_s=1.0)) as here:
        cuff = here.device("cuff")
        cuff.pairing_mode = True
        bonding = FallsAsleep(here.pairing.radio, asyncio.create_task(cuff.wake()))
        async with desk(replace(here.pairing, bonding=bonding)) as at:
            told = await at.ask(AskPair(address=cuff.address, again=True))
        assert Stepped(Step.FORGETTING) in at.told
        assert isinstance(told, Failed)
        assert told.code == "not_heard"
        assert cuff.address in told.error


@dataclass
class WantsNone(BleakBonding):
    """Bonding as on BlueZ with a device that wants no passkey."""

    radio: Radio

    def __post_init__(self) -> None:
        super().__init__(self.radio)

    @asynccontextmanager
    async def link(
        self, device: BLEDevice, operator: Operator, *, bond: bool
    ) -> AsyncIterator[EnrolLink]:
        async with super().link(device, operator, bond=bond) as link:
            yield Unasked(link)


@dataclass
class Unasked:
    """A link that was bonded without a passkey."""

    link: EnrolLink
    how: How = How.NO_PASSKEY

    @property
    def address(self) -> str:
        return self.link.address

    @property
    def is_bonded(self) -> bool:
        return self.link.is_bonded

    async def characteristics(self, needed: frozenset[str]) -> frozenset[str]:
        return await self.link.characteristics(needed)

    async def read(self, characteristic: str) -> bytes | None:
        return await self.link.read(characteristic)


@pytest.mark.parametrize(
    ("profile", "told"), [("beurer-scale", "passkey_shown"), ("a-and-d-weight", None)]
)
async def test_a_passkey_that_was_expected_and_not_wanted_is_told(
    tmp_path: Path, profile: str, told: str | None
) -> None:
    async with enrolling(tmp_path) as here:
        scale = here.device("scale")
        pairing = replace(here.pairing, bonding=WantsNone(here.pairing.radio))
        async with awake(scale), desk(pairing) as at:
            ended = await at.ask(AskPair(address=scale.address, profile=profile))
        assert isinstance(ended, PairedNow), "it is a hint, not a refusal"
        assert ended.secured == "no_passkey"
        warned = [event for event in at.told if isinstance(event, WithoutPasskey)]
        assert [(one.address, one.expected) for one in warned] == (
            [(scale.address, told)] if told else []
        )


async def test_a_device_out_of_pairing_mode_refuses_with_its_reason(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here:
        cuff = here.device("cuff")
        async with awake(cuff):
            async with desk(here.pairing) as at:
                await at.ask(AskPair(), Chooser(cuff.address))
            async with desk(here.pairing) as at:
                await at.ask(AskUnpair(cuff.address))
        async with awake(cuff, pairing_mode=False), desk(here.pairing) as at:
            told = await at.ask(AskPair(), Chooser(cuff.address))
        assert isinstance(told, Failed)
        assert told.code == "refused"
        assert paired(here.connection) == ()


async def test_the_wrong_family_is_not_stored(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        oximeter = here.device("oximeter")
        async with awake(oximeter):
            told = await at.ask(AskPair(), Chooser(oximeter.address, here.device("scale").profile))
        assert isinstance(told, Failed)
        assert told.code == "services_incomplete"
        assert "2A9D" in told.error
        assert paired(here.connection) == ()


async def test_a_device_of_no_known_family_needs_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ble.nearby.suggest", lambda _name, _services: ())
    async with enrolling(tmp_path) as here:
        oximeter = here.device("oximeter")
        for ask, code in (
            (AskPair(everything=True), "unknown_family"),
            (AskPair(address=oximeter.address), "unknown_family"),
            (AskPair(everything=True, profile=oximeter.profile), None),
        ):
            async with desk(here.pairing) as at, awake(oximeter):
                told = await at.ask(ask, Chooser(oximeter.address))
            assert getattr(told, "code", None) == code


async def test_a_choice_nobody_was_shown_and_a_profile_nobody_has(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here:
        oximeter = here.device("oximeter")
        async with awake(oximeter):
            async with desk(here.pairing) as at:
                told = await at.ask(AskPair(), Chooser(oximeter.address, "kitchen"))
                assert getattr(told, "code", None) == "unknown_profile"

            def elsewhere(event: Event) -> Answer | None:
                return (
                    Chosen(address="C0:00:00:00:00:01") if isinstance(event, WantsChoice) else None
                )

            async with desk(here.pairing) as at:
                told = await at.ask(AskPair(), elsewhere)
                assert getattr(told, "code", None) == "not_heard"


async def test_one_desk_at_a_time_and_a_desk_that_dies_gives_the_radio_back(
    tmp_path: Path,
) -> None:
    async with enrolling(tmp_path) as here:
        busy = asyncio.Lock()
        async with desk(here.pairing, busy) as first:
            first.send(b'{"ask":"pair"}\n')
            await until(here.pairing.turn.wanted.is_set)
            async with desk(here.pairing, busy) as second:
                told = await second.ask(AskPair())
                assert isinstance(told, Failed)
                assert told.code == "busy"
        assert not here.pairing.turn.wanted.is_set()
        async with asyncio.timeout(5), here.pairing.turn.listening():
            pass


async def test_giving_up_ends_it_and_leaves_no_link(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        cuff = here.device("cuff")
        async with awake(cuff):
            told = await at.ask(
                AskPair(), lambda event: GivenUp() if isinstance(event, FoundDevice) else None
            )
        assert isinstance(told, Failed)
        assert told.code == "given_up"
        assert not cuff.radio.connections


async def test_a_gateway_that_serves_a_device_is_waited_for_but_not_for_ever(
    tmp_path: Path,
) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        async with here.pairing.turn.listening():
            told = await at.ask(AskPair())
        assert isinstance(told, Failed)
        assert told.code == "busy"


NESTED = b'{"ask":"pair","more":' + b"[" * 4000 + b"]" * 4000 + b"}\n"


@pytest.mark.parametrize(
    "line", [b"hello\n", b'{"ask":"reboot"}\n', b"x" * 9000 + b"\n", b"\n", NESTED]
)
async def test_what_is_no_question_is_said_so(tmp_path: Path, line: bytes) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:
        at.send(line)
        told = await at.hear()
        assert isinstance(told, Failed)
        assert told.code == "not_understood"


async def test_what_is_no_answer_ends_it(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here, desk(here.pairing) as at:

        def babble(event: Event) -> Answer | None:
            if isinstance(event, WantsChoice):
                at.send(b"first one please\n")
            return None

        told = await at.ask(AskPair(), babble)
        assert isinstance(told, Failed)
        assert told.code == "not_understood"


async def test_unpairing_removes_row_and_bond(tmp_path: Path) -> None:
    async with enrolling(tmp_path) as here:
        cuff = here.device("cuff")
        async with awake(cuff), desk(here.pairing) as at:
            await at.ask(AskPair(), Chooser(cuff.address))
        async with desk(here.pairing) as at:
            told = await at.ask(AskUnpair(cuff.address.lower()))
        assert told == UnpairedNow(cuff.address, cuff.dev, cuff.model)
        assert paired(here.connection) == ()
        assert here.home.central.device.keystore is not None
        assert await here.home.central.device.keystore.get(cuff.address) is None


def test_only_so_many_devices_are_shown() -> None:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    def heard(number: int, name: str | None, services: list[str]) -> None:
        address = f"C0:00:00:00:00:{number:02X}"
        data = AdvertisementData(name, {}, {}, services, None, -50, ())
        nearby.on_advertisement(BLEDevice(address, None, None), data)

    told: list[tuple[int, str]] = []
    nearby = Nearby(lambda found: told.append((found.number, found.name)), everything=True)
    heard(0, None, [])
    heard(0, "\x1b[2JA&D_UA-651BLE\n", [])
    heard(0, None, [])
    for number in range(1, 100):
        heard(number, "X", [])
    assert told[:3] == [(1, ""), (1, "[2JA&D_UA-651BLE"), (2, "X")]
    assert len(nearby.found) == FOUND_MAX
