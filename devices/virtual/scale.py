"""Scales: the A&D kind that bonds, and one for body composition that keeps its users apart."""

from __future__ import annotations

from datetime import datetime

from devices.gatt import body_composition, body_composition_feature, weight, weight_feature
from devices.gatt.body_composition import BodyComposition
from devices.measurement import Absent
from devices.virtual.cuff import VIRTUAL
from devices.virtual.design import (
    CONTROL,
    INDICATE,
    READ,
    READ_WRITE,
    Design,
    Slot,
    Table,
    Values,
    number,
    user_of,
)
from devices.virtual.indication import Indicating

STEP_KG = 0.05
"""What such a scale shows, and the wire carries it exactly (2A9D counts 5 g)."""
FIFTY_GRAMS = 4
"""The number of STEP_KG among the resolutions of the features (GATT Specification Supplement)."""
TIME, USERS, MUSCLE, WATER, IMPEDANCE, WEIGHT = 1 << 0, 1 << 1, 1 << 3, 1 << 7, 1 << 8, 1 << 9
DEMO_CODE = 1234


def encode(values: Values, stamp: datetime | None) -> bytes:
    """A 2A9D value in kilograms; takes ``weight``."""
    shown_kg = _shown(values)
    return weight.encode(weight.Weight(shown_kg, time=stamp, user=user_of(values)))


def encode_composition(values: Values, stamp: datetime | None) -> bytes:
    """A 2A9C value with its weight; takes ``body_fat`` and ``weight``, and what else is given."""
    shown_kg = _shown(values)
    return body_composition.encode(
        BodyComposition(
            number(values, "body_fat"),
            time=stamp,
            user=user_of(values),
            muscle=_given(values, "muscle"),
            body_water_mass=_given(values, "body_water_mass"),
            impedance=_given(values, "impedance"),
            weight=None if isinstance(shown_kg, Absent) else shown_kg,
        )
    )


def _shown(values: Values) -> float | Absent:
    told = number(values, "weight")
    return told if isinstance(told, Absent) else round(round(told / STEP_KG) * STEP_KG, 2)


def _given(values: Values, name: str) -> float | None:
    value = number(values, name)
    return None if isinstance(value, Absent) else value


_WEIGHT_SERVICE = (
    Slot("2A9D", INDICATE),
    Slot("2A9E", READ, weight_feature.encode(TIME, weight=FIFTY_GRAMS)),
)

SCALE = Design(
    model="UC-352BLE",
    profile="a-and-d-weight",
    kinds=("body_weight", "battery"),
    local_name="A&D_UC-352BLE_V1",
    manufacturer=VIRTUAL,
    service="181D",
    tables=(Table("181D", (*_WEIGHT_SERVICE, Slot("2A08", READ_WRITE))),),
    measurement="2A9D",
    encode=encode,
    behaviour=Indicating,
    must_bond=True,
    window_s=45.0,
)
"""A bathroom scale of the A&D kind: bonds and takes its clock as the cuff does."""

BODY_COMPOSITION = Design(
    model="BF 105",
    profile="beurer-scale",
    kinds=("body_composition", "body_weight", "battery"),
    local_name="BF105",
    manufacturer=VIRTUAL,
    service="181B",
    tables=(
        Table("181D", _WEIGHT_SERVICE),
        Table(
            "181B",
            (
                Slot("2A9C", INDICATE),
                Slot(
                    "2A9B",
                    READ,
                    body_composition_feature.encode(
                        TIME | USERS | MUSCLE | WATER | IMPEDANCE | WEIGHT, weight=FIFTY_GRAMS
                    ),
                ),
            ),
        ),
        Table("181C", (Slot("2A9A", READ), Slot("2A9F", CONTROL))),
        Table("1805", (Slot("2A2B", READ_WRITE),)),
    ),
    measurement="2A9C",
    encode=encode_composition,
    also=(("2A9D", encode),),
    behaviour=Indicating,
    must_bond=True,
    shows_passkey=True,
    users={1: DEMO_CODE, 2: DEMO_CODE + 1},
)
"""The Beurer kind for body composition: gives a user's values to who knows that user's code."""
