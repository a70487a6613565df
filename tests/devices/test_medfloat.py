"""SFLOAT and FLOAT. Words are by hand from IEEE 11073-20601 annex F: exponent, mantissa."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.measurement import Absent
from devices.medfloat import decode_float, decode_sfloat, encode_float, encode_sfloat

SFLOATS = [
    (0x0072, "114"),  # exponent 0, mantissa 114
    (0xF48E, "116.6"),  # exponent -1, mantissa 1166
    (0xE3E8, "10.00"),  # exponent -2, mantissa 1000
    (0x1001, "10"),  # exponent 1
    (0x7001, "10000000"),  # exponent 7
    (0x8001, "1E-8"),  # exponent -8
    (0x0FFF, "-1"),
    (0x07FD, "2045"),
    (0x0803, "-2045"),
    (0x0000, "0"),
]
SFLOAT_SPECIALS = [
    (0x07FF, Absent.NAN),
    (0x0800, Absent.NRES),
    (0x07FE, Absent.POSITIVE_INFINITY),
    (0x0802, Absent.NEGATIVE_INFINITY),
    (0x0801, Absent.RESERVED),
]
FLOATS = [
    (0xFF00016C, "36.4"),  # exponent -1, mantissa 364
    (0xFE000AA0, "27.20"),  # Polar BLE SDK, BleHtsClientTest
    (0x00000025, "37"),
    (0x7F000001, "1E127"),
    (0x80FFFFFF, "-1E-128"),
    (0x007FFFFD, "8388605"),
]
# HL7 Personal Health Device guide (github.com/HL7/phd, FLOATS.md): FLOAT, SFLOAT, and the number in
# FHIR, with the digits that tell its precision.
HL7_PHD = [
    (0x00000002, 0x0002, "2"),
    (0xFF000014, 0xF014, "2.0"),
    (0xFE0000C8, 0xE0C8, "2.00"),
    (0x01000002, 0x1002, "20"),
    (0x02000002, 0x2002, "200"),
    (0x000000C8, 0x00C8, "200"),
    (0x000004D2, 0x04D2, "1234"),
    (0x00FFFB2E, 0x0B2E, "-1234"),
]
FLOAT_SPECIALS = [
    (0x007FFFFF, Absent.NAN),
    (0x00800000, Absent.NRES),
    (0x007FFFFE, Absent.POSITIVE_INFINITY),
    (0x00800002, Absent.NEGATIVE_INFINITY),
    (0x00800001, Absent.RESERVED),
]


@pytest.mark.parametrize(("word32", "word16", "number"), HL7_PHD)
def test_the_guide_of_hl7(word32: int, word16: int, number: str) -> None:
    for read in (decode_float(word32), decode_sfloat(word16)):
        assert isinstance(read, Decimal)
        assert f"{read:f}" == number


# The white paper Personal Health Devices Transcoding, as quoted: 114 mmHg and 0.00118 kg/L.
@pytest.mark.parametrize(("word", "number"), [(0x0072, "114"), (0xB076, "0.00118")])
def test_the_white_paper(word: int, number: str) -> None:
    assert decode_sfloat(word) == Decimal(number)


@pytest.mark.parametrize(("word", "number"), SFLOATS)
def test_sfloat_numbers(word: int, number: str) -> None:
    assert decode_sfloat(word) == Decimal(number)


@pytest.mark.parametrize(("word", "number"), FLOATS)
def test_float_numbers(word: int, number: str) -> None:
    assert decode_float(word) == Decimal(number)


@pytest.mark.parametrize(("word", "absent"), SFLOAT_SPECIALS)
def test_sfloat_specials(word: int, absent: Absent) -> None:
    assert decode_sfloat(word) is absent
    assert decode_sfloat(word | 0xF000) is absent
    assert encode_sfloat(absent) == word


@pytest.mark.parametrize(("word", "absent"), FLOAT_SPECIALS)
def test_float_specials(word: int, absent: Absent) -> None:
    assert decode_float(word) is absent
    assert encode_float(absent) == word


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (128, 0x0080),
        (120.0, 0x0078),
        (97.3, 0xF3CD),
        (-1, 0x0FFF),
        (16.05, 0xE645),
        (20450, 0x17FD),
    ],
)
def test_sfloat_words(value: float, word: int) -> None:
    assert encode_sfloat(value) == word


def test_float_words() -> None:
    assert encode_float(36.4) == 0xFF00016C
    assert encode_float(Decimal("27.21")) == 0xFE000AA1


def test_rounds_to_what_fits() -> None:
    assert decode_sfloat(encode_sfloat(123.456)) == Decimal("123.5")
    assert decode_sfloat(encode_sfloat(1e-12)) == 0


@pytest.mark.parametrize("value", [1e12, -1e12, float("nan"), float("inf")])
def test_what_does_not_fit_is_our_mistake(value: float) -> None:
    with pytest.raises(ValueError, match=r"fit|Absent"):
        encode_sfloat(value)


@given(st.integers(0, 0xFFFF))
def test_every_sfloat_word_reads_and_keeps_its_value(word: int) -> None:
    number = decode_sfloat(word)
    assert decode_sfloat(encode_sfloat(number)) == number


@given(st.integers(0, 0xFFFFFFFF))
def test_every_float_word_reads_and_keeps_its_value(word: int) -> None:
    number = decode_float(word)
    assert decode_float(encode_float(number)) == number
