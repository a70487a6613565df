"""A device recorded from a real one (:mod:`devices.trace.recording`), played as a virtual device.

Each time it is woken and somebody links up it plays one session: waits for what the real one waited
for, as long as that one waited, and sends what that one sent. Its last session is played again for
ever. Whatever it is asked in another order than the real one was, it answers with silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from devices import gatt
from devices.errors import DecodeError
from devices.profiles import suggest
from devices.trace import recording
from devices.trace.recording import Recording, Step, Trigger
from devices.virtual.behaviour import Record
from devices.virtual.design import Design, Properties, Slot, Table, Values
from devices.virtual.visit import SUBSCRIPTION_MAX_S

if TYPE_CHECKING:
    from devices.virtual.device import VirtualDevice
    from devices.virtual.visit import Visit

_CAN: Mapping[str, Properties] = {
    "read": Properties.READ,
    "write": Properties.WRITE,
    "write-without-response": Properties.WRITE_WITHOUT_RESPONSE,
    "notify": Properties.NOTIFY,
    "indicate": Properties.INDICATE,
}


def design_of(recorded: Recording, profile: str | None = None) -> Design:
    """Return the design that plays ``recorded``.

    ``profile`` is what an operator would enrol it with, default the one that name and services
    suggest; ValueError where none does.
    """
    if profile is None:
        services = [*recorded.advertises, *(one.uuid for one in recorded.services)]
        suggested = suggest(recorded.name or None, services)
        if not suggested:
            raise ValueError("no profile fits the recorded device; say one")
        profile = suggested[0].name
    sent = [step for session in recorded.sessions for step in session if step.sends]
    return Design(
        model=recorded.model,
        profile=profile,
        kinds=_kinds(sent),
        local_name=recorded.name or recorded.model,
        manufacturer=recorded.manufacturer,
        service=next(iter(recorded.advertises), recorded.services[0].uuid),
        tables=tuple(
            Table(service.uuid, tuple(_slot(slot) for slot in service.slots))
            for service in recorded.services
        ),
        measurement=sent[0].sends if sent else recorded.services[0].slots[0].uuid,
        encode=_measures_nothing,
        behaviour=lambda device: Playing(device, recorded),
        must_bond=recorded.must_bond,
    )


@dataclass(slots=True)
class Playing:
    """The behaviour of a recorded device."""

    device: VirtualDevice
    recorded: Recording
    undelivered: list[Record] = field(default_factory=list)
    _played: int = 0

    def store(self, _values: Values, _stamp: datetime | None) -> Record:
        """Raise ValueError: it sends what was recorded; wake it."""
        raise ValueError("a recorded device measures nothing; wake it")

    def read(self, _uuid: str) -> bytes | None:
        """Return None: what was read stands in its table."""
        return None

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take any write, as something to wait for."""
        visit.ask(uuid, raw)
        return True

    async def serve(self, visit: Visit) -> None:
        """Play the next session, or the last one again."""
        sessions = self.recorded.sessions
        steps = sessions[min(self._played, len(sessions) - 1)] if sessions else ()
        waited_for: tuple[Trigger, str] | None = None
        for step in steps:
            if waited_for != (step.after, step.at):
                waited_for = step.after, step.at
                await _until(visit, step)
            await asyncio.sleep(step.delay_s)
            if not step.sends:
                break
            await visit.subscribed(step.sends)
            await visit.send(step.sends, bytes.fromhex(step.raw))
        self._played += 1
        if not steps or steps[-1].sends:
            # The other side hung up then, and does so now.
            await asyncio.sleep(SUBSCRIPTION_MAX_S)


async def _until(visit: Visit, step: Step) -> None:
    """Wait for what the recorded device waited for; TimeoutError where it does not come."""
    match step.after:
        case Trigger.SUBSCRIBED:
            await visit.subscribed(step.at)
        case Trigger.ENCRYPTED:
            async with asyncio.timeout(SUBSCRIPTION_MAX_S):
                while not visit.connection.is_encrypted:  # noqa: ASYNC110 - Bumble's plain state
                    await asyncio.sleep(0.01)
        case Trigger.WROTE:
            async with asyncio.timeout(SUBSCRIPTION_MAX_S):
                while (asked := await visit.request(SUBSCRIPTION_MAX_S)) is None or (
                    asked[0] != step.at
                ):
                    pass
        case _:
            return


def _slot(slot: recording.Slot) -> Slot:
    can = Properties(0)
    for name in slot.properties:
        can |= _CAN.get(name, Properties(0))
    return Slot(slot.uuid, can, bytes.fromhex(slot.value))


def _kinds(sent: list[Step]) -> tuple[str, ...]:
    found = []
    for step in sent:
        try:
            decoded = gatt.decode(step.sends, bytes.fromhex(step.raw))
        except DecodeError:
            continue
        if isinstance(decoded, gatt.Reading):
            found += [one.kind for one in decoded.measurements]
    return tuple(dict.fromkeys((*found, "battery")))


def _measures_nothing(_values: Values, _stamp: datetime | None) -> bytes:
    raise ValueError("a recorded device measures nothing; wake it")
