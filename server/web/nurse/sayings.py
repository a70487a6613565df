"""How alerts, values and outcomes are said: what a nurse reads that is no heading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from alerts import wording
from alerts.lifecycle import OUTCOME_TEXTS, Outcome
from alerts.rules import Direction
from alerts.standing import beyond_range
from devices.kinds import COMPONENTS, KINDS, Component, Kind
from server.store.patients import handle_of
from server.web.words import Language, Words

# In the order a nurse meets them: what is done most often stands under the thumb.
_OUTCOMES = (
    Outcome.CONTACTED_NO_ACTION,
    Outcome.VISIT,
    Outcome.MEDICATION_CHANGED,
    Outcome.SENT_TO_HOSPITAL,
    Outcome.PATIENT_UNREACHABLE,
    Outcome.MEASUREMENT_ERROR,
    Outcome.WRONG_PERSON,
    Outcome.EXPECTED,
    Outcome.DUPLICATE,
    Outcome.TECHNICAL_FIXED,
)
_KINDS_BY_NUMBER = {kind.number: kind for kind in KINDS.values()}


def kind_name(kind: Kind, words: Words) -> str:
    """Return a kind as a heading, such as "Blodtryck"."""
    name = kind.sv if words.language is Language.SV else kind.en
    return name[:1].upper() + name[1:]


def component_name(component: Component, words: Words) -> str:
    """Return a component as a heading, such as "Övertryck"."""
    name = component.sv if words.language is Language.SV else component.en
    return name[:1].upper() + name[1:]


def unit(component: Component, words: Words) -> str:
    """Return the unit as it is said, such as "mmHg" or "slag/min"."""
    return wording.unit(component, wording.Language(words.language))


def quantity(component: Component, value: float, words: Words) -> str:
    """Return a value with its unit."""
    return f"{words.number(value, component.decimals)} {unit(component, words)}"


def result(component: Component, value: float | None, side: Direction | None, words: Words) -> str:
    """Return a value with its unit, or where a result lies that the device has no number for."""
    if side is not None:
        where = wording.beyond(side, wording.Language(words.language))
        return f"{where} ({wording.DISPLAYED[side]})"
    assert value is not None, "what is not beyond has a number"
    return quantity(component, value, words)


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a measurement: a number, or the reason for none.

    ``beyond`` is the side of the device's range that it lies on, where the device said so much.
    """

    component: Component
    value: float | None
    absent: str | None
    beyond: Direction | None = None


def reading(kind_id: int | None, parts: Sequence[Part], words: Words) -> str:
    """Return a whole measurement on one line, such as "blodtryck 168/84 mmHg, puls 71 slag/min".

    Every number has its name: "85 %" alone could be a battery's.
    """
    left = list(parts)
    said = []
    pressures = [part for part in left if part.component.number in (101, 102)]
    if kind_id == 1 and len(pressures) == 2 and all(p.value is not None for p in pressures):
        numbers = "/".join(words.number(p.value or 0.0) for p in pressures)
        name = kind_name(KINDS["blood_pressure"], words).lower()
        said.append(f"{name} {numbers} {unit(pressures[0].component, words)}")
        left = [part for part in left if part not in pressures]
    said += [_part(part, words) for part in left]
    return ", ".join(said)


def _part(part: Part, words: Words) -> str:
    if part.beyond is not None:
        number = result(part.component, None, part.beyond, words)
    elif part.value is None:
        number = words.text("inget tal (%(reason)s)", reason=absent(part.absent, words))
    elif part.component.ordinals:
        index = int(part.value)
        known = 0 <= index < len(part.component.ordinals)
        # The catalogue's own Swedish words; their English stands in this folder's catalogue.
        number = words.text(part.component.ordinals[index]) if known else words.number(part.value)
    else:
        number = quantity(part.component, part.value, words)
    name = part.component.sv if words.language is Language.SV else part.component.en
    return f"{name} {number}"


def absent(reason: str | None, words: Words) -> str:
    """Return why a sample has no number."""
    return {
        "nan": words.text("apparaten fick inget värde"),
        "nres": words.text("utanför apparatens upplösning"),
    }.get(reason or "", words.text("apparaten gav inget tal"))


DOUBTFUL_TIME = "estimated"


def how(measured_how: str, *, is_manual: bool, words: Words) -> str:
    """Return how the time of measuring is known, or nothing when the device itself said it."""
    if is_manual:
        return words.text("tid enligt den som skrev in")
    return {
        "corrected": words.text("apparatens klocka rättad"),
        "gateway": words.text("mottagarens klocka"),
        "estimated": words.text("uppskattad tid"),
    }.get(measured_how, "")


def outcomes(words: Words) -> list[tuple[str, str]]:
    """Return what an alert can come to, in the order a nurse meets them."""
    return [
        (
            one.value,
            OUTCOME_TEXTS[one].sv if words.language is Language.SV else OUTCOME_TEXTS[one].en,
        )
        for one in _OUTCOMES
    ]


def outcome_name(code: str, words: Words) -> str:
    """Return an outcome in words; one without words as its code."""
    return dict(outcomes(words)).get(code, code)


def source(why: str, words: Words) -> str:
    """Return where a rule's figures come from, in the reader's language.

    The rules write it in Swedish; one without its English in the catalogue is shown as written.
    """
    return words.text(why)


def protected_name(public_id: UUID, words: Words) -> str:
    """Return what stands in lists instead of the name of a person with protected identity."""
    return words.text("Skyddad identitet %(handle)s", handle=handle_of(public_id))


def todo(severity: str, *, is_technical: bool, words: Words) -> str:
    """Return what to do, without a diagnosis and without a dose. Red says how to escalate."""
    if is_technical:
        return words.text("Ring hem eller åk förbi: kontrollera ström, batteri och täckning.")
    if severity == "red":
        return words.text(
            "Kontakta personen nu och be om en ny mätning. Svårt sjuk eller inget svar: ring 112."
        )
    return words.text("Kontakta personen i dag. Be om en ny mätning i vila.")


def event(name: str, by: str | None, words: Words) -> str:
    """Return one line of an alert's history."""
    who = by or words.text("systemet")
    said = {
        "fired": words.text("Larmet utlöstes"),
        "extended": words.text("Fler värden i samma larm"),
        "raised": words.text("Larmet blev allvarligare"),
        "recovered": words.text("Värdet kom tillbaka innanför gränsen"),
        "evidence_changed": words.text("Ett värde i larmet hör inte längre till personen"),
        "taken": words.text("%(name)s tog larmet", name=who),
        "released": words.text("%(name)s släppte larmet", name=who),
        "noted": words.text("%(name)s antecknade", name=who),
        "closed": words.text("%(name)s avslutade larmet", name=who),
        "closed_itself": words.text("Larmet avslutades av sig självt: felet är borta"),
    }
    return said.get(name, f"{name} ({who})")


def component(number: int) -> Component:
    """Return a component by the number the database holds."""
    return COMPONENTS[number]


def kind(number: int | None) -> Kind | None:
    """Return a kind by the number the database holds."""
    return _KINDS_BY_NUMBER.get(number or 0)


def parts_of(
    ids: Iterable[int],
    values: Iterable[float | None],
    absents: Iterable[str | None],
    flags: Set[str] = frozenset(),
) -> list[Part]:
    """Put a row's arrays together; ``flags`` are the measurement's."""
    rows = zip(ids, values, absents, strict=True)
    return [
        Part(COMPONENTS[number], value, why, beyond_range(why, flags))
        for number, value, why in rows
    ]
