"""The catalogue: numbers that never change, codes of contract.md 2, ranges that hold."""

import pytest

from devices.kinds import COMPONENTS, KINDS, kind_of
from devices.measurement import Absent, Sample
from devices.plausible import implausible

# Keys in databases. A change here is a migration, never a correction of this table.
NUMBERS = {
    "blood_pressure": (1, {"systolic": 101, "diastolic": 102, "mean": 103, "pulse": 104}),
    "pulse_oximetry": (2, {"spo2": 201, "pulse": 202, "perfusion_index": 203}),
    "body_temperature": (3, {"temperature": 301}),
    "body_weight": (4, {"weight": 401, "bmi": 402, "height": 403}),
    "glucose": (6, {"glucose": 601}),
    "heart_rate": (7, {"heart_rate": 701}),
    "cgm": (8, {"glucose": 801}),
    "peak_flow": (9, {"peak_flow": 901}),
    "respiratory_rate": (10, {"respiratory_rate": 1001}),
    "consciousness": (11, {"consciousness": 1101}),
    "oxygen_supplement": (12, {"on_oxygen": 1201, "oxygen_flow": 1202}),
    "steps": (14, {"steps": 1401}),
    "battery": (15, {"battery": 1501}),
}

# contract.md 2.
CODES = {
    101: "150021",
    102: "150022",
    103: "150023",
    104: "149546",
    201: "150456",
    202: "149530",
    301: "150364",
    401: "188736",
    701: "147842",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_stable(name: str) -> None:
    number, components = NUMBERS[name]
    assert KINDS[name].number == number
    assert {c.name: c.number for c in KINDS[name].components} == components


def test_codes_of_the_contract() -> None:
    assert {number: COMPONENTS[number].code for number in CODES} == CODES


def test_every_kind_of_the_contract_is_there() -> None:
    assert set(KINDS) == {*NUMBERS, "body_composition", "symptoms"}


def test_the_catalogue_is_whole() -> None:
    for kind in KINDS.values():
        codes = [c.code for c in kind.components]
        assert len(set(codes)) == len(codes)
        assert kind.sv
        assert kind.en
        assert kind.fi
        for component in kind.components:
            assert kind_of(component.number) is kind
            assert component.sv
            assert component.en
            assert component.fi
            assert component.plausible_why
            low, high = component.plausible
            assert low < high
            if component.ordinals:
                assert (low, high) == (0, len(component.ordinals) - 1)


def test_lookups() -> None:
    pressure = KINDS["blood_pressure"]
    assert pressure.component("150021") is pressure.named("systolic")
    assert pressure.component("150456") is None
    with pytest.raises(KeyError):
        pressure.named("spo2")
    with pytest.raises(KeyError):
        kind_of(199)


def test_implausible_names_what_lies_outside() -> None:
    samples = (
        Sample("150456", 55.0, "%"),
        Sample("149530", None, "/min", absent=Absent.NAN),
        Sample("999", 1.0, "%"),
    )
    assert implausible("pulse_oximetry", samples) == ("spo2",)
    assert implausible("pulse_oximetry", [Sample("150456", 60.0, "%")]) == ()
    assert implausible("aura", samples) == ()
