"""Which maker's protocol a profile's ``vendor`` means."""

from __future__ import annotations

from devices.vendor.exchange import Exchange
from devices.vendor.nonin import SpotCheck
from devices.vendor.taidoc import Reading

VENDORS = frozenset({"nonin", "taidoc"})
"""What :attr:`devices.profiles.Profile.vendor` may say."""


def exchange(vendor: str, last_sequence: int | None = None, proof: bytes | None = None) -> Exchange:
    """Return a new exchange for one link, in the protocol called ``vendor``.

    ``last_sequence`` and ``proof`` are those of the last
    :class:`~devices.conversation.NoteSequence` for the device, None where there was none.
    ValueError where no protocol has that name.
    """
    match vendor:
        case "nonin":
            return SpotCheck()
        case "taidoc":
            return Reading(last_sequence, proof)
        case _:
            raise ValueError(f"no maker's protocol is called {vendor!r}")
