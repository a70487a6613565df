"""One link with one device, as events in and commands out.

In reading order: ``commands`` (what is said), ``session`` (a link), ``order``, then its parts:
``clock``, ``sensor_session``, ``users``, ``records`` with ``record_numbers``.
"""

from __future__ import annotations

from devices.conversation.commands import (
    EVENTS,
    Command,
    Connected,
    Consent,
    Disconnected,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Notified,
    Pair,
    Paired,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
)
from devices.conversation.session import Conversation, Ending, numbered

__all__ = [
    "EVENTS",
    "Command",
    "Connected",
    "Consent",
    "Conversation",
    "Disconnected",
    "Ending",
    "Event",
    "HangUp",
    "Keep",
    "Moment",
    "NoteClock",
    "NoteEvent",
    "NoteSequence",
    "Notified",
    "Pair",
    "Paired",
    "Read",
    "ReadValue",
    "Subscribe",
    "Subscribed",
    "Tick",
    "WriteValue",
    "Written",
    "numbered",
]
