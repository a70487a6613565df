"""What a virtual device does while somebody is linked: the seam, and the record it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from devices.virtual.design import Values

if TYPE_CHECKING:
    from devices.virtual.visit import Visit


@dataclass(slots=True)
class Record:
    """One value that the device keeps.

    ``more`` goes with it under other characteristics, ``number`` is what records are asked for by.
    ``confirmed_at`` and ``confirmed_mono_s`` are the place's clocks when the other side's ATT
    confirmation came, None where none came; ``delivered`` says what the device believes.
    """

    raw: bytes
    more: tuple[tuple[str, bytes], ...] = ()
    number: int = 0
    user: int | None = None
    delivered: bool = False
    confirmed_at: datetime | None = None
    confirmed_mono_s: float | None = None


class Behaviour(Protocol):
    """One device's way of keeping and delivering values."""

    @property
    def undelivered(self) -> list[Record]:
        """What the device believes nobody has fetched, oldest first."""

    def store(self, values: Values, stamp: datetime | None) -> Record:
        """Keep a value as undelivered; the oldest goes where the memory is full."""

    def read(self, uuid: str) -> bytes | None:
        """Return what is read at that characteristic, None where it is not this one's."""

    def write(self, uuid: str, raw: bytes, visit: Visit) -> bool:
        """Take a write; False where it is not this one's. Raises ``ATT_Error`` to refuse."""

    async def serve(self, visit: Visit) -> None:
        """Do what there is to do on this link; the device hangs up when it returns."""
