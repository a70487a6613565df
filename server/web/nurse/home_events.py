"""What happened around measuring at home, as a nurse would say it, and what to do about it.

No advice about treatment: what is to be done concerns the measuring only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from server.auth.gate import Visit
from server.store import home_events
from server.store.home_events import HomeEvent
from server.web.nurse import flags, sayings
from server.web.words import Words

ROWS_MAX = 30


@dataclass(frozen=True, slots=True)
class Saying:
    """What happened; ``todo`` is what somebody has to do about it, if anything."""

    text: str
    todo: str = ""


_LOOK_IN_METER = "Jämför med värdena i mätarens minne vid nästa besök."

SAYINGS: Mapping[str, Saying] = MappingProxyType(
    {
        "value_may_be_lost": Saying(
            "Ett värde kan ha gått förlorat när mätaren lästes av.", "Be om en ny mätning."
        ),
        "measurement_failed": Saying(
            "Mätningen misslyckades i mätaren.",
            "Be om en ny mätning om inget värde har kommit sedan dess.",
        ),
        "unknown_user": Saying("Mätaren vet inte vem värdet gäller.", "Ta reda på vem som mätte."),
        "records_missing": Saying("Alla värden i mätarens minne kom inte med.", _LOOK_IN_METER),
        "records_refused": Saying("Mätaren lämnade inte ut sina sparade värden.", _LOOK_IN_METER),
        "numbering_restarted": Saying(
            "Mätarens minne eller numrering har börjat om. Alla värden i minnet hämtas igen."
        ),
        "consent_missing": Saying(
            "Mätaren har flera användare och det är inte angivet vem personen är. "
            "Värdena i minnet hämtas inte.",
            "Be den som sköter utrustningen att ange användare och kod.",
        ),
        "consent_refused": Saying(
            "Mätaren godtog inte personens användare och kod. Värdena i minnet hämtas inte.",
            "Be den som sköter utrustningen att kontrollera användare och kod.",
        ),
        "clock_refused": Saying(
            "Mätarens klocka går fel och gick inte att ställa härifrån.",
            "Ställ klockan i mätaren vid nästa besök.",
        ),
        "sensor_stopped": Saying(
            "Glukossensorn har slutat mäta.", "Kontrollera om sensorn ska bytas."
        ),
        "session_unknown": Saying(
            "Glukossensorn uppger inte när den startades. Värdena i dess minne hämtas inte.",
            "Kontrollera att sensorn är startad.",
        ),
        "glucose_context": Saying(
            "Uppgifter om måltid, motion eller läkemedel kom efter sitt blodsockervärde."
        ),
        "resend": Saying("Mottagaren har sänt sparade värden en gång till."),
    }
)
"""Every event that a gateway can send, in Swedish."""

DETAILS: Mapping[str, str] = MappingProxyType(
    {
        r"(?P<missing>\d+) of (?P<all>\d+) records": "%(missing)s av %(all)s värden saknas",
        r"(?P<left>\d+) older records stay .*": "äldre värden kvar i mätaren: %(left)s",
        r"user (?P<user>\d+): .*": "användare %(user)s",
        "the first link after Bluetooth was started anew": (
            "första kontakten efter att Bluetooth startats om"
        ),
        "the meter does not say what model it is": "mätaren uppger inte sin modell",
        "the meter does not say how many records it has": (
            "mätaren uppger inte hur många värden den har"
        ),
        "the meter does not say .*": "mätaren svarade inte på allt om sitt minne",
        "the meter measured while it was read": "någon mätte medan minnet lästes",
        "the meter stopped answering .*": "mätaren slutade svara medan minnet lästes",
        "the last known record .*": ("det senaste kända värdet finns inte i mätaren"),
        "the meter's clock went back": "mätarens klocka har gått bakåt",
        # The sentence itself says it already, or nobody but a technician can use it.
        "no user and code are stored for this device": "",
        "a clock that is far off or unset cannot be set": "",
        "the meter did not take the time": "",
        "the sensor does not say when it was started": "",
        "the sensor says that its session has ended": "",
        "the device does not say whose value it is": "",
        "the last record is number .*": "",
        r"record \d+ is not the one that is kept": "",
        "stored records: .*": "",
    }
)
"""What a gateway tells beside an event (a pattern for the whole of it; the first counts)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Equal events in words. ``first_at`` is None where they have one time only.

    ``ending`` of the device's address tells two of the same model apart; ``notes`` are what is
    known of the newest one.
    """

    at: datetime
    first_at: datetime | None
    times: int
    how: str
    is_time_doubtful: bool
    device: str
    ending: str
    kind: str
    text: str
    todo: str
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """What the page lists; ``has_more`` where that is not all of it."""

    events: Sequence[Shown]
    has_more: bool

    @property
    def asks(self) -> bool:
        """Return whether somebody has something to do."""
        return any(one.todo for one in self.events)


async def listed(visit: Visit, patient_id: int, words: Words) -> Listed:
    """Return what happened at the person's home lately. The visit writes the access log."""
    rows = await home_events.of_patient(
        visit.tx, visit.reach, patient_id, at=visit.at, limit=ROWS_MAX + 1
    )
    return Listed([_shown(row, words) for row in rows[:ROWS_MAX]], len(rows) > ROWS_MAX)


def what(event: str, words: Words) -> str:
    """Return an event as a sentence; one that has none is shown as it came, never hidden."""
    said = SAYINGS.get(event)
    if said is None:
        return words.text("Okänd händelse: %(name)s", name=event.replace("_", " "))
    return words.text(said.text)


def _shown(row: HomeEvent, words: Words) -> Shown:
    said = SAYINGS.get(row.event)
    kind = sayings.kind(row.kind_id)
    return Shown(
        at=row.at,
        first_at=None if row.first_at == row.at else row.first_at,
        times=row.times,
        how=sayings.how(row.measured_how, is_manual=False, words=words),
        is_time_doubtful=row.measured_how == sayings.DOUBTFUL_TIME,
        device=row.model or words.text("okänd apparat"),
        ending=f"…{row.device[-4:].upper()}" if row.device else "",
        kind=sayings.kind_name(kind, words).lower() if kind else "",
        text=what(row.event, words),
        todo=words.text(said.todo) if said and said.todo else "",
        notes=_notes(row, words),
    )


def _notes(row: HomeEvent, words: Words) -> list[str]:
    # Of a failed measurement the flags say why, such as a loose cuff.
    notes = [flags.saying(one, words) for one in row.flags if one != row.event]
    told = row.context.get("detail")
    detail = detail_of(told, words) if isinstance(told, str) else ""
    return [*notes, detail] if detail else notes


def detail_of(told: str, words: Words) -> str:
    """Return what was told beside an event in words; what has none as it came, never hidden."""
    for pattern, said in DETAILS.items():
        if found := re.fullmatch(pattern, told):
            return words.text(said, **found.groupdict()) if said else ""
    return told
