"""What every characteristic needs: bytes taken in order, samples made from the catalogue.

Rules that hold for all of them:

- A value that ends early, goes on too long or is longer than an attribute can be is refused.
- A reserved bit in a *flags* field is refused: it may announce a field we do not know, and then
  everything after it would be read askew. (A cuff in the field does send flags 0xFE before three
  numbers of its own layout: flutter_blue issue 687.)
- A reserved bit in a *status* field changes no layout. The value is kept and flagged
  ``unknown_status``: no measurement is lost for a warning we cannot name.
- A missing number stays missing, with its reason. A unit is converted once and kept as sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from devices.errors import DecodeError
from devices.kinds import Component
from devices.measurement import AsSent, Measurement, Sample
from devices.medfloat import Number, decode_float, decode_sfloat

ATTRIBUTE_MAX_BYTES = 512
"""Longest attribute value (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9)."""

USER_UNKNOWN = 0xFF


@dataclass(frozen=True, slots=True)
class Reading:
    """A characteristic value that holds measurements, nearly always one."""

    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A characteristic value that holds no measurement, such as a clock."""

    characteristic: str
    fields: Mapping[str, object]


class Reader:
    """Takes little-endian fields off the front of one value; DecodeError where they do not fit."""

    __slots__ = ("_at", "_raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) > ATTRIBUTE_MAX_BYTES:
            raise DecodeError("too_long", f"{len(raw)} bytes; at most {ATTRIBUTE_MAX_BYTES}")
        self._raw = raw
        self._at = 0

    def take(self, count: int, what: str) -> bytes:
        """Return the next ``count`` bytes, which are called ``what`` if they are not there."""
        at = self._at
        end = at + count
        if end > len(self._raw):
            raise self._truncated(count, what)
        self._at = end
        return self._raw[at:end]

    def unsigned(self, count: int, what: str) -> int:
        """Return the next ``count`` bytes as an unsigned number."""
        # As take, written out: every number of every value passes here.
        at = self._at
        end = at + count
        if end > len(self._raw):
            raise self._truncated(count, what)
        self._at = end
        return int.from_bytes(self._raw[at:end], "little")

    def signed(self, count: int, what: str) -> int:
        """Return the next ``count`` bytes as a number in two's complement."""
        return int.from_bytes(self.take(count, what), "little", signed=True)

    def sfloat(self, what: str) -> Number:
        """Return the next 16-bit medical float."""
        return decode_sfloat(self.unsigned(2, what))

    def sfloat_sample(self, component: Component, unit: Unit | None = None) -> Sample:
        """Return the next 16-bit medical float as ``component``'s sample; see :func:`sample`."""
        return _sfloat_sample(component, self.unsigned(2, component.name), unit)

    def float32(self, what: str) -> Number:
        """Return the next 32-bit medical float."""
        return decode_float(self.unsigned(4, what))

    def flags(self, known: int, count: int = 1) -> int:
        """Return the flags in ``count`` bytes; a bit outside ``known`` is refused."""
        flags = self.unsigned(count, "flags")
        if flags & ~known:
            raise DecodeError("reserved_flags", f"flags 0x{flags:02X}, known 0x{known:02X}")
        return flags

    @property
    def left(self) -> int:
        """Return how many bytes have not been taken yet."""
        return len(self._raw) - self._at

    @property
    def taken(self) -> bytes:
        """Return all bytes taken so far."""
        return self._raw[: self._at]

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._raw):
            raise DecodeError("trailing_bytes", f"{self.left} after the last field")

    def _truncated(self, count: int, what: str) -> DecodeError:
        return DecodeError(
            "truncated",
            f"{what} needs {count} bytes from byte {self._at}, the value has {len(self._raw)}",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """How a unit that devices send becomes the catalogue's: (value - minus) * times, rounded.

    There is one object of each, compared by identity.
    """

    name: str
    times: Decimal
    minus: Decimal
    decimals: int

    def convert(self, value: Decimal) -> float:
        """Return ``value`` in the catalogue's unit."""
        # A float rounds at any size; a Decimal refuses past its precision, and FLOAT goes to 1E134.
        return round(float((value - self.minus) * self.times), self.decimals)


# UCUM defines m[Hg] as 133.3220 kPa. Two decimals keep the order of neighbouring SFLOATs in kPa.
KILOPASCAL = Unit("kPa", Decimal(1000) / Decimal("133.322"), Decimal(0), 2)
POUND = Unit("[lb_av]", Decimal("0.45359237"), Decimal(0), 3)
INCH = Unit("[in_i]", Decimal("2.54"), Decimal(0), 2)
METRE = Unit("m", Decimal(100), Decimal(0), 1)
FAHRENHEIT = Unit("[degF]", Decimal(5) / Decimal(9), Decimal(32), 2)

# Grams of glucose (C6H12O6) in a mole, by the IUPAC's abridged atomic weights. Three decimals of
# mmol/L keep neighbouring mg/dL apart.
_GLUCOSE_MOLE = Decimal("180.156")
KILOGRAM_PER_LITRE = Unit("kg/L", Decimal(1_000_000) / _GLUCOSE_MOLE, Decimal(0), 3)
MILLIGRAM_PER_DECILITRE = Unit("mg/dL", Decimal(10) / _GLUCOSE_MOLE, Decimal(0), 3)
MOLE_PER_LITRE = Unit("mol/L", Decimal(1000), Decimal(0), 3)


def sample(component: Component, value: Number, unit: Unit | None = None) -> Sample:
    """Return ``component``'s sample; ``unit`` says what ``value`` is in, if not the catalogue's."""
    if not isinstance(value, Decimal):
        return Sample(component.code, None, component.unit, absent=value)
    if unit is None:
        return Sample(component.code, float(value), component.unit)
    sent = AsSent(float(value), unit.name)
    return Sample(component.code, unit.convert(value), component.unit, as_sent=sent)


# Pure, and people's values repeat: making samples took half the time of reading a value.
@lru_cache(maxsize=1 << 13)
def _sfloat_sample(component: Component, word: int, unit: Unit | None) -> Sample:
    return sample(component, decode_sfloat(word), unit)


def sample_fields(reading: Sample) -> dict[str, object]:
    """Return ``reading`` as one of :class:`Fields`, without its code."""
    fields: dict[str, object] = {
        "value": reading.value,
        "unit": reading.unit,
        "absent": reading.absent,
    }
    if reading.as_sent is not None:
        fields["as_sent"] = {"value": reading.as_sent.value, "unit": reading.as_sent.unit}
    return fields


def circumstances(same: Measurement) -> dict[str, object]:
    """Return what stands beside the number in ``same``, read by another characteristic's layout.

    A pressure or temperature in passing cannot have failed, so that flag is left out.
    """
    time = same.device_time
    return {
        "device_time": None if time is None else time.isoformat(),
        "ctx": dict(same.context),
        "flags": [flag for flag in same.flags if flag != "measurement_failed"],
    }


def quantity(value: Number, unit: str, sent: Unit | None = None) -> dict[str, object]:
    """Return ``value``, which the catalogue has no component for, as one of :class:`Fields`.

    ``unit`` is the UCUM unit it gets, ``sent`` what it was sent in where that differs.
    """
    if not isinstance(value, Decimal):
        return {"value": None, "unit": unit, "absent": value}
    if sent is None:
        return {"value": float(value), "unit": unit, "absent": None}
    as_sent = {"value": float(value), "unit": sent.name}
    return {"value": sent.convert(value), "unit": unit, "absent": None, "as_sent": as_sent}


def bit_names(
    word: int, names: Mapping[int, str], unknown: str = "unknown_status"
) -> Iterable[str]:
    """Yield the names of the bits set in ``word``; ``unknown`` for any without one."""
    if not word:
        return
    for bit, name in names.items():
        if word >> bit & 1:
            yield name
            word &= ~(1 << bit)
    if word:
        yield unknown


def feature_names(word: int, names: Mapping[int, str]) -> list[str]:
    """Return the names of what a device says it can do; ``unknown_feature`` for any other bit."""
    return list(bit_names(word, names, "unknown_feature"))


def choice(number: int, names: Mapping[int, str], what: str) -> str:
    """Return the name of ``number``; DecodeError where ``what`` has no such value."""
    if number not in names:
        raise DecodeError("reserved_value", f"{what} {number}")
    return names[number]


def user_context(user: int | None) -> dict[str, str | int | float]:
    """Return the context of a user index; empty where the device knows no user."""
    return {} if user is None or user == USER_UNKNOWN else {"user_index": user}
