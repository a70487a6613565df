"""Twelve invented people: who they are, what they measure with, where their limits lie.

Nobody here lives or has lived. Eleven are known by an identifier of ``urn:hemma:demo``; one has the
Swedish tax agency's test number 19121212-1212, which tells no true age. Their 90 days are in
:mod:`devices.virtual.stories`; :func:`story_items` gives both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from devices.measurement import Measurement
from devices.virtual.cuff import CUFF
from devices.virtual.device import Design
from devices.virtual.oximeter import OXIMETER
from devices.virtual.scale import SCALE
from devices.virtual.thermometer import THERMOMETER

DEMO = "urn:hemma:demo"
PERSONNUMMER = "http://electronichealth.se/identifier/personnummer"
SCREEN = "screen"
"""The device name of a value entered by hand (contract.md 1)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Suggested limits for one component: at or beyond a bound is outside; None is no limit."""

    red_low: float | None = None
    yellow_low: float | None = None
    yellow_high: float | None = None
    red_high: float | None = None

    def __post_init__(self) -> None:
        """Check that the red bounds lie outside the yellow ones."""
        known = [
            bound
            for bound in (self.red_low, self.yellow_low, self.yellow_high, self.red_high)
            if bound is not None
        ]
        assert known == sorted(known), "bounds rise from red_low to red_high"


@dataclass(frozen=True, slots=True)
class OwnedDevice:
    """A device in the person's home. ``dev`` is its name on the wire, from ``address``."""

    what: str
    address: str
    model: str
    profile: str
    kinds: tuple[str, ...]

    @property
    def dev(self) -> str:
        """``ble-`` and the address in lower hex."""
        return "ble-" + self.address.replace(":", "").lower()


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person. ``story`` is a key, ``matters`` answers "Vad är viktigt för dig?".

    ``limits`` are by component name as in :mod:`devices.kinds`; a component that is not there has
    no limit of its own. ``conditions`` are keys for choosing a plan, not diagnoses to show.
    """

    key: str
    identifier_system: str
    identifier: str
    given_name: str
    family_name: str
    age_years: int
    sex: str
    story: str
    conditions: tuple[str, ...]
    matters: str
    devices: tuple[OwnedDevice, ...]
    limits: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoryItem:
    """One value of a story: ``dev`` measured it at ``measured_at``, it came in at ``received_at``.

    Both times are UTC. A value entered by hand has dev ``screen``, no characteristic and no raw
    bytes; all others have been through the encoder and the decoder.
    """

    measurement: Measurement
    measured_at: datetime
    received_at: datetime
    dev: str
    model: str


_DESIGNS: Mapping[str, Design] = {
    "cuff": CUFF,
    "scale": SCALE,
    "thermometer": THERMOMETER,
    "oximeter": OXIMETER,
}


def _owned(person_number: int, *kinds_of_device: str) -> tuple[OwnedDevice, ...]:
    return tuple(
        OwnedDevice(
            what=what,
            # A random static address: the two highest bits are set.
            address=f"C0:DE:00:00:{person_number:02X}:{list(_DESIGNS).index(what) + 1:02X}",
            model=_DESIGNS[what].model,
            profile=_DESIGNS[what].profile,
            kinds=_DESIGNS[what].kinds,
        )
        for what in kinds_of_device
    )


# The usual bounds are NEWS2's bands and the home limits proposed in the rule catalogue; all of them
# are proposals that a named clinical owner signs before use.
_PRESSURE = {
    "systolic": Bounds(90, 100, 160, 220),
    "diastolic": Bounds(None, None, 100, 120),
    "pulse": Bounds(40, 50, 111, 131),
}
_SATURATION = {"spo2": Bounds(91, 93, None, None)}
_TEMPERATURE = {"temperature": Bounds(35.0, None, 38.1, 39.1)}


def _weight(usual_kg: float) -> dict[str, Bounds]:
    return {"weight": Bounds(None, usual_kg - 3.0, usual_kg + 2.0, None)}


PEOPLE: tuple[Person, ...] = (
    Person(
        "DEMO-01", DEMO, "DEMO-01", "Signe", "Provlund", 82, "female",
        "heart_failure_weight_gain", ("heart_failure",),
        "Att orka gå ner till bryggan och ta emot barnbarnen i sommar.",
        _owned(1, "scale", "cuff"), {**_PRESSURE, **_weight(68.4)},
    ),
    Person(
        "DEMO-02", DEMO, "DEMO-02", "Harald", "Exempelstrand", 77, "male",
        "copd_dip", ("copd",),
        "Att kunna elda i vedspisen själv och slippa åka in till sjukhuset.",
        _owned(2, "oximeter", "thermometer"),
        # Prescribed target 88-92 %; below 88 is yellow, 85 and less is red.
        {"spo2": Bounds(85, 87, None, None), "pulse": Bounds(40, 50, 111, 131), **_TEMPERATURE},
    ),
    Person(
        "DEMO-03", DEMO, "DEMO-03", "Märta", "Testberg", 74, "female",
        "white_coat", ("hypertension",),
        "Att slippa oroa mig för siffrorna, och att hinna med kören.",
        _owned(3, "cuff"), _PRESSURE,
    ),
    Person(
        "DEMO-04", DEMO, "DEMO-04", "Birger", "Påhittsson", 88, "male",
        "silent_gateway", ("hypertension",),
        "Att få bo kvar på gården med hunden.",
        _owned(4, "cuff", "scale"), {**_PRESSURE, **_weight(81.0)},
    ),
    Person(
        "DEMO-05", DEMO, "DEMO-05", "Gunvor", "Demoström", 79, "female",
        "low_battery", ("hypertension", "diabetes"),
        "Att dottern inte ska behöva ringa och fråga varje dag.",
        _owned(5, "cuff"), _PRESSURE,
    ),
    Person(
        "DEMO-06", DEMO, "DEMO-06", "Arvid", "Provmark", 71, "male",
        "values_arrive", ("hypertension",),
        "Att kunna jaga i höst.",
        _owned(6, "cuff", "scale"), {**_PRESSURE, **_weight(84.5)},
    ),
    Person(
        "DEMO-07", DEMO, "DEMO-07", "Ingegerd", "Exempeldal", 85, "female",
        "post_discharge", ("post_discharge", "heart_failure"),
        "Att få sova hemma i min egen säng och slippa åka tillbaka.",
        _owned(7, "cuff", "scale", "thermometer", "oximeter"),
        {**_PRESSURE, **_weight(61.2), **_SATURATION, **_TEMPERATURE},
    ),
    Person(
        "DEMO-08", DEMO, "DEMO-08", "Sixten", "Testlund", 90, "male",
        "orthostatic", ("hypertension",),
        "Att våga gå ut till brevlådan utan att ramla.",
        _owned(8, "cuff"),
        {**_PRESSURE, "systolic": Bounds(85, 95, 165, 220)},
    ),
    Person(
        "DEMO-09", DEMO, "DEMO-09", "Dagny", "Påhittsjö", 76, "female",
        "gaps", ("heart_failure",),
        "Att kunna vara i stugan fast det inte finns någon täckning.",
        _owned(9, "scale", "cuff"), {**_PRESSURE, **_weight(73.0)},
    ),
    Person(
        "DEMO-10", DEMO, "DEMO-10", "Folke", "Demoberg", 83, "male",
        "irregular_pulse", ("hypertension",),
        "Att få fortsätta spela dragspel på träffarna.",
        _owned(10, "cuff"), _PRESSURE,
    ),
    Person(
        "DEMO-11", DEMO, "DEMO-11", "Rut", "Provström", 95, "female",
        "fever", ("frail",),
        "Att ha någon att prata med på kvällarna.",
        _owned(11, "thermometer", "oximeter"), {**_TEMPERATURE, **_SATURATION},
    ),
    Person(
        "DEMO-12", PERSONNUMMER, "191212121212", "Tolvan", "Tolvansson", 92, "male",
        "entered_by_hand", ("hypertension",),
        "Att slippa maskiner. Jag vill att någon kommer hem till mig.",
        (), _PRESSURE,
    ),
)  # fmt: skip


def story_items(seed: int, until: datetime, days: int = 90) -> Mapping[str, tuple[StoryItem, ...]]:
    """The people's values of the ``days`` before ``until`` (aware), by person key, oldest first.

    The same arguments give the same bytes. Stories end at ``until``: what goes on "now" goes on
    then.
    """
    # stories imports the types from here, so it is imported when used.
    from devices.virtual.stories import tell

    return {person.key: tell(person, seed, until, days) for person in PEOPLE}
