"""What makes an item itself, beside its ``uid``: two items with one uid are the same, or one lies.

A uid that was seen before means "the same again" only if the rest agrees; else a value would be
acknowledged that nobody keeps. So each uid is stored with a fingerprint of:

- with raw bytes: type, device, characteristic, bytes. What was decoded from them, and when it was
  measured, does not count: both may be corrected later, and the bytes say it again.
- a value without raw bytes: device, kind, samples.
- an event: also what happened, to which value, and its context.
- a clock or retract item: the fact it states.
- what a person entered: patient, who did, kind, samples, time and note.

Stored rows carry it: a change here needs a new column. A test holds it fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from devices.wire import Item
from server.store.arrays import uuids
from server.store.database import Transaction

FINGERPRINT_BYTES = 16


def fingerprint(item: Item, *, device: str | None, entered: tuple[int, int] | None = None) -> bytes:
    """Return 16 bytes that are equal for the same item, whichever way and whenever it comes.

    ``device`` is the name it is stored under; ``entered`` the patient and the member of staff of
    what a person entered.
    """
    said = [item.type, device, *_facts(item, entered)]
    encoded = msgspec.json.encode(said, order="deterministic")
    return sha256(encoded).digest()[:FINGERPRINT_BYTES]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Positions: ``new`` of the items that are the first of their uid, ``conflicts`` of others."""

    new: tuple[int, ...]
    conflicts: tuple[int, ...]


async def claim(
    tx: Transaction, items: Sequence[tuple[Item, bytes]], *, stored_at: datetime
) -> Claimed:
    """Claim the uid of each item for its fingerprint; what is neither new nor in conflict is known.

    Of several items with one new uid the first has it.
    """
    first: dict[str, int] = {}
    for position, (item, _) in enumerate(items):
        first.setdefault(item.uid, position)
    # Sorted: two workers with the same uids wait for each other instead of deadlocking.
    uids = sorted(first)
    prints = [items[first[uid]][1] for uid in uids]
    keys = uuids(bytes.fromhex(uid) for uid in uids)
    cursor = await tx.execute(_CLAIM, (stored_at, keys, prints))
    new = {uid.hex for (uid,) in await cursor.fetchall()}
    holders: dict[str, bytes | None] = dict(zip(uids, prints, strict=True))
    if known := [uid for uid in uids if uid not in new]:
        cursor = await tx.execute(_HOLDERS, (known,))
        holders |= {uid.hex: stored for uid, stored in await cursor.fetchall()}
    return Claimed(
        # In the order of arrival, which becomes the server's order of what is stored.
        new=tuple(sorted(first[uid] for uid in new)),
        conflicts=tuple(
            position
            for position, (item, mine) in enumerate(items)
            if is_other(item, mine, holders[item.uid])
        ),
    )


def is_other(item: Item, mine: bytes, stored: bytes | None) -> bool:
    """Tell whether ``item`` (fingerprint ``mine``) is another than the one stored under its uid.

    A tombstone never is: it says that a row could not be sent, and here something of it has come.
    Uids from before there were fingerprints (``stored`` None) count as the same.
    """
    return item.type != "tombstone" and stored is not None and stored != mine


def _facts(item: Item, entered: tuple[int, int] | None) -> list[object]:
    if entered is not None:
        return [*entered, item.kind, _samples(item), _utc(item.t), item.ctx]
    if item.type == "clock":
        return [item.boot and item.boot.lower(), item.mono_ms, _utc(item.utc), item.q]
    if item.type in ("retract", "tombstone"):
        return [item.of]
    happened = [item.event, item.of]
    if item.raw is not None:
        return [*happened, item.char, item.raw.lower()]
    context = item.ctx if item.type == "event" else {}
    return [*happened, item.kind, _samples(item), context]


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)


def _samples(item: Item) -> list[tuple[str, float | None, str | None]]:
    return sorted(
        (sample.code, None if sample.value is None else float(sample.value), sample.absent)
        for sample in item.samples
    )


_CLAIM = """
INSERT INTO item_uid (uid, stored_at, identity)
SELECT n.uid, %s, n.identity
FROM unnest(%s::uuid[], %s::bytea[]) WITH ORDINALITY AS n (uid, identity, position)
ORDER BY n.position
ON CONFLICT DO NOTHING RETURNING uid
"""

_HOLDERS = "SELECT uid, identity FROM item_uid WHERE uid = ANY(%s::uuid[])"
