"""The medical floats of IEEE 11073-20601: SFLOAT (16 bits) and FLOAT (32 bits).

Both are an integer mantissa times a power of ten, in two's complement and without any bias. Five
mantissas mean "no number here" and become :class:`Absent`, whatever the exponent: only
exponent 0 is defined for them, but a device that sends another does not mean the number 2047.

Values are :class:`~decimal.Decimal`, exact as sent; they become floats once, in a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from devices.measurement import Absent

Number = Decimal | Absent
"""A number exactly as sent, or the reason for there being none."""


@dataclass(frozen=True, slots=True)
class _Format:
    """Widths of one float format."""

    exponent_bits: int
    mantissa_bits: int

    @property
    def nan(self) -> int:
        return (1 << (self.mantissa_bits - 1)) - 1

    def specials(self) -> dict[int, Absent]:
        """Return the mantissas that are not numbers, unsigned as on the air (20601, annex F)."""
        top = 1 << (self.mantissa_bits - 1)
        return {
            top - 1: Absent.NAN,
            top: Absent.NRES,
            top - 2: Absent.POSITIVE_INFINITY,
            top + 2: Absent.NEGATIVE_INFINITY,
            top + 1: Absent.RESERVED,
        }


_SFLOAT = _Format(exponent_bits=4, mantissa_bits=12)
_FLOAT = _Format(exponent_bits=8, mantissa_bits=24)
_SPECIALS = {form: form.specials() for form in (_SFLOAT, _FLOAT)}
_WORDS = {form: {why: word for word, why in _SPECIALS[form].items()} for form in _SPECIALS}


# Pure, with 65,536 answers at most: some of the time of reading a value went into this.
@lru_cache(maxsize=1 << 16)
def decode_sfloat(word: int) -> Number:
    """Return the number in a 16-bit SFLOAT word, or why there is none."""
    return _decode(word, _SFLOAT)


def decode_float(word: int) -> Number:
    """Return the number in a 32-bit FLOAT word, or why there is none."""
    return _decode(word, _FLOAT)


def encode_sfloat(value: float | Decimal | Absent) -> int:
    """Return ``value`` as a 16-bit SFLOAT word of 3 to 4 digits; ValueError if too big."""
    return _encode(value, _SFLOAT)


def encode_float(value: float | Decimal | Absent) -> int:
    """Return ``value`` as a 32-bit FLOAT word of 6 to 7 digits; ValueError if too big."""
    return _encode(value, _FLOAT)


def _decode(word: int, form: _Format) -> Number:
    mantissa = word & ((1 << form.mantissa_bits) - 1)
    absent = _SPECIALS[form].get(mantissa)
    if absent is not None:
        return absent
    exponent = _signed(word >> form.mantissa_bits, form.exponent_bits)
    return Decimal(_signed(mantissa, form.mantissa_bits)).scaleb(exponent)


def _encode(value: float | Decimal | Absent, form: _Format) -> int:
    if isinstance(value, Absent):
        return _WORDS[form][value]
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError("say why there is no number with Absent")
    mantissa_max = form.nan - 2
    lowest = -(1 << (form.exponent_bits - 1))
    # Whole numbers keep exponent 0, as real devices send them; decimals only as many as are needed.
    exponent = max(min(0, int(number.normalize().as_tuple().exponent)), lowest)
    while abs(mantissa := round(number.scaleb(-exponent))) > mantissa_max:
        exponent += 1
    if exponent > -lowest - 1:
        raise ValueError(f"{value} does not fit")
    return (exponent & ((1 << form.exponent_bits) - 1)) << form.mantissa_bits | (
        mantissa & ((1 << form.mantissa_bits) - 1)
    )


def _signed(word: int, bits: int) -> int:
    return word - (1 << bits) if word >> (bits - 1) else word
