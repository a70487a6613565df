"""An operator enrols a device: look for it, choose it, bond, see that it fits, listen to it.

Only a person starts this, and only for the device that they chose: a bond that a device forgot is
never made anew by itself, because whoever takes its address would get it (research F4).

Nothing is set on the device here and nothing is subscribed to on the pairing link, so that it has
nobody to send a value to before the gateway listens: what it measured stays in it until the first
link after this one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog
from bleak.backends.device import BLEDevice

from devices.errors import DecodeError
from devices.gatt import device_information
from devices.profiles import PROFILES, Profile
from devices.profiles.profile import Bonding as HowItBonds
from gateway.ble.agent import How, Operator
from gateway.ble.bonding import Bonding, EnrolLink
from gateway.ble.bus import BusAway, BusError
from gateway.ble.nearby import Found, Nearby, searching
from gateway.ble.radio import Radio
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.ble.turn import Turn
from gateway.paired import MODEL_MAX_CHARACTERS, PairedDevice, pair, paired, unpair
from gateway.storage import explained

log = structlog.get_logger(__name__)

MODEL_NUMBER = "2A24"
MANUFACTURER_NAME = "2A29"


class Step(StrEnum):
    """What is being done, for who waits."""

    WAITING = "waiting"
    LOOKING = "looking"
    FORGETTING = "forgetting"
    PAIRING = "pairing"
    CHECKING = "checking"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asks for.

    ``address`` where only one device will do, ``profile`` where the family is known. ``again``: the
    device forgot its bond; remove it here too and bond anew. ``everything``: show devices of no
    known family too.
    """

    address: str | None = None
    profile: str | None = None
    again: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The device that the operator chose; ``profile`` None takes the best suggestion."""

    address: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The device that the gateway listens to from now on."""

    device: PairedDevice
    profile: Profile
    manufacturer: str | None
    how: How
    is_bonded: bool

    @property
    def lacks_passkey(self) -> bool:
        """Whether it was bonded without the passkey that its family shows or wants."""
        wants_passkey = self.profile.bonding is not HowItBonds.JUST_WORKS
        return self.is_bonded and wants_passkey and self.how is How.NO_PASSKEY


class Person(Operator, Protocol):
    """The operator, seen from the procedure."""

    def step(self, step: Step) -> None:
        """Tell what is being done now."""

    def found(self, found: Found) -> None:
        """Show a device, or what more became known of it."""

    async def choose(self) -> Choice | None:
        """Return the choice; None where the operator gives up."""

    def without_passkey(self, address: str, expected: HowItBonds) -> None:
        """Tell that the device was paired without the passkey that its family is known for."""


@dataclass(frozen=True, slots=True)
class PairingLimits:
    """How long each thing may take, in seconds.

    While an operator enrols nothing is listened to, so ``look_s`` bounds that; devices keep what
    nobody fetched. ``turn_s`` is longer than any link that is under way (a profile's longest).
    """

    turn_s: float = 90.0
    look_s: float = 180.0

    def __post_init__(self) -> None:
        """Check that every limit limits something."""
        assert min(self.turn_s, self.look_s) > 0, "limits are positive"


@dataclass(frozen=True, slots=True)
class Pairing:
    """Everything that enrolling needs. ``hold`` subscribes early where the radio can (F2)."""

    radio: Radio
    bonding: Bonding
    turn: Turn
    connection: sqlite3.Connection
    database: Path
    hold: Callable[[str], Awaitable[None]] | None = None
    limits: PairingLimits = PairingLimits()

    async def enrol(self, wish: Wish, person: Person) -> Enrolled:
        """Enrol the device that ``person`` chooses; raises PairingFailed and StorageFull.

        When cancelled it hangs up and leaves the gateway listening as before.
        """
        if wish.profile is not None and wish.profile not in PROFILES:
            raise PairingFailed(Trouble.UNKNOWN_PROFILE, profile=wish.profile)
        async with AsyncExitStack() as stack:
            await self._take_turn(stack, person)
            await self.bonding.ready()
            person.step(Step.LOOKING)
            profile, device = await self._find(wish, person)
            enrolled = await self._link(device, profile, person)
        await self._hold(enrolled.device.address)
        if enrolled.lacks_passkey:
            log.warning("paired_without_passkey", dev=enrolled.device.dev)
            person.without_passkey(enrolled.device.address, profile.bonding)
        log.info(
            "device_paired",
            dev=enrolled.device.dev,
            profile=profile.name,
            bonded=enrolled.is_bonded,
            how=enrolled.how.value,
        )
        return enrolled

    async def remove(self, address: str, person: Person) -> PairedDevice:
        """Listen to the device no more and remove its bond; raises PairingFailed.

        What it sent stays. BOND_STAYS says that it is not listened to but its bond is still here.
        """
        device = self._known().get(address.upper())
        if device is None:
            raise PairingFailed(Trouble.NOT_PAIRED, address=address)
        async with AsyncExitStack() as stack:
            await self._take_turn(stack, person)
            with explained(self.database):
                unpair(self.connection, device.address)
            log.info("device_unpaired", dev=device.dev)
            await self.bonding.forget(device.address)
        return device

    def _known(self) -> dict[str, PairedDevice]:
        with explained(self.database):
            return {device.address: device for device in paired(self.connection)}

    async def _take_turn(self, stack: AsyncExitStack, person: Person) -> None:
        person.step(Step.WAITING)
        try:
            async with asyncio.timeout(self.limits.turn_s):
                await stack.enter_async_context(self.turn.enrolling())
        except TimeoutError as error:
            raise PairingFailed(Trouble.BUSY) from error

    async def _find(self, wish: Wish, person: Person) -> tuple[Profile, BLEDevice]:
        """Look until there is a device to link up with, and settle what was before."""
        only = None if wish.address is None else wish.address.upper()
        nearby = Nearby(person.found, frozenset(self._known()), only, wish.everything)
        async with searching(self.radio, nearby):
            choice = await self._choose(wish, nearby, person)
            profile = _profile_of(choice)
            if wish.again:
                await self._forget(choice, nearby, person)
        if not wish.again:
            await self._begin(choice, profile, nearby.devices[choice.address])
        return profile, nearby.devices[choice.address]

    async def _choose(self, wish: Wish, nearby: Nearby, person: Person) -> Choice:
        try:
            async with asyncio.timeout(self.limits.look_s):
                choice = await _chosen(wish, nearby, person)
        except TimeoutError as error:
            raise self._not_chosen(wish, nearby) from error
        found = nearby.found.get(choice.address.upper())
        if found is None:
            raise _not_heard(choice, 0)
        best = found.profiles[0].name if found.profiles else None
        return Choice(found.address, choice.profile or best)

    async def _forget(self, choice: Choice, nearby: Nearby, person: Person) -> None:
        """Forget the bond of a device that was heard, so that it can be bonded anew."""
        person.step(Step.FORGETTING)
        await self.bonding.forget(choice.address)
        try:
            # BlueZ forgets the device with the bond; it must be heard anew.
            async with asyncio.timeout(self.limits.look_s):
                await nearby.anew(choice.address)
        except TimeoutError as error:
            raise _not_heard(choice, int(self.limits.look_s)) from error

    def _not_chosen(self, wish: Wish, nearby: Nearby) -> PairingFailed:
        facts = {"seconds": int(self.limits.look_s), "how": _how(wish.profile)}
        if nearby.found:
            return PairingFailed(Trouble.NOT_CHOSEN)
        if wish.address is not None:
            return PairingFailed(Trouble.NOT_HEARD, address=wish.address.upper(), **facts)
        return PairingFailed(Trouble.NOTHING_FOUND, **facts)

    async def _begin(self, choice: Choice, profile: Profile, device: BLEDevice) -> None:
        """Refuse a device that is paired; take up one whose enrolment was cut short."""
        row = self._known().get(choice.address)
        is_bonded = await self.bonding.is_bonded(choice.address)
        if row is not None and (is_bonded or not profile.must_bond):
            raise PairingFailed(Trouble.PAIRED_ALREADY, address=choice.address)
        if is_bonded:
            # Bonded, but an enrolment before was cut short. It may send at once when it is linked
            # up with, so it is listened to first.
            self._store(PairedDevice(choice.address, _model_of(device), profile.name))
            await self._hold(choice.address)

    async def _link(self, device: BLEDevice, profile: Profile, person: Person) -> Enrolled:
        person.step(Step.PAIRING)
        async with self.bonding.link(device, person, bond=profile.must_bond) as link:
            person.step(Step.CHECKING)
            needed = frozenset(profile.measurements)
            missing = needed - await link.characteristics(needed)
            if missing:
                raise PairingFailed(
                    Trouble.SERVICES_INCOMPLETE,
                    address=link.address,
                    profile=profile.name,
                    missing=", ".join(sorted(missing)),
                )
            if profile.must_bond and not link.is_bonded:
                raise PairingFailed(Trouble.NOT_BONDED, address=link.address)
            model = await _text(link, MODEL_NUMBER) or _model_of(device)
            manufacturer = await _text(link, MANUFACTURER_NAME)
            stored = PairedDevice(link.address, model[:MODEL_MAX_CHARACTERS], profile.name)
            self._store(stored)
            return Enrolled(stored, profile, manufacturer, link.how, link.is_bonded)

    def _store(self, device: PairedDevice) -> None:
        with explained(self.database):
            pair(self.connection, device)

    async def _hold(self, address: str) -> None:
        if self.hold is None:
            return
        try:
            await self.hold(address)
        except (BusError, BusAway) as error:
            # The gateway asks for it again by itself; the device is paired all the same.
            log.info("subscriptions_wait", error=str(error))


async def _chosen(wish: Wish, nearby: Nearby, person: Person) -> Choice:
    if nearby.only is not None:
        await nearby.heard.wait()
        return Choice(nearby.only, wish.profile)
    choice = await person.choose()
    if choice is None:
        raise PairingFailed(Trouble.GIVEN_UP)
    return replace(choice, profile=choice.profile or wish.profile)


def _not_heard(choice: Choice, seconds: int) -> PairingFailed:
    return PairingFailed(
        Trouble.NOT_HEARD, address=choice.address, seconds=seconds, how=_how(choice.profile)
    )


def _profile_of(choice: Choice) -> Profile:
    if choice.profile is None:
        raise PairingFailed(Trouble.UNKNOWN_FAMILY, address=choice.address)
    profile = PROFILES.get(choice.profile)
    if profile is None:
        raise PairingFailed(Trouble.UNKNOWN_PROFILE, profile=choice.profile)
    return profile


def _how(profile: str | None) -> str:
    """What to do on the device, where its family is known and its profile says it."""
    known = None if profile is None else PROFILES.get(profile)
    words = "" if known is None else known.pairing_mode
    return f" ({words})" if words else ""


def _model_of(device: BLEDevice) -> str:
    return device.name or device.address


async def _text(link: EnrolLink, characteristic: str) -> str | None:
    raw = await link.read(characteristic)
    if raw is None:
        return None
    try:
        fields = device_information.decode(raw, characteristic).fields
    except DecodeError:
        return None
    text = str(fields[device_information.NAMES[characteristic]])
    return "".join(letter for letter in text if letter.isprintable()).strip() or None
