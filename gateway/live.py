"""Devices that tell a value each second: which of their values become items.

Continuous oximetry (2A5F) and heart rate (2A37) are notified about once a second while the link
lasts: 3,600 an hour, nearly all of them the same. Every one is in the journal first, as always; of
those an item is made from

- the first one, and then one each 15 seconds;
- at once, whatever the 15 seconds say, each one that lies outside all kept since then: any lower
  SpO2, one higher by 2 per cent, a rate by 5 a minute. So a fall is seen as it happens, down to its
  very bottom;
- each one whose flags were not seen since then (a sensor that slips, a signal that gets poor).

What is left out is counted, never hidden: the next item says in its context how many values, and
how many RR intervals in them, lie between it and the one before (``values_left_out``,
``rr_left_out``). A device that goes on saying that it has no value says so each 10 minutes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from devices.gatt import heart_rate, plx_continuous
from devices.measurement import Measurement

CHARACTERISTICS = frozenset({plx_continuous.CHARACTERISTIC, heart_rate.CHARACTERISTIC})
INTERVAL_MS = 15_000
# Longer than a finger is out of an oximeter by mistake; a state, said once, need not be said often.
NO_VALUE_INTERVAL_MS = 600_000
SPO2 = "150456"
SPO2_RISE_MIN = 2.0
RATE_MIN = 5.0
VALUES_LEFT_OUT = "values_left_out"
RR_LEFT_OUT = "rr_left_out"


class Why(StrEnum):
    """Why a value becomes an item."""

    FIRST = "first"
    TIME = "time"
    OUTSIDE = "outside"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Live:
    """What was kept since ``began_ms`` (boot-time clock), and what was left out since the last.

    ``span`` has the lowest and highest kept value by code; ``flags`` each set of flags seen.
    """

    began_ms: int
    span: Mapping[str, tuple[float, float]]
    flags: tuple[str, ...]
    values_left_out: int = 0
    rr_left_out: int = 0


def judge(before: Live | None, value: Measurement, *, now_ms: int) -> tuple[Why | None, Live]:
    """Return why ``value`` becomes an item (None: it is left out), and what to remember then."""
    numbers = {one.code: one.value for one in value.samples if one.value is not None}
    flags = " ".join(sorted(value.flags))
    fresh = Live(now_ms, {code: (number, number) for code, number in numbers.items()}, (flags,))
    if before is None or now_ms < before.began_ms:
        return Why.FIRST, fresh
    interval_ms = INTERVAL_MS if numbers else NO_VALUE_INTERVAL_MS
    if now_ms - before.began_ms >= interval_ms:
        return Why.TIME, fresh
    why = _why(before, numbers, flags)
    if why is None:
        rr = value.context.get("rr_count", 0)
        return None, replace(
            before,
            values_left_out=before.values_left_out + 1,
            rr_left_out=before.rr_left_out + (rr if isinstance(rr, int) else 0),
        )
    kept_flags = before.flags if flags in before.flags else (*before.flags, flags)
    return why, Live(before.began_ms, _widened(before.span, numbers), kept_flags)


def left_out(before: Live | None) -> dict[str, str | int | float]:
    """Return the context that says what was left out before an item."""
    if before is None:
        return {}
    counts = {VALUES_LEFT_OUT: before.values_left_out, RR_LEFT_OUT: before.rr_left_out}
    return {name: count for name, count in counts.items() if count}


def read_live(
    connection: sqlite3.Connection, dev: str, characteristic: str, boot: str
) -> Live | None:
    """Return what is remembered of the device; what is of another boot has no usable clock."""
    row = connection.execute(
        "SELECT boot, began_ms, kept, values_left_out, rr_left_out FROM live"
        " WHERE dev=? AND char=?",
        (dev, characteristic),
    ).fetchone()
    if row is None:
        return None
    kept = json.loads(row["kept"])
    return Live(
        # Longer ago than any interval: the next value is kept, and says what was left out.
        row["began_ms"] if row["boot"] == boot else -NO_VALUE_INTERVAL_MS,
        {code: (low, high) for code, (low, high) in kept["span"].items()},
        tuple(kept["flags"]),
        row["values_left_out"],
        row["rr_left_out"],
    )


def note_live(
    connection: sqlite3.Connection, dev: str, characteristic: str, boot: str, live: Live
) -> None:
    """Remember ``live``; call it in the transaction that takes the value from the journal."""
    kept = json.dumps({"span": live.span, "flags": live.flags})
    connection.execute(
        "INSERT OR REPLACE INTO live"
        " (dev, char, boot, began_ms, kept, values_left_out, rr_left_out)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (dev, characteristic, boot, live.began_ms, kept, live.values_left_out, live.rr_left_out),
    )


def _why(before: Live, numbers: Mapping[str, float], flags: str) -> Why | None:
    if flags not in before.flags:
        return Why.FLAGS
    for code, number in numbers.items():
        low, high = before.span.get(code, (float("inf"), float("-inf")))
        if code == SPO2:
            is_outside = number < low or number >= high + SPO2_RISE_MIN
        else:
            is_outside = number <= low - RATE_MIN or number >= high + RATE_MIN
        if is_outside:
            return Why.OUTSIDE
    return None


def _widened(
    span: Mapping[str, tuple[float, float]], numbers: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    wide = dict(span)
    for code, number in numbers.items():
        low, high = wide.get(code, (number, number))
        wide[code] = (min(low, number), max(high, number))
    return wide
