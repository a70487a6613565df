"""What is said about one link: events in, commands out, and nothing else.

Characteristics are 16-bit UUIDs as four upper-case hex digits, a maker's own as 36 lower-case ones.
This module imports nothing of its package, so that a maker's protocol may use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: a monotonic clock in seconds and the local wall time (naive).

    ``local`` is None where whoever asks does not know what time it is; then no clock is set by it.
    """

    mono_s: float
    local: datetime | None


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up and discovery done, with these characteristics.

    ``bonded`` is True only where the platform is sure; pairing a bonded device does nothing.
    """

    characteristics: frozenset[str]
    bonded: bool


@dataclass(frozen=True, slots=True)
class Paired:
    """Answer to :class:`Pair`: whether the link is bonded and encrypted now."""

    ok: bool


@dataclass(frozen=True, slots=True)
class Read:
    """Answer to :class:`ReadValue`; ``raw`` is None where the device refused or the time was up.

    Then ``is_answered`` is False where the time was up.
    """

    characteristic: str
    raw: bytes | None
    is_answered: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """Answer to :class:`WriteValue`; ``error`` is the ATT error code of a refusal where known."""

    characteristic: str
    ok: bool
    error: int | None = None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Answer to :class:`Subscribe`."""

    characteristic: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Notified:
    """The device sent a value, and it is durably kept already (``kept``), or could not be."""

    characteristic: str
    raw: bytes
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone, whoever ended it."""


Event = Connected | Paired | Read | Written | Subscribed | Notified | Tick | Disconnected


@dataclass(frozen=True, slots=True)
class Pair:
    """Bond, or encrypt with the bond there is."""


@dataclass(frozen=True, slots=True)
class ReadValue:
    """Read this characteristic."""

    characteristic: str


@dataclass(frozen=True, slots=True)
class WriteValue:
    """Write ``raw`` with response."""

    characteristic: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask for indications or notifications."""

    characteristic: str


@dataclass(frozen=True, slots=True)
class NoteClock:
    """How far the device's clock is ahead of ours (negative: behind); None: it was never set."""

    offset_s: float | None


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep a value that was read (a notified value is kept before it comes here)."""

    characteristic: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class NoteSequence:
    """All records of ``characteristic`` up to ``number`` are kept; None: numbering began anew.

    ``proof`` are bytes that show next time whether the numbering is still the same one: keep them
    beside the number and hand both to the next conversation as they are.
    """

    characteristic: str
    number: int | None
    proof: bytes | None = None


@dataclass(frozen=True, slots=True)
class NoteEvent:
    """A fact about measuring that is no measurement: ``what`` is one word, ``detail`` a sentence.

    ``what`` is one of EVENTS.
    """

    what: str
    detail: str

    def __post_init__(self) -> None:
        """Check that the word is one that others know."""
        assert self.what in EVENTS, "an event has a known name"


@dataclass(frozen=True, slots=True)
class Pause:
    """A maker's protocol has nothing left to ask that a value comes by: only :mod:`devices.vendor`.

    The conversation puts a read that no value needs (the battery) in its place.
    """


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the link from our side."""


Command = (
    Pair | ReadValue | WriteValue | Subscribe | NoteClock | NoteSequence | NoteEvent | Keep | HangUp
)

EVENTS = frozenset(
    {
        "clock_refused",
        "consent_missing",
        "consent_refused",
        "measurement_failed",
        "numbering_restarted",
        "records_missing",
        "records_refused",
        "sensor_stopped",
        "session_unknown",
        "unknown_user",
    }
)
"""What a :class:`NoteEvent` may say happened."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Which user of a device the person at home is, and the code that opens that user's data."""

    user_index: int
    code: int
