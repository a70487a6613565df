"""Measurements become items, and items are examined before they are kept.

:func:`fault_of` decides what "cannot be decoded or identified" means (contract.md 1). Implausible
is not a fault: such a value is kept, flagged and shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType

from devices.kinds import COMPONENTS_OF
from devices.measurement import Measurement, Sample
from devices.plausible import implausible
from devices.wire.shapes import (
    AbsentReason,
    ClockQuality,
    Item,
    ItemType,
    TimeQuality,
    WireSample,
)

_DEVICE = re.compile(r"ble-[0-9a-f]{12}|screen|proxy")
_RADIO_PREFIX = "ble-"
# What a timestamptz and a conversion between zones can hold with room to spare.
_YEARS = range(1970, 9999)
_MISSING = (None, ())
# A byte in every characteristic that has one.
_USER_INDEXES = range(256)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, as the gateway knows it: ``t`` is the best estimate and ``tq`` how it is known."""

    t: datetime
    tq: TimeQuality
    gw_t: datetime
    gw_q: ClockQuality
    mono_ms: int


def item_from(
    measurement: Measurement, *, seq: int, uid: str, device: str, model: str, stamp: Stamp
) -> Item:
    """Return ``measurement`` as an item of ``device`` (``ble-…``).

    A measurement that failed becomes an event. A value outside its plausible range gets the flag
    ``implausible``.
    """
    has_failed = "measurement_failed" in measurement.flags
    doubts = ("implausible",) if implausible(measurement.kind, measurement.samples) else ()
    return Item(
        seq=seq,
        uid=uid,
        type="event" if has_failed else "value",
        dev=device,
        model=model,
        dev_seq=measurement.sequence_number,
        kind=measurement.kind,
        samples=tuple(_wire_sample(sample) for sample in measurement.samples),
        t=stamp.t,
        tq=stamp.tq,
        dev_t=measurement.device_time,
        gw_t=stamp.gw_t,
        gw_q=stamp.gw_q,
        mono_ms=stamp.mono_ms,
        flags=measurement.flags + doubts,
        ctx=dict(measurement.context),
        char=measurement.characteristic,
        raw=measurement.raw.hex(),
        event="measurement_failed" if has_failed else None,
    )


def fault_of(item: Item) -> str | None:
    """Return why ``item`` cannot be kept as what it says it is, or None where it can.

    The reason is one word with the field it is about, such as ``missing:t`` or ``unknown_kind``.
    """
    # What says something is there; the rest may be a zero or an empty text, which is there too.
    if not all(_REQUIRED_OF[item.type](item)):
        for name in _REQUIRED[item.type]:
            if getattr(item, name) in _MISSING:
                return f"missing:{name}"
    if item.t is not None and item.t.year not in _YEARS:
        return "bad_time:t"
    if item.gw_t is not None and item.gw_t.year not in _YEARS:
        return "bad_time:gw_t"
    if item.utc is not None and item.utc.year not in _YEARS:
        return "bad_time:utc"
    if item.dev is not None and not _is_device(item.dev):
        return "bad_device"
    if item.ctx and item.ctx.get("user_index", 0) not in _USER_INDEXES:
        return "bad_user_index"
    check = _CHECKS.get(item.type)
    return check(item) if check else None


# A home has a handful of devices, and each says its name with each value.
@lru_cache(maxsize=4096)
def _is_device(name: str) -> bool:
    return _DEVICE.fullmatch(name) is not None


def _fault_of_value(item: Item) -> str | None:
    if item.dev is not None and item.dev.startswith(_RADIO_PREFIX):
        if not item.char:
            return "missing:char"
        if not item.raw:
            return "missing:raw"
    return _fault_of_samples(item)


def _fault_of_samples(item: Item) -> str | None:
    components = COMPONENTS_OF.get(item.kind or "")
    if components is None:
        return "unknown_kind"
    samples = item.samples
    if len(samples) > 1 and len({sample.code for sample in samples}) < len(samples):
        return "duplicate_code"
    for sample in samples:
        component = components.get(sample.code)
        if component is None:
            return "unknown_code"
        if sample.unit != component.unit:
            return "wrong_unit"
        value = sample.value
        if (value is None) == (sample.absent is None):
            return "value_or_absent"
        if value is not None and not math.isfinite(value):
            return "not_finite"
    return None


def _fault_of_event(item: Item) -> str | None:
    if item.samples:
        return _fault_of_samples(item)
    # A row names its kind by number. Found here, it costs the store no search for the culprit.
    return "unknown_kind" if item.kind is not None and item.kind not in COMPONENTS_OF else None


_CHECKS: Mapping[ItemType, Callable[[Item], str | None]] = MappingProxyType(
    {"value": _fault_of_value, "event": _fault_of_event}
)

_REQUIRED: Mapping[ItemType, tuple[str, ...]] = MappingProxyType(
    {
        "value": ("dev", "kind", "samples", "t", "tq", "gw_t", "gw_q"),
        "event": ("event", "t", "tq", "gw_t", "gw_q"),
        "clock": ("boot", "mono_ms", "utc", "q"),
        "retract": ("of", "why"),
        "undecodable": ("dev", "raw", "gw_t", "gw_q"),
        "tombstone": (),
    }
)


def _reader(names: tuple[str, ...]) -> Callable[[Item], tuple[object, ...]]:
    return attrgetter(*names) if names else lambda _: ()


_REQUIRED_OF = {type_: _reader(names) for type_, names in _REQUIRED.items()}


def _wire_sample(sample: Sample) -> WireSample:
    absent: AbsentReason | None = None if sample.absent is None else sample.absent.value
    return WireSample(sample.code, sample.value, sample.unit, absent)
