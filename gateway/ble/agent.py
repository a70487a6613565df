"""Our pairing agent: it accepts the one device that an operator is enrolling now, and nothing else.

Without an agent BlueZ pairs with nothing, not even where no passkey is asked (research F1). With
one that accepts everything, whoever is near can pair, and a device that takes the address of a cuff
which lost its bond is taken for the cuff. So every question about any other device is refused,
logged and counted, also while one is being enrolled.

BlueZ asks nobody about a pairing without a passkey that was begun by ``Device1.Pair``: calling that
is an operator's act too, and only :mod:`gateway.ble.bonding` does it.

Source: ``org.bluez.Agent`` and ``org.bluez.AgentManager`` in BlueZ's ``doc/``.
"""

# Without `from __future__ import annotations`: dbus-fast reads the signatures, and "None" is none.
import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

import structlog
from dbus_fast import DBusError
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt16, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method

from gateway.ble.bus import BusAway, BusError, SystemBus

log = structlog.get_logger(__name__)
T = TypeVar("T")

AGENT_PATH = "/se/hemma/agent"
AGENT_MANAGER = "org.bluez.AgentManager1"
BLUEZ_PATH = "/org/bluez"
CAPABILITY = "KeyboardDisplay"
REJECTED = "org.bluez.Error.Rejected"
CANCELED = "org.bluez.Error.Canceled"
ALREADY_EXISTS = "org.bluez.Error.AlreadyExists"
PASSKEY_MAX = 999_999
ANSWER_MAX_S = 28.0
"""The device gives up 30 s after the last message (Core specification, Vol 3 Part H 3.4)."""


class Operator(Protocol):
    """The person who enrols a device, seen from the agent."""

    async def passkey(self) -> int | None:
        """Return the six digits that the device shows, None where the person gives up."""

    async def show(self, passkey: int) -> None:
        """Show six digits that are to be typed on the device."""

    async def confirm(self, passkey: int) -> bool:
        """Return whether the device shows the same six digits."""


class Refusal(StrEnum):
    """Why a question about pairing was answered with no."""

    STRANGER = "stranger"
    BONDED_BEFORE = "bonded_before"
    """A device of this home asks to be bonded anew, and nobody enrols it (research F4)."""
    NOT_LOW_ENERGY = "not_low_energy"
    NOT_A_SERVICE = "not_a_service"
    OPERATOR_SAID_NO = "operator_said_no"
    NO_ANSWER = "no_answer"


class How(StrEnum):
    """How much the pairing was secured by a person."""

    NOT_TOLD = "not_told"
    """Bonded before, or by a stack that does not tell how."""
    NO_PASSKEY = "no_passkey"
    PASSKEY_TYPED = "passkey_typed"
    PASSKEY_SHOWN = "passkey_shown"
    PASSKEY_COMPARED = "passkey_compared"


@dataclass(slots=True)
class Enrolment:
    """The enrolment under way: ``how`` and ``refusal`` tell afterwards what was asked and said."""

    address: str
    operator: Operator
    how: How = How.NO_PASSKEY
    refusal: Refusal | None = None
    shown: int | None = None


class Agent:
    """The agent of this gateway, registered with BlueZ each time that is there.

    Make it before ``bus.run()`` starts. ``refused`` counts refusals by reason since the start.
    """

    def __init__(self, bus: SystemBus, *, answer_max_s: float = ANSWER_MAX_S) -> None:
        self.refused: Counter[Refusal] = Counter()
        self.registered = asyncio.Event()
        """Set while BlueZ asks this agent."""
        self._bus = bus
        self._answer_max_s = answer_max_s
        self._enrolment: Enrolment | None = None
        self._asking: asyncio.Task[object] | None = None
        bus.export(_Interface(self), AGENT_PATH)
        bus.on_bluez(self._on_bluez)

    @contextmanager
    def enrolling(self, address: str, operator: Operator) -> Iterator[Enrolment]:
        """Accept the device of ``address`` while the block lasts, asking ``operator``.

        ``address`` is the one in the device's path in BlueZ (:func:`address_of`).
        """
        assert self._enrolment is None, "one device is enrolled at a time"
        self._enrolment = Enrolment(address.upper(), operator)
        try:
            yield self._enrolment
        finally:
            self.cancel()
            self._enrolment = None

    async def authorize(self, path: str) -> None:
        """Accept a pairing without a passkey, or raise DBusError."""
        await self._accepted(path, "authorization")

    async def passkey(self, path: str) -> int:
        """Return what the operator reads on the device, or raise DBusError."""
        enrolment = await self._accepted(path, "passkey")
        passkey = await self._ask(enrolment, enrolment.operator.passkey)
        if passkey is None or not 0 <= passkey <= PASSKEY_MAX:
            raise self._refuse(enrolment, path, "passkey", Refusal.OPERATOR_SAID_NO)
        enrolment.how = How.PASSKEY_TYPED
        return passkey

    async def show(self, path: str, passkey: int) -> None:
        """Show the digits once, though BlueZ calls for every digit typed; or raise DBusError."""
        enrolment = await self._accepted(path, "show_passkey")
        if enrolment.shown == passkey:
            return
        enrolment.shown, enrolment.how = passkey, How.PASSKEY_SHOWN
        await self._ask(enrolment, lambda: enrolment.operator.show(passkey))

    async def confirm(self, path: str, passkey: int) -> None:
        """Have the operator compare the digits; raise DBusError unless they are the same."""
        enrolment = await self._accepted(path, "confirmation")
        if not await self._ask(enrolment, lambda: enrolment.operator.confirm(passkey)):
            raise self._refuse(enrolment, path, "confirmation", Refusal.OPERATOR_SAID_NO)
        enrolment.how = How.PASSKEY_COMPARED

    def refuse(self, path: str, asked: str, refusal: Refusal) -> DBusError:
        """Return the refusal of what this gateway never does, counted and logged."""
        return self._refuse(None, path, asked, refusal)

    def cancel(self) -> None:
        """Give up the question that the operator is being asked, if there is one."""
        if self._asking is not None:
            self._asking.cancel()

    def released(self) -> None:
        """BlueZ asks this agent no more: another took its place, or BlueZ ends."""
        self.registered.clear()
        self.cancel()
        log.warning("agent_released")

    async def _on_bluez(self, is_here: bool) -> None:
        self.registered.clear()
        self.cancel()
        if not is_here:
            return
        try:
            await self._manager("RegisterAgent", "os", AGENT_PATH, CAPABILITY)
        except BusError as error:
            # Ours from before: the connection is the same and BlueZ never went.
            if error.name != ALREADY_EXISTS:
                raise
        await self._manager("RequestDefaultAgent", "o", AGENT_PATH)
        self.registered.set()
        log.info("agent_registered")

    async def _manager(self, member: str, signature: str, *body: str) -> None:
        await self._bus.call(BLUEZ_PATH, AGENT_MANAGER, member, signature, body)

    async def _accepted(self, path: str, asked: str) -> Enrolment:
        """Return the enrolment where ``path`` is its device, else raise the refusal."""
        enrolment = self._enrolment
        if enrolment is not None and address_of(path) == enrolment.address:
            return enrolment
        is_bonded = await self._is_bonded(path)
        refusal = Refusal.BONDED_BEFORE if is_bonded else Refusal.STRANGER
        raise self._refuse(None, path, asked, refusal)

    async def _is_bonded(self, path: str) -> bool:
        try:
            objects = await self._bus.managed_objects()
        except (BusError, BusAway):
            return False
        return any(device.path == path and device.is_bonded for device in objects.devices)

    async def _ask(self, enrolment: Enrolment, question: Callable[[], Awaitable[T]]) -> T:
        """Await the operator's answer within its time; raises the refusal where none came."""
        asking = asyncio.ensure_future(question())
        self._asking = asking
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._answer_max_s)
        finally:
            asking.cancel()
            self._asking = None
        if not done:
            raise self._refuse(enrolment, None, "answer", Refusal.NO_ANSWER)
        if asking.cancelled():
            raise DBusError(CANCELED, "The question was withdrawn.")
        return asking.result()

    def _refuse(
        self, enrolment: Enrolment | None, path: str | None, asked: str, refusal: Refusal
    ) -> DBusError:
        self.refused[refusal] += 1
        if enrolment is not None:
            enrolment.refusal = refusal
            address = enrolment.address
        else:
            address = address_of(path or "")
        log.warning("pairing_refused", address=address, asked=asked, why=refusal.value)
        return DBusError(REJECTED, refusal.value)


class _Interface(ServiceInterface):
    """``org.bluez.Agent1`` as BlueZ calls it; only the types of D-Bus are here."""

    def __init__(self, agent: Agent) -> None:
        super().__init__("org.bluez.Agent1")
        self._agent = agent

    @dbus_method()
    async def RequestPinCode(self, device: DBusObjectPath) -> DBusStr:  # noqa: N802
        raise self._agent.refuse(device, "pin_code", Refusal.NOT_LOW_ENERGY)

    @dbus_method()
    async def DisplayPinCode(self, device: DBusObjectPath, pincode: DBusStr) -> None:  # noqa: N802
        raise self._agent.refuse(device, "show_pin_code", Refusal.NOT_LOW_ENERGY)

    @dbus_method()
    async def RequestPasskey(self, device: DBusObjectPath) -> DBusUInt32:  # noqa: N802
        return await self._agent.passkey(device)

    @dbus_method()
    async def DisplayPasskey(  # noqa: N802
        self, device: DBusObjectPath, passkey: DBusUInt32, entered: DBusUInt16
    ) -> None:
        await self._agent.show(device, passkey)

    @dbus_method()
    async def RequestConfirmation(  # noqa: N802
        self, device: DBusObjectPath, passkey: DBusUInt32
    ) -> None:
        await self._agent.confirm(device, passkey)

    @dbus_method()
    async def RequestAuthorization(self, device: DBusObjectPath) -> None:  # noqa: N802
        await self._agent.authorize(device)

    @dbus_method()
    async def AuthorizeService(self, device: DBusObjectPath, uuid: DBusStr) -> None:  # noqa: N802
        raise self._agent.refuse(device, "service", Refusal.NOT_A_SERVICE)

    @dbus_method()
    async def Cancel(self) -> None:  # noqa: N802
        self._agent.cancel()

    @dbus_method()
    async def Release(self) -> None:  # noqa: N802
        self._agent.released()


def address_of(path: str) -> str:
    """Return the address that a device's path in BlueZ is named by: ``…/dev_AA_BB_CC_DD_EE_FF``."""
    return path.partition("/dev_")[2][:17].replace("_", ":").upper()
