"""Bonding on BlueZ: ``Device1.Pair`` from the connection that our agent is on.

BlueZ asks the agent of whoever called ``Pair``, and where no passkey is needed nobody at all: so
this is the only place that calls it, and only while an operator enrols.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import structlog
from bleak.backends.device import BLEDevice

from gateway.ble.agent import Agent, Enrolment, How, Operator, Refusal, address_of
from gateway.ble.bonding import BondingLimits, EnrolLink
from gateway.ble.bus import NO_REPLY, BusAway, BusError, SystemBus
from gateway.ble.objects import ADAPTER, CHARACTERISTIC, DEVICE, Device
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.ble.uuids import short_uuid

log = structlog.get_logger(__name__)

RECONNECTS_MAX = 2
"""How often a link whose services stay incomplete is made anew (research F3)."""
ERROR = "org.bluez.Error."
ALREADY_EXISTS = ERROR + "AlreadyExists"
TROUBLES = {
    ERROR + "AuthenticationFailed": Trouble.REFUSED,
    ERROR + "AuthenticationRejected": Trouble.REFUSED,
    ERROR + "AuthenticationCanceled": Trouble.HUNG_UP,
    ERROR + "AuthenticationTimeout": Trouble.HUNG_UP,
    ERROR + "InProgress": Trouble.BUSY,
    ERROR + "NotReady": Trouble.NO_ADAPTER,
}
"""What BlueZ's errors mean here; any other is OUT_OF_REACH. Source: its ``doc/``, and tried."""
OPERATOR = {Refusal.NO_ANSWER: Trouble.NO_ANSWER, Refusal.OPERATOR_SAID_NO: Trouble.GIVEN_UP}
STATIC_BITS = 0xC0
"""The two highest bits of a random address that does not change (Vol 6 Part B 1.3.2.1)."""


class BluezBonding:
    """Bonds through BlueZ; ``bus`` must be running."""

    def __init__(self, bus: SystemBus, agent: Agent, limits: BondingLimits | None = None) -> None:
        self._bus = bus
        self._agent = agent
        self._limits = limits or BondingLimits()

    async def ready(self) -> None:
        """Wait a little for BlueZ and for our agent's registration."""
        await self._registered()
        with _troubles(""):
            adapters = (await self._bus.managed_objects()).adapters
        if not any(adapter.is_powered for adapter in adapters):
            raise PairingFailed(Trouble.NO_ADAPTER)

    async def is_bonded(self, address: str) -> bool:
        """Whether BlueZ keeps keys for ``address``; raises PairingFailed."""
        device = await self._device(address)
        return device is not None and device.is_bonded

    async def forget(self, address: str) -> None:
        """Remove the device from BlueZ, which drops its keys and its link."""
        try:
            await self._registered()
            device = await self._device(address)
            if device is not None:
                body = [device.path]
                await self._bus.call(device.adapter_path, ADAPTER, "RemoveDevice", "o", body)
        except (BusError, BusAway, PairingFailed) as error:
            raise PairingFailed(Trouble.BOND_STAYS, address=address, cause=str(error)) from error

    @asynccontextmanager
    async def link(
        self, device: BLEDevice, operator: Operator, *, bond: bool
    ) -> AsyncIterator[EnrolLink]:
        """Link up and bond, while our agent answers for this device alone.

        A device that hides its address is bonded in any case: else it would not be known again.
        """
        found = await self._heard(device.address)
        bond = bond or _is_hidden(device)
        with self._agent.enrolling(address_of(found.path), operator) as enrolment:
            link = _BluezLink(self._bus, self._limits, found, enrolment)
            try:
                with _troubles(device.address, enrolment):
                    await link.open(bond=bond)
                if _is_hidden(device) and link.address == device.address.upper():
                    raise PairingFailed(Trouble.HIDDEN_ADDRESS, address=device.address)
                yield link
            finally:
                await link.close()

    async def _registered(self) -> None:
        try:
            async with asyncio.timeout(self._limits.agent_s):
                await self._agent.registered.wait()
        except TimeoutError as error:
            away = not self._bus.is_bluez_here
            raise PairingFailed(Trouble.NO_BLUETOOTH if away else Trouble.NO_AGENT) from error

    async def _heard(self, address: str) -> Device:
        """Return the device; one that was just removed may be told of a moment later."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.late_s
        while (found := await self._device(address)) is None:
            if loop.time() >= until:
                raise PairingFailed(Trouble.OUT_OF_REACH, address=address, cause="gone")
            await asyncio.sleep(self._limits.poll_s)
        return found

    async def _device(self, address: str) -> Device | None:
        with _troubles(address):
            return (await self._bus.managed_objects()).device(address)


@dataclass(slots=True)
class _BluezLink:
    bus: SystemBus
    limits: BondingLimits
    device: Device
    enrolment: Enrolment
    has_paired: bool = False

    @property
    def address(self) -> str:
        return self.device.address

    @property
    def is_bonded(self) -> bool:
        return self.device.is_bonded

    @property
    def how(self) -> How:
        was_bonded = self.device.is_bonded and not self.has_paired
        return How.NOT_TOLD if was_bonded else self.enrolment.how

    async def open(self, *, bond: bool) -> None:
        if bond and not self.device.is_bonded:
            async with _keeping_keys(self.bus, self.device.adapter_path):
                await self._pair()
        else:
            await self._connect()
        await self._look()

    async def characteristics(self, needed: frozenset[str]) -> frozenset[str]:
        """Wait for ``needed``; where they stay away, link up anew, and never remove the bond."""
        with _troubles(self.address, self.enrolment):
            present = await self._resolved(needed)
            for _ in range(RECONNECTS_MAX):
                if present >= needed:
                    break
                log.info("services_incomplete", address=self.address, offered=sorted(present))
                await self.close()
                await asyncio.sleep(self.limits.late_s)
                try:
                    await self._connect()
                except BusError as error:
                    # It went to sleep after it was paired; what is missing is what is to be told.
                    log.info("not_linked_again", address=self.address, error=error.name)
                    break
                present = await self._resolved(needed)
            return present

    async def read(self, characteristic: str) -> bytes | None:
        try:
            objects = await self.bus.managed_objects()
            for each in objects.characteristics(self.device.path):
                if short_uuid(each.uuid) == characteristic:
                    answer = await self.bus.call(
                        each.path, CHARACTERISTIC, "ReadValue", "a{sv}", [{}],
                        timeout_s=self.limits.step_s,
                    )  # fmt: skip
                    return bytes(answer[0])
        except (BusError, BusAway) as error:
            log.info("read_failed", characteristic=characteristic, error=str(error))
        return None

    async def close(self) -> None:
        await self._quietly("Disconnect")

    async def _pair(self) -> None:
        """Link up and pair in one call: some devices bear no question before they are paired."""
        pairing = asyncio.ensure_future(self._call("Pair", self.limits.pair_s))
        is_done = False
        try:
            await self._linked_up(pairing)
            await pairing
            is_done = self.has_paired = True
        except BusError as error:
            if error.name != ALREADY_EXISTS:
                raise
            is_done = True
            await self._connect()
        finally:
            if not is_done:
                pairing.cancel()
                await asyncio.wait({pairing})
                await self._quietly("CancelPairing")

    async def _linked_up(self, pairing: asyncio.Future[None]) -> None:
        """Wait for the link, or that pairing ended; BlueZ alone waits far longer than is sensible.

        Raises BusError where there is no link in time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.connect_s
        while not pairing.done():
            await self._look()
            if self.device.is_connected:
                return
            if loop.time() >= until:
                raise BusError(NO_REPLY, f"No link in {self.limits.connect_s:g} s.")
            await asyncio.wait({pairing}, timeout=self.limits.poll_s)

    async def _connect(self) -> None:
        await self._call("Connect", self.limits.connect_s)

    async def _call(self, member: str, timeout_s: float) -> None:
        await self.bus.call(self.device.path, DEVICE, member, timeout_s=timeout_s)

    async def _quietly(self, member: str) -> None:
        with suppress(BusError, BusAway):
            await self._call(member, self.limits.hang_up_s)

    async def _look(self) -> None:
        """See the device as BlueZ tells of it now: its address may be another after pairing."""
        objects = await self.bus.managed_objects()
        for device in objects.devices:
            if device.path == self.device.path:
                self.device = device
                return
        raise PairingFailed(Trouble.HUNG_UP, address=self.address, cause="gone")

    async def _resolved(self, needed: frozenset[str]) -> frozenset[str]:
        """Return what is offered once it is complete, or at the end of the time that may take."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.services_s
        is_resolved = False
        while True:
            await self._look()
            objects = await self.bus.managed_objects()
            found = objects.characteristics(self.device.path)
            present = frozenset(short_uuid(each.uuid) for each in found)
            if self.device.is_resolved and not is_resolved:
                # A service may be told of a moment later than that they all were (F3).
                is_resolved, until = True, loop.time() + self.limits.late_s
            if (self.device.is_resolved and present >= needed) or loop.time() >= until:
                return present
            if not self.device.is_connected:
                return present
            await asyncio.sleep(self.limits.poll_s)


@asynccontextmanager
async def _keeping_keys(bus: SystemBus, adapter_path: str) -> AsyncIterator[None]:
    """Make sure that what is paired in this block is bonded; raises BusError and BusAway.

    ``Pair`` also works on an adapter that is not pairable, but the kernel then asks for no bond and
    the keys go with the link (net/bluetooth/smp.c, ``build_pairing_cmd``). Whoever asks to be
    paired with us meanwhile is refused by our agent as always; afterwards it is as it was.
    """
    adapters = (await bus.managed_objects()).adapters
    is_off = any(one.path == adapter_path and not one.is_pairable for one in adapters)
    if is_off:
        log.info("adapter_made_pairable", adapter=adapter_path)
        await bus.set_property(adapter_path, ADAPTER, "Pairable", "b", True)
    try:
        yield
    finally:
        if is_off:
            with suppress(BusError, BusAway):
                await bus.set_property(adapter_path, ADAPTER, "Pairable", "b", False)


@contextmanager
def _troubles(address: str, enrolment: Enrolment | None = None) -> Iterator[None]:
    """Say what an error of the bus means to the person who enrols."""
    try:
        yield
    except BusAway as error:
        raise PairingFailed(Trouble.NO_BLUETOOTH) from error
    except BusError as error:
        log.info("pairing_step_failed", address=address, error=error.name, text=error.text)
        trouble = _trouble_of(error, enrolment)
        cause = "no answer" if error.name == NO_REPLY else error.text or error.name
        raise PairingFailed(trouble, address=address, cause=cause) from error


def _trouble_of(error: BusError, enrolment: Enrolment | None) -> Trouble:
    trouble = TROUBLES.get(error.name, Trouble.OUT_OF_REACH)
    if enrolment is None:
        return trouble
    if enrolment.refusal is not None:
        return OPERATOR.get(enrolment.refusal, trouble)
    if enrolment.how is not How.NO_PASSKEY and trouble in (Trouble.REFUSED, Trouble.HUNG_UP):
        return Trouble.WRONG_PASSKEY
    return trouble


def _is_hidden(device: BLEDevice) -> bool:
    """Whether the address is a random one that changes, as BlueZ tells its kind to bleak."""
    properties = device.details.get("props", {}) if isinstance(device.details, dict) else {}
    is_random = properties.get("AddressType") == "random"
    return is_random and int(device.address[:2], 16) & STATIC_BITS != STATIC_BITS
