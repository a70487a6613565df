"""Which record is which, across replays, resends and restarts (contract.md 1, ``uid``).

The exact bytes hashed, so that another implementation gets the same:

- by record: ``dev`` in UTF-8, then ``char`` in UTF-8 as it travels, then the record's index within
  the characteristic value as 4 bytes big-endian (0 for the only one), then the raw bytes;
- by row: the boot id in UTF-8 in lower case with its hyphens, then ``seq`` as 8 bytes big-endian.

The uid is the first 16 bytes of the SHA-256 in lower-case hex. It can be guessed by who knows the
value, so it is personal data: never in a log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

UID_BYTES = 16
# A device that lost its battery starts in 2000 or 2010 or so: such a time is no time.
DEVICE_YEAR_MIN = 2020


@dataclass(frozen=True, slots=True)
class Identity:
    """An item's ``uid``, and whether it must carry the flag ``possible_repeat``."""

    uid: str
    is_possible_repeat: bool


def record_uid(dev: str, char: str, record_index: int, raw: bytes) -> str:
    """Return the uid of a record that carries its own number or a device time to be trusted."""
    index = record_index.to_bytes(4, "big")
    return _short(dev.encode() + char.encode() + index + raw)


def row_uid(boot: str, seq: int) -> str:
    """Return the uid of a row that nothing but its place in the outbox identifies."""
    return _short(boot.lower().encode() + seq.to_bytes(8, "big"))


def is_trusted_time(device_time: datetime | None, last_other: datetime | None) -> bool:
    """Tell whether a device's time can identify its record.

    ``last_other`` is the time of this device's last record with other bytes, None if there is none.
    A clock that did not move on was reset or stands still, and its times come again.
    """
    if device_time is None or device_time.year < DEVICE_YEAR_MIN:
        return False
    return last_other is None or device_time > last_other


def uid_for(
    *,
    record: str,
    row: str,
    is_numbered: bool,
    is_time_trusted: bool,
    is_seen_before: bool = False,
) -> Identity:
    """Choose between a record's own uid and its row's, by the contract's rule.

    ``record`` and ``row`` come from :func:`record_uid` and :func:`row_uid`; ``is_numbered`` where
    the device gave a sequence number; ``is_time_trusted`` from :func:`is_trusted_time`;
    ``is_seen_before`` where the same bytes came from this device earlier.
    """
    if is_numbered or is_time_trusted:
        return Identity(record, is_possible_repeat=False)
    return Identity(row, is_possible_repeat=is_seen_before)


def seq_ranges(seqs: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return ``seqs`` as ascending inclusive ranges, as an ack's ``stored`` wants them."""
    ranges: list[tuple[int, int]] = []
    ordered = sorted(set(seqs))
    if ordered and ordered[-1] - ordered[0] == len(ordered) - 1:
        return ((ordered[0], ordered[-1]),)
    for seq in ordered:
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return tuple(ranges)


def _short(message: bytes) -> str:
    return sha256(message).digest()[:UID_BYTES].hex()
