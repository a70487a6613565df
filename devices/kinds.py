"""The one catalogue of what can be measured (contract.md 2).

Numbers are stable for ever: they are keys in the database. A kind or component is added at the end,
never renumbered and never reused. A component's number is its kind's number times 100 plus n.

Where the codes were checked:

- MDC (IEEE 11073-10101; partition * 65,536 + term, so 2 * 65,536 + 18,949 = 150021): the public
  nomenclature lists of Lamprey Networks and of Antidote (``nomenclature.h``), the blood pressure
  example of the HL7 Personal Health Device guide (github.com/HL7/phd) and the examples of the
  Danish national guide (149546, 67996).
- LOINC: the HL7 FHIR vital signs value set (8867-4, 9279-1, 8310-5, 29463-7, 8302-2, 39156-5,
  8480-6, 8462-4), the US Core pulse oximetry profile (59408-5, 3151-8), the HL7 CGM guide
  (105272-9), the HL7 CardX guide (8478-0) and LOINC displays in public terminologies (61006-3,
  41982-0, 14743-9, 33452-4, 55423-8).
- UCUM: the FHIR vital signs profile (mm[Hg], /min, %, Cel, kg); the rest by UCUM's grammar.

``loinc`` is None where no code could be confirmed to mean exactly this component; none is guessed.
Own codes start with ``hemma:``.

Plausible means "a living adult at home may have this, and the device type can show it". A value
outside is stored and flagged, never dropped (contract.md 1); ``plausible_why`` gives the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One number a kind consists of; there is one object of each, compared by identity.

    ``name`` is the English key of contract.md 3, ``code`` what travels, ``unit`` UCUM, ``decimals``
    how many are shown, ``plausible`` an inclusive range in that unit. ``ordinals`` names the
    answers 0, 1, 2 … of a coded component and is empty for a measured one.
    """

    number: int
    name: str
    code: str
    loinc: str | None
    unit: str
    decimals: int
    plausible: tuple[float, float]
    sv: str
    en: str
    fi: str
    plausible_why: str
    ordinals: tuple[str, ...] = ()

    def is_plausible(self, value: float) -> bool:
        """Tell whether ``value``, in this component's unit, lies inside the plausible range."""
        low, high = self.plausible
        return low <= value <= high


@dataclass(frozen=True, slots=True)
class Kind:
    """Something measured as a whole, such as a blood pressure with its pulse."""

    number: int
    name: str
    components: tuple[Component, ...]
    sv: str
    en: str
    fi: str

    def component(self, code: str) -> Component | None:
        """Return the component that travels as ``code``, or None where this kind has none."""
        return COMPONENTS_OF[self.name].get(code)

    def named(self, name: str) -> Component:
        """Return the component called ``name``; KeyError where this kind has none."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)


_PULSE_WHY = "NEWS2 scores 40–131; 20 and 250 are the ends of what cuffs and oximeters show"
_GLUCOSE_WHY = "meters show 0.6–33.3 mmol/L (10–600 mg/dL); beyond it they answer LO or HI"
_PERCENT_WHY = "a share of the body; consumer scales show 3–75 %"
_MASS_WHY = "part of a body weight within 20–300 kg"
_YES_NO = ("nej", "ja")
_THREE_STEPS = ("nej", "lite", "mycket")

_BLOOD_PRESSURE = Kind(
    1,
    "blood_pressure",
    (
        Component(101, "systolic", "150021", "8480-6", "mm[Hg]", 0, (50, 280),
            "övertryck", "systolic", "yläpaine",
            "home cuffs measure 40–280; below 50 nobody sits and measures",
        ),
        Component(102, "diastolic", "150022", "8462-4", "mm[Hg]", 0, (25, 200),
            "undertryck", "diastolic", "alapaine", "home cuffs measure 20–200",
        ),
        Component(103, "mean", "150023", "8478-0", "mm[Hg]", 0, (30, 230),
            "medeltryck", "mean pressure", "keskipaine", "lies between diastolic and systolic",
        ),
        Component(104, "pulse", "149546", "8867-4", "/min", 0, (20, 250),
            "puls", "pulse", "syke", _PULSE_WHY,
        ),
    ),
    "blodtryck", "blood pressure", "verenpaine",
)  # fmt: skip

_PULSE_OXIMETRY = Kind(
    2,
    "pulse_oximetry",
    (
        Component(201, "spo2", "150456", "59408-5", "%", 0, (60, 100),
            "syremättnad", "oxygen saturation", "happisaturaatio",
            "accuracy is demanded from 70 % (ISO 80601-2-61); below 60 % a poor signal is likelier",
        ),
        Component(202, "pulse", "149530", "8867-4", "/min", 0, (20, 250),
            "puls", "pulse", "syke", _PULSE_WHY,
        ),
        # Also what oximeters call pulse amplitude index. That 150448 is the term Bluetooth's own
        # transcoding uses for it was not confirmed.
        Component(203, "perfusion_index", "150448", "61006-3", "%", 1, (0.02, 20),
            "perfusionsindex", "perfusion index", "perfuusioindeksi", "oximeters show 0.02–20 %",
        ),
    ),
    "syremättnad", "pulse oximetry", "happisaturaatio",
)  # fmt: skip

_BODY_TEMPERATURE = Kind(
    3,
    "body_temperature",
    (
        Component(301, "temperature", "150364", "8310-5", "Cel", 1, (32.0, 43.0),
            "temperatur", "temperature", "lämpötila",
            "ISO 80601-2-56: rated range at least 34–43 °C; 32 is hypothermia",
        ),
    ),
    "kroppstemperatur", "body temperature", "ruumiinlämpö",
)  # fmt: skip

_BODY_WEIGHT = Kind(
    4,
    "body_weight",
    (
        Component(401, "weight", "188736", "29463-7", "kg", 1, (20, 300),
            "vikt", "weight", "paino", "an adult on a home scale; the widest scales end at 300 kg",
        ),
        Component(402, "bmi", "188752", "39156-5", "kg/m2", 1, (8, 100),
            "BMI", "body mass index", "painoindeksi",
            "20 kg and 300 kg at heights from 140 to 200 cm",
        ),
        Component(403, "height", "188740", "8302-2", "cm", 0, (50, 250),
            "längd", "height", "pituus", "as set in the scale by the user",
        ),
    ),
    "vikt", "body weight", "paino",
)  # fmt: skip

_BODY_COMPOSITION = Kind(
    5,
    "body_composition",
    (
        Component(501, "body_fat", "188748", "41982-0", "%", 1, (3, 75),
            "kroppsfett", "body fat", "kehon rasvaprosentti", _PERCENT_WHY,
        ),
        Component(502, "muscle", "188772", None, "%", 1, (10, 75),
            "muskelandel", "muscle share", "lihasprosentti", _PERCENT_WHY,
        ),
        Component(503, "muscle_mass", "188776", None, "kg", 1, (5, 150),
            "muskelmassa", "muscle mass", "lihasmassa", _MASS_WHY,
        ),
        Component(504, "fat_free_mass", "188756", None, "kg", 1, (10, 200),
            "fettfri massa", "fat free mass", "rasvaton massa", _MASS_WHY,
        ),
        Component(505, "soft_lean_mass", "188760", None, "kg", 1, (10, 200),
            "mjukdelsmassa", "soft lean mass", "pehmytkudosmassa", _MASS_WHY,
        ),
        Component(506, "body_water_mass", "188764", None, "kg", 1, (10, 150),
            "kroppsvatten", "body water", "kehon vesi", _MASS_WHY,
        ),
        Component(507, "basal_metabolism", "188768", None, "kJ", 0, (2000, 20000),
            "basalomsättning", "basal metabolism", "perusaineenvaihdunta", "500–4,800 kcal a day",
        ),
        Component(508, "impedance", "188780", None, "Ohm", 1, (100, 1500),
            "impedans", "impedance", "impedanssi", "what foot-to-foot scales show",
        ),
    ),
    "kroppssammansättning", "body composition", "kehonkoostumus",
)  # fmt: skip

_GLUCOSE = Kind(
    6,
    "glucose",
    (
        Component(601, "glucose", "160184", "14743-9", "mmol/L", 1, (0.6, 33.3),
            "blodsocker", "glucose", "verensokeri", _GLUCOSE_WHY,
        ),
    ),
    "blodsocker", "glucose", "verensokeri",
)  # fmt: skip

_HEART_RATE = Kind(
    7,
    "heart_rate",
    (
        Component(701, "heart_rate", "147842", "8867-4", "/min", 0, (20, 250),
            "hjärtfrekvens", "heart rate", "syke", _PULSE_WHY,
        ),
    ),
    "hjärtfrekvens", "heart rate", "syke",
)  # fmt: skip

_CGM = Kind(
    8,
    "cgm",
    (
        Component(801, "glucose", "160212", "105272-9", "mmol/L", 1, (0.6, 33.3),
            "vävnadssocker", "tissue glucose", "kudosglukoosi", _GLUCOSE_WHY,
        ),
    ),
    "kontinuerlig glukosmätning", "continuous glucose", "jatkuva glukoosinseuranta",
)  # fmt: skip

_PEAK_FLOW = Kind(
    9,
    "peak_flow",
    (
        Component(901, "peak_flow", "152584", "33452-4", "L/min", 0, (30, 900),
            "PEF", "peak expiratory flow", "PEF-puhallus",
            "ISO 23747: meters cover 60–800 L/min; 30 and 900 are their ends",
        ),
    ),
    "PEF", "peak flow", "PEF",
)  # fmt: skip

_RESPIRATORY_RATE = Kind(
    10,
    "respiratory_rate",
    (
        Component(1001, "respiratory_rate", "151562", "9279-1", "/min", 0, (4, 60),
            "andningsfrekvens", "respiratory rate", "hengitystaajuus",
            "NEWS2 scores 8–25; 4 and 60 cannot be counted at home",
        ),
    ),
    "andningsfrekvens", "respiratory rate", "hengitystaajuus",
)  # fmt: skip

_CONSCIOUSNESS = Kind(
    11,
    "consciousness",
    (
        # LOINC has AVPU (80288-4), but no confirmed code for the five steps of NEWS2: ours.
        Component(1101, "consciousness", "hemma:consciousness", None, "1", 0, (0, 4),
            "medvetande", "consciousness", "tajunta",
            "the five steps of NEWS2, most awake first", ("A", "C", "V", "P", "U"),
        ),
    ),
    "medvetandegrad", "consciousness", "tajunnantaso",
)  # fmt: skip

_OXYGEN_SUPPLEMENT = Kind(
    12,
    "oxygen_supplement",
    (
        Component(1201, "on_oxygen", "hemma:on_oxygen", None, "1", 0, (0, 1),
            "får syrgas", "on oxygen", "saa lisähappea", "no or yes", _YES_NO,
        ),
        Component(1202, "oxygen_flow", "loinc:3151-8", "3151-8", "L/min", 1, (0, 15),
            "syrgasflöde", "oxygen flow", "hapen virtaus",
            "home concentrators end at 5–10, cylinders at 15 L/min",
        ),
    ),
    "syrgas", "oxygen supplement", "lisähappi",
)  # fmt: skip

_SYMPTOMS = Kind(
    13,
    "symptoms",
    (
        # The two questions that predict best in heart failure come first. The patient compares with
        # what is usual for them, never with a norm.
        Component(1301, "breathlessness", "hemma:breathlessness", None, "1", 0, (0, 2),
            "andfådd mer än vanligt", "more breathless than usual", "hengästyy tavallista enemmän",
            "three answers", _THREE_STEPS,
        ),
        Component(1302, "swollen_legs", "hemma:swollen_legs", None, "1", 0, (0, 2),
            "svullna ben", "swollen legs", "turvonneet jalat", "three answers", _THREE_STEPS,
        ),
        Component(1303, "dizziness", "hemma:dizziness", None, "1", 0, (0, 2),
            "yrsel", "dizziness", "huimaus", "three answers", _THREE_STEPS,
        ),
        Component(1304, "chest_pain", "hemma:chest_pain", None, "1", 0, (0, 1),
            "ont i bröstet", "chest pain", "rintakipu", "no or yes", _YES_NO,
        ),
        Component(1305, "cough", "hemma:cough", None, "1", 0, (0, 2),
            "hostar mer än vanligt", "coughs more than usual", "yskii tavallista enemmän",
            "three answers", _THREE_STEPS,
        ),
        Component(1306, "sputum_colour", "hemma:sputum_colour", None, "1", 0, (0, 1),
            "färgade upphostningar", "coloured sputum", "värjäytyneet yskökset", "no or yes",
            _YES_NO,
        ),
        Component(1307, "pain", "hemma:pain", None, "1", 0, (0, 10),
            "smärta 0–10", "pain 0–10", "kipu 0–10", "numeric rating scale",
        ),
    ),
    "besvär", "symptoms", "oireet",
)  # fmt: skip

_STEPS = Kind(
    14,
    "steps",
    (
        # The MDC term of 11073-10441 could not be confirmed in a public list, so LOINC travels.
        Component(1401, "steps", "loinc:55423-8", "55423-8", "1", 0, (0, 60000),
            "steg", "steps", "askeleet", "steps in one day; 60,000 is a day of running",
        ),
    ),
    "steg", "steps", "askeleet",
)  # fmt: skip

_BATTERY = Kind(
    15,
    "battery",
    (
        Component(1501, "battery", "67996", None, "%", 0, (0, 100),
            "batteri", "battery", "akku", "Battery Level (0x2A19) is 0–100",
        ),
    ),
    "apparatens batteri", "device battery", "laitteen akku",
)  # fmt: skip

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _BLOOD_PRESSURE,
            _PULSE_OXIMETRY,
            _BODY_TEMPERATURE,
            _BODY_WEIGHT,
            _BODY_COMPOSITION,
            _GLUCOSE,
            _HEART_RATE,
            _CGM,
            _PEAK_FLOW,
            _RESPIRATORY_RATE,
            _CONSCIOUSNESS,
            _OXYGEN_SUPPLEMENT,
            _SYMPTOMS,
            _STEPS,
            _BATTERY,
        )
    }
)
"""Every kind by its name."""

COMPONENTS_OF: Mapping[str, Mapping[str, Component]] = MappingProxyType(
    {kind.name: {one.code: one for one in kind.components} for kind in KINDS.values()}
)
"""The components of a kind, by its name, by the codes they travel as."""

_BY_NUMBER = {kind.number: kind for kind in KINDS.values()}

COMPONENTS: Mapping[int, Component] = MappingProxyType(
    {component.number: component for kind in KINDS.values() for component in kind.components}
)
"""Every component by its number."""


def kind_of(component_number: int) -> Kind:
    """Return the kind that ``component_number`` belongs to; KeyError where there is none."""
    return _BY_NUMBER[COMPONENTS[component_number].number // 100]
