"""One measuring occasion: which of a person's readings make up one NEWS2, and what to ask for.

Rules of this file:

- All readings of one score lie within half an hour of each other (clinical.md 1), counted back
  from the newest; of each item the newest counts.
- What is no reading of the person, is retracted or has no number (HI, LO) is no part of a score.
- What is doubted, by its device or by its range, may alarm and never reassures
  (docs/decisions/0012): it takes part only where the caller asks for it, and the caller does so
  to alarm. Without it the item is missing.
- Scale 2 is a physician's order with its dates, never a guess from a condition or from values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from alerts.errors import RuleError
from alerts.news2 import Consciousness, Item, Scale, Vitals, is_possible
from alerts.rules import Text
from alerts.series import Reading
from devices.kinds import COMPONENTS, KINDS, Component

WITHIN_S = 30 * 60
"""How far apart the readings of one score may lie (clinical.md 1; a plan may say otherwise)."""

_CONSCIOUSNESS = KINDS["consciousness"].named("consciousness")
_ON_OXYGEN = KINDS["oxygen_supplement"].named("on_oxygen")

# What each item is read from. A cuff's or an oximeter's pulse goes before that of a heart sensor,
# which people wear while they move: the score is made at rest.
_SOURCES: Mapping[Item, tuple[tuple[Component, ...], ...]] = MappingProxyType(
    {
        Item.RESPIRATORY_RATE: ((KINDS["respiratory_rate"].named("respiratory_rate"),),),
        Item.SPO2: ((KINDS["pulse_oximetry"].named("spo2"),),),
        Item.ON_OXYGEN: ((_ON_OXYGEN,),),
        Item.SYSTOLIC: ((KINDS["blood_pressure"].named("systolic"),),),
        Item.PULSE: (
            (KINDS["blood_pressure"].named("pulse"), KINDS["pulse_oximetry"].named("pulse")),
            (KINDS["heart_rate"].named("heart_rate"),),
        ),
        Item.CONSCIOUSNESS: ((_CONSCIOUSNESS,),),
        Item.TEMPERATURE: ((KINDS["body_temperature"].named("temperature"),),),
    }
)
_ITEM_OF: Mapping[int, Item] = MappingProxyType(
    {
        component.number: item
        for item, ranks in _SOURCES.items()
        for rank in ranks
        for component in rank
    }
)

_REQUESTS: Mapping[Item, Text] = MappingProxyType(
    {
        Item.RESPIRATORY_RATE: Text(
            "Andningsfrekvens saknas. Räkna andetagen i en minut.",
            "Respiratory rate is missing. Count the breaths for one minute.",
        ),
        Item.SPO2: Text(
            "Syremättnad saknas. Mät på ett varmt finger tills siffran står still.",
            "Oxygen saturation is missing. Measure on a warm finger until the number is steady.",
        ),
        Item.ON_OXYGEN: Text(
            "Uppgift om syrgas saknas. Ange om personen får syrgas just nu.",
            "Whether oxygen is given is missing. Say if the person is on oxygen right now.",
        ),
        Item.SYSTOLIC: Text(
            "Blodtryck saknas. Mät på överarmen efter fem minuters vila.",
            "Blood pressure is missing. Measure on the upper arm after five minutes of rest.",
        ),
        Item.PULSE: Text(
            "Puls saknas. Räkna pulsen vid handleden i en minut.",
            "Pulse is missing. Count it at the wrist for one minute.",
        ),
        Item.CONSCIOUSNESS: Text(
            "Medvetandegrad saknas. Ange om personen är vaken och som vanligt, är nytillkommet"
            " förvirrad, reagerar på tilltal, reagerar på smärta eller inte reagerar alls.",
            "Consciousness is missing. Say if the person is awake and as usual, newly confused,"
            " reacts to voice, reacts to pain or does not react at all.",
        ),
        Item.TEMPERATURE: Text(
            "Temperatur saknas. Mät och ange med en decimal.",
            "Temperature is missing. Measure it, with one decimal.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Scale2Order:
    """A physician's order that a person is scored on Scale 2, from and until aware times.

    ``valid_until`` is None while nobody has ended it. Raises RuleError for an order that ends
    before it begins, or that nobody has signed.
    """

    ordered_by: str
    valid_from: datetime
    valid_until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse an order without signer or duration."""
        if not self.ordered_by:
            raise RuleError("Scale 2 needs the physician who ordered it")
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise RuleError("an order of Scale 2 ends after it begins")


def scale_at(orders: Iterable[Scale2Order], at: datetime) -> Scale:
    """Return 2 where an order is valid at that time, else 1."""
    for order in orders:
        if order.valid_from <= at and (order.valid_until is None or at < order.valid_until):
            return 2
    return 1


@dataclass(frozen=True, slots=True)
class Occasion:
    """What was observed on one occasion. ``cited`` has the reading behind each item that is known;
    it is empty where there was nothing to read.
    """

    vitals: Vitals
    cited: Mapping[Item, Reading]

    @property
    def uids(self) -> tuple[str, ...]:
        """The identities of the cited readings, each once, in the order of the table."""
        return tuple(dict.fromkeys(reading.uid for reading in self.cited.values()))

    @property
    def missing(self) -> tuple[Item, ...]:
        """The items that no reading told, in the order of the table."""
        return tuple(item for item in Item if item not in self.cited)


def occasion(
    readings: Iterable[Reading],
    at: datetime,
    *,
    orders: Sequence[Scale2Order] = (),
    within_s: int = WITHIN_S,
    with_doubted: bool = False,
) -> Occasion:
    """Gather the newest occasion of one person at the aware time ``at``; later readings are left
    out.

    ``with_doubted`` also takes what is doubted, to alarm by and never to reassure. The scale is the
    one ordered when the newest reading was made. How old that may be is the caller's to judge.
    """
    usable = [r for r in readings if r.measured_at <= at and _is_usable(r, with_doubted)]
    newest = max((r.measured_at for r in usable), default=at)
    since = newest - timedelta(seconds=within_s)
    together = [r for r in usable if r.measured_at >= since]
    found = ((item, _newest(together, ranks)) for item, ranks in _SOURCES.items())
    cited = {item: reading for item, reading in found if reading is not None}
    return Occasion(_vitals(cited, scale_at(orders, newest)), MappingProxyType(cited))


def request(missing: Iterable[Item]) -> Text:
    """Write what home-care staff are asked to observe, a sentence or two an item, in table order.

    Pass ``Score.ask_for``; empty texts for nothing.
    """
    wanted = set(missing)
    texts = [_REQUESTS[item] for item in Item if item in wanted]
    return Text(" ".join(text.sv for text in texts), " ".join(text.en for text in texts))


def _is_usable(reading: Reading, with_doubted: bool) -> bool:
    item = _ITEM_OF.get(reading.component)
    if item is None or reading.value is None or not _can_be_told(item, reading):
        return False
    if with_doubted:
        return reading.is_of_the_person() and not reading.is_retracted()
    return reading.proves()


def _can_be_told(item: Item, reading: Reading) -> bool:
    """Tell whether the value can be one of its item at all; what cannot is missing."""
    assert reading.value is not None, "only numbers are asked about"
    ordinals = COMPONENTS[reading.component].ordinals
    if ordinals:
        return reading.value in range(len(ordinals))
    return is_possible(item, reading.value)


def _newest(readings: Sequence[Reading], ranks: Sequence[Sequence[Component]]) -> Reading | None:
    for components in ranks:
        numbers = {component.number for component in components}
        found = [reading for reading in readings if reading.component in numbers]
        if found:
            return max(found, key=_order)
    return None


def _order(reading: Reading) -> tuple[datetime, int, str, int]:
    return (reading.measured_at, reading.received_seq, reading.uid, reading.component)


def _vitals(cited: Mapping[Item, Reading], scale: Scale) -> Vitals:
    values = {item: reading.value for item, reading in cited.items()}
    level, oxygen = values.get(Item.CONSCIOUSNESS), values.get(Item.ON_OXYGEN)
    return Vitals(
        respiratory_rate_per_min=values.get(Item.RESPIRATORY_RATE),
        spo2_percent=values.get(Item.SPO2),
        scale=scale,
        on_oxygen=None if oxygen is None else oxygen > 0,
        systolic_mmhg=values.get(Item.SYSTOLIC),
        pulse_per_min=values.get(Item.PULSE),
        consciousness=(
            None if level is None else Consciousness(_CONSCIOUSNESS.ordinals[int(level)])
        ),
        temperature_celsius=values.get(Item.TEMPERATURE),
    )
