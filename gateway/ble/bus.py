"""The gateway's own connection to the system bus: made once, kept for ever, made anew when it dies.

BlueZ ties what a client asked for to the client's connection: subscriptions, the pairing agent,
discovery. bleak makes a connection for each link and drops it with the link, so whatever has to
outlive a link (an early subscription, the agent) lives on this one.

A machine without a bus, or with a bus without BlueZ, is waited for; nothing here ends because of
it.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface
from dbus_fast.unpack import unpack_variants

from gateway.ble.objects import Objects, objects_of

log = structlog.get_logger(__name__)

BLUEZ = "org.bluez"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"
GONE_NAMES = frozenset(
    {
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.Disconnected",
    }
)
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
CONNECT_MAX_S = 10.0
CALL_MAX_S = 10.0
CONNECTION_ERRORS = (OSError, EOFError, DBusFastError)

STANDING_RULES = (
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECT_MANAGER}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',arg0='org.bluez.Adapter1'",
)

OnBluez = Callable[[bool], Awaitable[None]]
OnSignal = Callable[[Message], None]


class BusError(Exception):
    """The other side answered with an error: ``name`` as ``org.bluez.Error.Failed``, and a text.

    A call that was not answered in time has the name NO_REPLY.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class BusAway(Exception):
    """There is no system bus now, or no BlueZ on it. It is waited for elsewhere."""


class SystemBus:
    """One long-lived connection to the system bus.

    ``DBUS_SYSTEM_BUS_ADDRESS`` says where, ``BLEAK_DBUS_AUTH_UID`` as whom (both as bleak reads
    them). Use :meth:`run` in a task of its own; everything else is called from the same loop.
    """

    def __init__(
        self, *, retry_first_s: float = RETRY_FIRST_S, retry_max_s: float = RETRY_MAX_S
    ) -> None:
        assert 0 < retry_first_s <= retry_max_s, "the first wait lies within the longest"
        self.bluez_starts = 0
        """How often BlueZ was found on the bus; every one but the first is a restart."""
        self._retry_first_s = retry_first_s
        self._retry_max_s = retry_max_s
        self._bus: MessageBus | None = None
        self._owner: str | None = None
        self._exported: list[tuple[ServiceInterface, str]] = []
        self._rules: set[str] = set()
        self._on_bluez: list[OnBluez] = []
        self._on_signal: list[OnSignal] = []
        self._turns: deque[bool] = deque()
        self._turned = asyncio.Event()

    @property
    def is_bluez_here(self) -> bool:
        """Whether there is a bus with BlueZ on it now."""
        return self._owner is not None

    async def run(self) -> None:
        """Connect, watch for BlueZ, connect again; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(), name="bus_connection")
            group.create_task(self._tell_turns(), name="bus_turns")

    def on_bluez(self, callback: OnBluez) -> None:
        """Have ``callback`` told True each time BlueZ is (again) there, False each time it went.

        Callbacks are awaited one after the other, in the order of registration; what BusError and
        BusAway they raise is logged. Register before :meth:`run`.
        """
        self._on_bluez.append(callback)

    def on_signal(self, callback: OnSignal) -> None:
        """Have ``callback`` called, synchronously, for each signal from BlueZ that was asked for.

        Asked for are objects that come and go, adapters' properties, and what :meth:`watch` adds.
        """
        self._on_signal.append(callback)

    def export(self, interface: ServiceInterface, path: str) -> None:
        """Export ``interface`` at ``path``, now and on every later connection."""
        self._exported.append((interface, path))
        if self._bus is not None and self._bus.connected:
            self._bus.export(path, interface)

    async def watch(self, path: str) -> None:
        """Ask for the property changes of everything at and below ``path``, from now on.

        Kept over reconnects. Raises BusAway and BusError; it is asked for later all the same.
        """
        rule = _rule_of(path)
        if rule in self._rules:
            return
        self._rules.add(rule)
        await self._match("AddMatch", rule)

    async def unwatch(self, path: str) -> None:
        """Undo :meth:`watch`; raises BusAway and BusError."""
        rule = _rule_of(path)
        if rule in self._rules:
            self._rules.discard(rule)
            await self._match("RemoveMatch", rule)

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        destination: str = BLUEZ,
        timeout_s: float = CALL_MAX_S,
    ) -> list[Any]:
        """Call a method; returns the answer's values, variants taken off.

        Raises BusError for an error answer or none within ``timeout_s``, BusAway where there is
        nobody to ask.
        """
        bus = self._bus
        if bus is None or not bus.connected:
            raise BusAway("There is no system bus.")
        if destination == BLUEZ and self._owner is None:
            # Asking would start it behind systemd's back where it is activated by name.
            raise BusAway("BlueZ is not on the bus.")
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        return _answer(await _reply(bus, message, timeout_s))

    async def managed_objects(self) -> Objects:
        """Return what BlueZ knows now; raises BusAway and BusError."""
        (managed,) = await self.call("/", OBJECT_MANAGER, "GetManagedObjects")
        return objects_of(managed)

    async def set_property(
        self, path: str, interface: str, name: str, signature: str, value: object
    ) -> None:
        """Set a property; ``signature`` is the value's. Raises BusAway and BusError."""
        body = [interface, name, Variant(signature, value)]
        await self.call(path, PROPERTIES, "Set", "ssv", body)

    async def _stay_connected(self) -> None:
        wait_s = self._retry_first_s
        while True:
            bus = MessageBus(bus_type=BusType.SYSTEM, auth=_authenticator())
            ended: BaseException | None = None
            try:
                await self._connect(bus)
                wait_s = self._retry_first_s
                ended = await _end_of(bus)
            except (*CONNECTION_ERRORS, BusError, BusAway) as error:
                ended = error
            finally:
                self._bus = None
                self._owned_by(None)
                await _close(bus)
            log.warning("bus_away", error=type(ended).__name__, retry_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(self._retry_max_s, wait_s * 2)

    async def _connect(self, bus: MessageBus) -> None:
        async with asyncio.timeout(CONNECT_MAX_S):
            await bus.connect()
        self._bus = bus
        bus.add_message_handler(self._on_message)
        for interface, path in self._exported:
            bus.export(path, interface)
        # Rules first, then the question, so that no change falls between.
        for rule in (*STANDING_RULES, *sorted(self._rules)):
            await self._match("AddMatch", rule)
        try:
            (owner,) = await self.call(BUS_PATH, BUS, "GetNameOwner", "s", [BLUEZ], destination=BUS)
        except BusAway:
            log.warning("bluez_absent")
        else:
            self._owned_by(owner)

    async def _match(self, member: str, rule: str) -> None:
        await self.call(BUS_PATH, BUS, member, "s", [rule], destination=BUS)

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == BUS:
            if message.member == "NameOwnerChanged" and message.body[0] == BLUEZ:
                self._owned_by(message.body[2] or None)
        elif self._owner is not None and message.sender == self._owner:
            # Only from who owns the name: anybody on the bus can send a signal that looks like it.
            for callback in self._on_signal:
                callback(message)

    def _owned_by(self, owner: str | None) -> None:
        before, self._owner = self._owner, owner
        if before is not None and before != owner:
            self._turn(is_here=False)
        if owner is not None and before != owner:
            self.bluez_starts += 1
            self._turn(is_here=True)

    def _turn(self, *, is_here: bool) -> None:
        # Two turns that nobody heard of yet cancel out, so that at most two ever wait.
        if len(self._turns) > 1:
            self._turns.pop()
        else:
            self._turns.append(is_here)
        self._turned.set()

    async def _tell_turns(self) -> None:
        while True:
            await self._turned.wait()
            self._turned.clear()
            while self._turns:
                is_here = self._turns.popleft()
                log.info("bluez_here" if is_here else "bluez_gone", starts=self.bluez_starts)
                for callback in self._on_bluez:
                    try:
                        await callback(is_here)
                    except (BusError, BusAway) as error:
                        log.warning("bus_callback_failed", error=str(error))


def _rule_of(path: str) -> str:
    return (
        f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',"
        f"member='PropertiesChanged',path_namespace='{path}'"
    )


def _authenticator() -> AuthExternal | None:
    try:
        return AuthExternal(uid=int(os.environ.get("BLEAK_DBUS_AUTH_UID", "")))
    except ValueError:
        return None


async def _reply(bus: MessageBus, message: Message, timeout_s: float) -> Message:
    try:
        async with asyncio.timeout(timeout_s):
            reply = await bus.call(message)
    except TimeoutError as error:
        raise BusError(NO_REPLY, f"No answer in {timeout_s:g} s.") from error
    except CONNECTION_ERRORS as error:
        raise BusAway("The connection to the system bus broke.") from error
    if reply is None:
        raise BusAway("The connection to the system bus was closed.")
    return reply


def _answer(reply: Message) -> list[Any]:
    if reply.message_type is MessageType.ERROR:
        text = str(reply.body[0]) if reply.body else ""
        name = str(reply.error_name)
        if name in GONE_NAMES:
            raise BusAway(text)
        raise BusError(name, text)
    return list(unpack_variants(reply.body))


async def _end_of(bus: MessageBus, limit_s: float | None = None) -> BaseException | None:
    """Wait until the connection is gone; returns why, None where it was closed in order."""
    # dbus-fast left this one method without types.
    waiting = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    try:
        done, _ = await asyncio.wait({waiting}, timeout=limit_s)
        return waiting.exception() if done else None
    finally:
        waiting.cancel()


async def _close(bus: MessageBus) -> None:
    bus.disconnect()
    if bus.unique_name is not None:
        # The socket is closed when the reader has seen its end.
        await _end_of(bus, CONNECT_MAX_S)
