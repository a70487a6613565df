"""The seam for makers' own protocols: what a conversation lets one do.

Some devices do not send by themselves: they want to be asked, in the maker's own words. An exchange
asks and listens within one link. It is driven by :class:`devices.conversation.Conversation`, after
that has subscribed, and answers with the same commands; it waits for nothing and has no clock.

What a device notifies is in the journal before an exchange hears of it. A frame that is only part
of a record decodes to fields; the record, put together from its frames as they came, is handed
over with :class:`~devices.conversation.commands.Keep` and decodes to a measurement. So each record
becomes one row, and nothing is lost that the device said. An exchange deletes nothing on a device.
"""

from __future__ import annotations

from typing import Protocol

from devices.conversation.commands import (
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Pause,
    WriteValue,
)

Step = WriteValue | Keep | NoteClock | NoteSequence | NoteEvent | Pause
"""What an exchange may ask for; the conversation keeps pairing, subscribing and hanging up.

A Pause says when the conversation may read what no value needs, such as the battery: a question
that the device leaves unanswered would else stand before those of the exchange.
"""

Steps = tuple[Step, ...]


class Exchange(Protocol):
    """One link's talk in a maker's own protocol.

    ``begin`` comes once, after the subscriptions. Every other call may come at any moment after it,
    also a frame before the answer to the write that asked for it. Each returns what to do, in
    order. When ``is_done`` the conversation hangs up, once what it was asked for is carried out.
    """

    @property
    def is_done(self) -> bool:
        """Tell whether there is nothing left to ask."""

    def begin(self, now: Moment) -> Steps:
        """Begin to ask."""

    def heard(self, characteristic: str, raw: bytes, now: Moment) -> Steps:
        """Take a notified value, which is durably kept already."""

    def written(self, characteristic: str, is_ok: bool, now: Moment) -> Steps:
        """Take the answer to a write of this exchange."""

    def tick(self, now: Moment) -> Steps:
        """Take the passing of time: about once a second, and the only source of deadlines."""
