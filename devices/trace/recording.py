"""A recorded device: its services, and what it sent when after which trigger. Nothing personal.

No address, no date, no serial number and no system id are kept; a name keeps its letters, and long
runs of digits in it become zeros. What was measured becomes invented numbers in the same layout
(``invented.py``) unless the values are asked for. The form on disk is JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from devices.errors import DecodeError, TraceError
from devices.gatt import current_time, date_time, device_information
from devices.trace.invented import invented
from devices.trace.table import Characteristic
from devices.trace.telling import Device, Did, Happening, Link

VERSION = 1
# Every virtual device has these, made anew: generic access and attributes, battery, information.
MADE_ANEW = frozenset({"1800", "1801", "180A", "180F"})
DELAY_MAX_S = 60.0
SIZE_MAX_BYTES = 1 << 20
_HUNG_UP = (0x13, 0x14, 0x15)
_CLOCKS = (date_time.CHARACTERISTIC, current_time.CHARACTERISTIC)
_MODEL, _MANUFACTURER = "2A24", "2A29"
# What tells of the device and nobody: features, types, intervals.
_KEPT_READS = frozenset(
    {"2A1D", "2A38", "2A49", "2A51", "2A60", "2A9B", "2A9E", "2AA5", "2AA8", "2A21"}
)
_LONG_NUMBER = re.compile(r"(?<![0-9A-Fa-f])(?=[0-9A-Fa-f]*[0-9])[0-9A-Fa-f]{6,}")


class Trigger(StrEnum):
    """What the device waited for before it sent."""

    CONNECTED = "connected"
    ENCRYPTED = "encrypted"
    SUBSCRIBED = "subscribed"
    WROTE = "wrote"


@dataclass(frozen=True, slots=True)
class Slot:
    """One characteristic; ``value`` is hex of what was read there, empty where that is not told."""

    uuid: str
    properties: tuple[str, ...]
    value: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One of the device's own services."""

    uuid: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Something the device did: ``delay_s`` after ``after`` or the step before, whatever is later.

    It sent ``raw`` (hex) at the characteristic ``sends``, or hung up where that is empty. ``at`` is
    the characteristic that was subscribed to or written.
    """

    after: Trigger
    at: str
    delay_s: float
    sends: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """A device as a trace shows it. Each session is one link on which it sent something."""

    name: str
    model: str
    manufacturer: str
    advertises: tuple[str, ...]
    services: tuple[Service, ...]
    must_bond: bool
    sessions: tuple[tuple[Step, ...], ...]
    values_kept: bool


def record(device: Device, *, keep_values: bool = False) -> Recording:
    """Return what ``device`` did; TraceError where the trace does not show its services."""
    services = _services(device, keep_values=keep_values)
    if not services:
        raise TraceError("no_device", "its services are not in the trace: record from the pairing")
    own = {slot.uuid for service in services for slot in service.slots}
    sessions = tuple(steps for link in device.links if (steps := _steps(device, link, own)))
    kept = Recording(
        name=_masked(device.name or ""),
        model=_masked(_text(device, _MODEL)) or _masked(device.name or "") or "recorded",
        manufacturer=_text(device, _MANUFACTURER),
        advertises=device.services,
        services=services,
        must_bond=any(_encrypts(link) for link in device.links),
        sessions=sessions,
        values_kept=keep_values,
    )
    return kept if keep_values else _with_invented(kept)


def encode(recording: Recording) -> str:
    """Return ``recording`` as JSON."""
    return json.dumps({"hemma_recorded_device": VERSION, **asdict(recording)}, indent=1) + "\n"


def decode(text: str) -> Recording:
    """Read what :func:`encode` wrote; TraceError ``bad_recording`` where it is something else."""
    if len(text) > SIZE_MAX_BYTES:
        raise TraceError("bad_recording", f"more than {SIZE_MAX_BYTES} bytes")
    try:
        fields = json.loads(text)
        if fields.pop("hemma_recorded_device") != VERSION:
            raise TraceError("bad_recording", "of another version")
        return _checked(_read(fields))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TraceError("bad_recording", f"{type(error).__name__}: {error}"[:200]) from error


def _read(fields: Mapping[str, Any]) -> Recording:
    services = [
        Service(one["uuid"], tuple(_slot(slot) for slot in one["slots"]))
        for one in fields["services"]
    ]
    sessions = [
        tuple(Step(**{**step, "after": Trigger(step["after"])}) for step in session)
        for session in fields["sessions"]
    ]
    rest = {**fields, "services": tuple(services), "sessions": tuple(sessions)}
    return Recording(**{**rest, "advertises": tuple(fields["advertises"])})


def _slot(fields: Mapping[str, Any]) -> Slot:
    return Slot(fields["uuid"], tuple(fields["properties"]), fields["value"])


def _checked(recording: Recording) -> Recording:
    own = {slot.uuid for service in recording.services for slot in service.slots}
    texts = (recording.name, recording.model, recording.manufacturer, *recording.advertises)
    if not own or not all(isinstance(text, str) for text in texts):
        raise TraceError("bad_recording", "a device has services, and names are texts")
    for slot in (slot for service in recording.services for slot in service.slots):
        bytes.fromhex(slot.value)
    for step in (step for session in recording.sessions for step in session):
        bytes.fromhex(step.raw)
        if not (0 <= step.delay_s <= DELAY_MAX_S and ({step.sends, step.at} - {""}) <= own):
            raise TraceError("bad_recording", "a step that no such device could do")
    return recording


def _services(device: Device, *, keep_values: bool) -> tuple[Service, ...]:
    read = _reads(device)
    return tuple(
        Service(
            service.uuid,
            tuple(
                Slot(one.uuid, one.properties, _kept(one, read, keep_values=keep_values))
                for one in characteristics
            ),
        )
        for service, characteristics in device.table.listed()
        if service.uuid not in MADE_ANEW and characteristics
    )


def _kept(one: Characteristic, read: Mapping[int, bytes], *, keep_values: bool) -> str:
    may_be_told = one.uuid in _KEPT_READS or (keep_values and one.uuid not in _CLOCKS)
    return read.get(one.handle, b"").hex() if may_be_told else ""


def _reads(device: Device) -> dict[int, bytes]:
    """Return what was read first at each handle."""
    found: dict[int, bytes] = {}
    for happening in (one for link in device.links for one in link.happenings):
        if happening.did is Did.READ and happening.error is None and happening.is_answered:
            found.setdefault(happening.handle, happening.raw)
    return found


def _text(device: Device, uuid: str) -> str:
    """Return a text of the device information, empty where it was not read."""
    for handle, raw in _reads(device).items():
        at = device.table.at(handle)
        if at is not None and at.uuid == uuid:
            try:
                told = device_information.decode(raw, characteristic=uuid)
            except DecodeError:
                return ""
            return str(next(iter(told.fields.values()), ""))
    return ""


def _encrypts(link: Link) -> bool:
    return any(one.did is Did.ENCRYPTED and one.error is None for one in link.happenings)


@dataclass(slots=True)
class _Waiting:
    """The trigger that a device waited for last, and since when it could go on."""

    after: Trigger
    at: str
    since: datetime

    def delay_s(self, moment: datetime) -> float:
        return round(min(max((moment - self.since) / timedelta(seconds=1), 0), DELAY_MAX_S), 3)


def _steps(device: Device, link: Link, own: set[str]) -> tuple[Step, ...]:
    """Return what the device did on ``link``; nothing where it sent nothing of its own."""
    steps: list[Step] = []
    waiting = _Waiting(Trigger.CONNECTED, "", link.up_at)
    for one in link.happenings:
        at = device.table.at(one.handle) or device.table.described_by(one.handle)
        uuid = "" if at is None or at.uuid not in own else at.uuid
        if one.did is Did.SENT and uuid:
            delay_s = waiting.delay_s(one.at)
            steps.append(Step(waiting.after, waiting.at, delay_s, uuid, one.raw.hex()))
            waiting.since = one.confirmed_at or one.at
        elif trigger := _trigger(one, uuid):
            waiting = _Waiting(trigger, uuid, one.at)
    if steps and link.down_at is not None and link.reason in _HUNG_UP:
        steps.append(Step(waiting.after, waiting.at, waiting.delay_s(link.down_at)))
    return tuple(steps)


def _trigger(one: Happening, uuid: str) -> Trigger | None:
    """Return what a device may wait for in ``one``. Its clock is set by many, and no signal."""
    if one.error is not None:
        return None
    if one.did is Did.ENCRYPTED:
        return Trigger.ENCRYPTED
    if one.did is Did.SUBSCRIBED and uuid and any(one.raw):
        return Trigger.SUBSCRIBED
    return Trigger.WROTE if one.did is Did.WROTE and uuid and uuid not in _CLOCKS else None


def _masked(text: str) -> str:
    return _LONG_NUMBER.sub(lambda found: "0" * len(found[0]), text)


def _with_invented(recording: Recording) -> Recording:
    count = 0

    def made(steps: Iterable[Step]) -> Iterable[Step]:
        nonlocal count
        for step in steps:
            count += bool(step.sends)
            raw = invented(step.sends, bytes.fromhex(step.raw), count) if step.sends else b""
            yield replace(step, raw=raw.hex())

    return replace(recording, sessions=tuple(tuple(made(one)) for one in recording.sessions))
