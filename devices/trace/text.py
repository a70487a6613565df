"""A trace as a person reads it: each device, what it holds, and each link line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from devices import gatt
from devices.errors import DecodeError
from devices.kinds import COMPONENTS
from devices.measurement import Measurement, Sample
from devices.profiles import suggest
from devices.trace.table import GattTable
from devices.trace.telling import Device, Did, Happening, Link, Story
from devices.trace.uuids import characteristic_name, service_name

_ENDS: Mapping[int, str] = {
    0x05: "no key that fits",
    0x08: "lost: nothing heard any more",
    0x13: "the device hung up",
    0x14: "the device hung up: out of memory or power",
    0x15: "the device hung up: switched off",
    0x16: "we hung up",
    0x3B: "refused by the device",
    0x3D: "the keys do not match",
    0x3E: "never came about",
}
_REFUSALS: Mapping[int, str] = {
    0x01: "no such handle",
    0x02: "may not be read",
    0x03: "may not be written",
    0x05: "only when paired",
    0x06: "not known",
    0x08: "not authorised",
    0x0A: "no such attribute",
    0x0C: "key too short",
    0x0D: "wrong length",
    0x0E: "the device failed",
    0x0F: "only when encrypted",
    0xFC: "write refused",
    0xFD: "not subscribed as it must be",
    0xFE: "busy",
    0xFF: "out of range",
}


def lines(story: Story) -> Iterator[str]:
    """Yield the trace as text, one line at a time, with nothing in it that a terminal obeys."""
    for line in _lines(story):
        yield "".join(char if char.isprintable() else "·" for char in line)


def _lines(story: Story) -> Iterator[str]:
    for device in story.devices:
        yield from _of_device(device)
        yield ""
    if not story.devices:
        yield "No link to a low-energy device is in this trace."
    if story.others:
        yield f"{story.others} links that others made to this side are left out."
    if story.passed_over:
        yield f"{story.passed_over} packets could not be read, or belong to an earlier link."


def fields(story: Story) -> dict[str, object]:
    """Return the trace as one JSON object; values in hex."""
    return {
        "devices": [_device_fields(device) for device in story.devices],
        "passed_over": story.passed_over,
        "others": story.others,
    }


def _device_fields(device: Device) -> dict[str, object]:
    return {
        "address": device.address,
        "name": device.name,
        "advertises": list(device.services),
        "services": [
            {
                "uuid": service.uuid,
                "characteristics": [
                    {"handle": one.handle, "uuid": one.uuid, "properties": list(one.properties)}
                    for one in characteristics
                ],
            }
            for service, characteristics in device.table.listed()
        ],
        "links": [_link_fields(device.table, link) for link in device.links],
    }


def _link_fields(table: GattTable, link: Link) -> dict[str, object]:
    return {
        "up": link.up_at.isoformat(),
        "down": None if link.down_at is None else link.down_at.isoformat(),
        "reason": link.reason,
        "happenings": [_happening_fields(table, one) for one in link.happenings],
    }


def _happening_fields(table: GattTable, one: Happening) -> dict[str, object]:
    at = table.at(one.handle) or table.described_by(one.handle)
    return {
        "at": one.at.isoformat(),
        "did": one.did.value,
        "by": "us" if one.is_ours else "device",
        "uuid": at.uuid if at is not None and one.handle else None,
        "handle": one.handle or None,
        "raw": one.raw.hex(),
        "said": one.said,
        "error": one.error,
        "answered": one.is_answered,
        "confirmed": None if not one.is_indicated else one.confirmed_at is not None,
    }


def _of_device(device: Device) -> Iterator[str]:
    kind = "random address" if device.is_random else "public address"
    named = f" “{device.name}”" if device.name else ""
    yield f"Device {device.address} ({kind}){named}"
    if device.services:
        yield f"  advertises {', '.join(_named(uuid) for uuid in device.services)}"
    holds = [service.uuid for service in device.table.services.values()]
    if suggested := suggest(device.name, (*device.services, *holds)):
        yield f"  talked with by profile {suggested[0].name}"
    for service, characteristics in device.table.listed():
        yield f"  service {_named(service.uuid)}"
        for one in characteristics:
            yield f"    0x{one.handle:04X} {_named(one.uuid)}: {', '.join(one.properties)}"
    if not device.table.services:
        yield "  its services were not asked for in this trace (record it from the pairing on)"
    for link in device.links:
        yield from _of_link(device, link)


def _of_link(device: Device, link: Link) -> Iterator[str]:
    yield ""
    yield f"  Link {link.number}, {link.up_at:%Y-%m-%d %H:%M:%S} UTC"
    for happening in link.happenings:
        stamp = (happening.at - link.up_at).total_seconds()
        yield f"    {stamp:8.3f} s  {_said(device.table, happening)}"
    if link.down_at is None:
        yield "              the trace ends before the link"
    else:
        stamp = (link.down_at - link.up_at).total_seconds()
        why = _ENDS.get(link.reason or 0, f"ended, reason 0x{link.reason or 0:02X}")
        yield f"    {stamp:8.3f} s  {why}"


def _said(table: GattTable, one: Happening) -> str:
    who = "we" if one.is_ours else "device"
    match one.did:
        case Did.EXCHANGED_MTU:
            text = f"device takes messages of {one.said} bytes"
        case Did.PAIRING:
            text = f"{who}: {one.said}"
        case Did.ENCRYPTED:
            text = "encrypted" if one.error is None else f"not encrypted, error 0x{one.error:02X}"
        case Did.READ:
            text = f"we read {_place(table, one.handle)}: {_value(table, one)}"
        case Did.WROTE:
            text = f"we write {_place(table, one.handle)}: {_value(table, one)}"
        case Did.SUBSCRIBED:
            verb = "subscribe to" if any(one.raw) else "unsubscribe from"
            text = f"we {verb} {_subject(table, one.handle)}"
        case _:
            text = f"device sends {_place(table, one.handle)}: {_value(table, one)}"
    return text + _outcome(one)


def _outcome(one: Happening) -> str:
    if one.did is Did.ENCRYPTED:
        return ""
    if one.error is not None:
        return f" – refused: {_REFUSALS.get(one.error, 'error')} (0x{one.error:02X})"
    if one.is_indicated:
        return " – confirmed" if one.confirmed_at else " – never confirmed"
    return "" if one.is_answered else " – never answered"


def _value(table: GattTable, one: Happening) -> str:
    at = table.at(one.handle)
    spelled = one.raw.hex(" ") or "nothing"
    if at is None or not one.raw or at.uuid not in gatt.CHARACTERISTICS:
        return spelled
    try:
        decoded = gatt.decode(at.uuid, one.raw)
    except DecodeError as error:
        return f"{spelled} (not read: {error.reason})"
    return f"{spelled} = {_meaning(decoded)}"


def _meaning(decoded: gatt.Decoded) -> str:
    if isinstance(decoded, gatt.Fields):
        return ", ".join(f"{name} {value}" for name, value in decoded.fields.items())
    return "; ".join(_measured(one) for one in decoded.measurements)


def _measured(one: Measurement) -> str:
    said = [_number(sample) for sample in one.samples]
    said += one.flags
    if one.device_time is not None:
        said.append(one.device_time.isoformat(" "))
    return f"{one.kind.replace('_', ' ')} {', '.join(said)}"


def _number(sample: Sample) -> str:
    component = next(c.name for c in COMPONENTS.values() if c.code == sample.code)
    number = "–" if sample.value is None else f"{sample.value:g} {sample.unit}"
    return f"{component} {number}"


def _place(table: GattTable, handle: int) -> str:
    at = table.at(handle)
    return f"handle 0x{handle:04X}" if at is None else _named(at.uuid)


def _subject(table: GattTable, handle: int) -> str:
    at = table.described_by(handle)
    return f"handle 0x{handle:04X}" if at is None else _named(at.uuid)


def _named(uuid: str) -> str:
    name = service_name(uuid) or characteristic_name(uuid)
    return f"{uuid} {name}" if name else uuid
