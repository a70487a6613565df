"""What real devices do wrong, as switches: ``device.faults = Faults(...)`` at any time.

Each names where it was seen. A fault stays on until it is switched off, except those that say
"once". Where no public report is named, the fault follows from the specification that is named or
is plausible and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

USER_UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class Faults:
    """The switches; :meth:`names` lists them. None or False is "as designed"."""

    window_s: float | None = None
    """Advertises only so long. Cuffs: 10 to 60 s after a measurement, then deep sleep."""

    bond_required: bool = False
    """Answers nothing of its own without encryption, whatever its design says. A&D UA-651BLE."""

    passkey: int | None = None
    """Shows these six digits when it pairs and bonds with nobody else. Contour Next One, Beurer."""

    needs_pairing_mode: bool = False
    """Refuses every pairing while its button is not held, the first one too. A&D's "Pr" display."""

    forgets_bond: bool = False
    """Once, before its next link: the bond is gone, as after a reset or a change of battery."""

    remembers_subscription: bool = False
    """Sends 20 ms after encryption to whom it is bonded with, without a new subscription (F2)."""

    clock_error: timedelta = timedelta(0)
    """Its clock is wrong by this until it is set: an hour (daylight saving), a year."""

    clock_absent: bool = False
    """Its clock was never set, until it is: year 0 in the clock and in every time stamp."""

    refuses_clock: bool = False
    """Answers a write of its clock with "write not permitted". Devices that only a key sets."""

    duplicate_records: int = 0
    """Sends so many of its last confirmed records again at each link. A&D, Beurer, Medisana."""

    nan_values: bool = False
    """The measurement failed: every value is NaN, the time stands. A cuff put on badly."""

    other_user: int | None = None
    """The values are this user's; 255 is "unknown user". Cuffs and scales for two and more."""

    battery_percent: int | None = None
    """The battery has only so much left."""

    lose_link_after: int | None = None
    """The link breaks after so many records, in each link. Out of reach, half-way through."""

    lose_confirmation: bool = False
    """Once: the link breaks before the confirmation of a record is back; it is sent again."""

    services_incomplete: bool = False
    """Once: no measurement to be found in its next link; Service Changed in the one after (F3)."""

    slow_answers_s: float = 0.0
    """Takes so long for each answer. Slow controllers, long connection intervals."""

    unanswered: str | None = None
    """Never answers at this characteristic, and so nothing after it either; plausible."""

    refuses_writes: bool = False
    """Answers writes at its control points with an error. CCCD "improperly configured" and such."""

    hangs_up_after_s: float | None = None
    """Hangs up so long after the link came, whatever is going on. A&D: 30 s; scales: 10 s."""

    never_hangs_up: bool = False
    """Leaves it to the other side to hang up, and holds the link for ever. Oximeters at rest."""

    stays_silent: bool = False
    """Lets itself be linked and subscribed to, and then says nothing at all."""

    numbering_restarted: bool = False
    """Once, with the next record: the memory is empty and numbers begin anew. Change of battery."""

    cannot_filter: bool = False
    """Knows no operator but "all records". Some meters, though the Glucose Service demands it."""

    is_busy: bool = False
    """Answers requests for records with "server busy"."""

    withholds_records: int = 0
    """Counts so many records more than it sends."""

    aborts_late: bool = False
    """Goes on sending after an abort until the report is complete; plausible, no report known."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the switches that are on."""
        return tuple(
            name for name in self.__slots__ if getattr(self, name) != getattr(NO_FAULTS, name)
        )


NO_FAULTS = Faults()
