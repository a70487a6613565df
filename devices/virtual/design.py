"""What one kind of virtual device is, as data: its services, and how it turns values into bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bumble.gatt import Characteristic

from devices.measurement import Absent

if TYPE_CHECKING:
    from devices.virtual.behaviour import Behaviour
    from devices.virtual.device import VirtualDevice

Properties = Characteristic.Properties
READ, NOTIFY, INDICATE = Properties.READ, Properties.NOTIFY, Properties.INDICATE
READ_WRITE = Properties.READ | Properties.WRITE
CONTROL = Properties.WRITE | Properties.INDICATE

Values = Mapping[str, float]
"""Component names of :mod:`devices.kinds` with their values in the catalogue's units.

Beside them what only some devices send: names of status bits (any value but 0 sets the bit),
``user``, ``meal``. A component that is NaN was not measured: it is sent as absent.
"""

Encode = Callable[[Values, datetime | None], bytes]


@dataclass(frozen=True, slots=True)
class Slot:
    """One characteristic: 16-bit UUID as four upper-case digits, or a maker's own in lower case.

    ``value`` is what is read there where neither the device nor its behaviour has an answer.
    """

    uuid: str
    can: Properties
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Table:
    """One service and what is in it."""

    uuid: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Design:
    """What one kind of device is. ``profile`` and ``model`` are what an operator enrols it with.

    ``tables`` are its own services; battery and device information every device has.
    ``measurement`` is the characteristic that carries its values; ``encode`` takes values and the
    time by the device's own clock (None for a device without one). ``also`` are characteristics
    that go before each value, with what encodes them (no bytes: nothing is sent). ``behaviour`` is
    what it does while somebody is linked. ``shows_passkey`` says that it bonds only with the six
    digits on its display. ``users`` it keeps apart have the codes that a gateway must give (None:
    it asks for none). ``window_s`` is how long it advertises after a measurement; ``interval_s``
    how often it sends while it streams; ``hang_up_after_s`` how long it waits for more before it
    hangs up.
    """

    model: str
    profile: str
    kinds: tuple[str, ...]
    local_name: str
    manufacturer: str
    service: str
    tables: tuple[Table, ...]
    measurement: str
    encode: Encode
    behaviour: Callable[[VirtualDevice], Behaviour]
    also: tuple[tuple[str, Encode], ...] = ()
    must_bond: bool = False
    shows_passkey: bool = False
    has_clock: bool = True
    users: Mapping[int, int | None] | None = None
    window_s: float = 30.0
    interval_s: float = 1.0
    hang_up_after_s: float = 0.05


def also(design: Design, values: Values, stamp: datetime | None) -> tuple[tuple[str, bytes], ...]:
    """Return what goes with a value, by characteristic."""
    encoded = ((uuid, encode(values, stamp)) for uuid, encode in design.also)
    return tuple((uuid, raw) for uuid, raw in encoded if raw)


def number(values: Values, name: str) -> float | Absent:
    """Return the value of that name, absent where it is NaN or not there."""
    value = values.get(name, math.nan)
    return Absent.NAN if math.isnan(value) else value


def whole(values: Values, name: str) -> float | Absent:
    """Return the value of that name rounded to a whole number, or absent."""
    value = number(values, name)
    return value if isinstance(value, Absent) else round(value)


def bits(values: Values, names: Mapping[str, int]) -> int:
    """Return the sum of the bits whose names have a value other than 0."""
    return sum(bit for name, bit in names.items() if values.get(name))


def user_of(values: Values) -> int | None:
    """Return whose value it is, None where the device does not say (NaN among it)."""
    user = number(values, "user")
    return None if isinstance(user, Absent) else int(user)
