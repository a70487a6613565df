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

Uids are claimed in epochs (docs/decisions/0017). Nobody claims while an epoch ends, so that a uid
is claimed once in all of them (``claims.py``): what was claimed in an earlier one is found before,
also where that one was pruned (``uid_runs.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from devices import wire
from devices.wire import Item
from server.store.database import Transaction

FINGERPRINT_BYTES = 16
# Uids are kept in epochs, so that the part of the index that is written stays small: a week, as
# long as a home keeps what was acknowledged, or so many items.
EPOCH_AGE = timedelta(days=wire.RESEND_DAYS_MAX)
EPOCH_ITEMS = 20_000_000
# What is dated later than this after its arrival has a wrong clock; its uid is looked for always.
AHEAD_MAX = timedelta(minutes=10)
# A record that comes again may be dated anew, by another offset, zone or summer time.
CLOCKS_DIFFER_MAX = timedelta(days=1)
# The same for what the device's own clock says, in whatever zone; the hour is for servers' clocks.
DEVICE_AHEAD_MAX = CLOCKS_DIFFER_MAX - timedelta(hours=1)

_ENCODER = msgspec.json.Encoder(order="deterministic")


def fingerprint(item: Item, *, device: str | None, entered: tuple[int, int] | None = None) -> bytes:
    """Return 16 bytes that are equal for the same item, whichever way and whenever it comes.

    ``device`` is the name it is stored under; ``entered`` the patient and the member of staff of
    what a person entered.
    """
    said = [item.type, device, *_facts(item, entered)]
    return sha256(_ENCODER.encode(said)).digest()[:FINGERPRINT_BYTES]


async def turn_epoch(tx: Transaction, *, at: datetime) -> bool:
    """Begin a new epoch where the last one is old or full enough; return whether it was.

    The caller has its turn alone: all that was claimed is committed, and all will see the new one.
    """
    cursor = await tx.execute(_TURN, {"at": at, "age": EPOCH_AGE, "items": EPOCH_ITEMS})
    return cursor.rowcount > 0


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


_TURN = """
WITH due AS (
    SELECT e.epoch, s.last_value AS seq FROM uid_epoch e CROSS JOIN received_seq s
    WHERE e.until IS NULL AND e.epoch > 0
      AND (e.since <= %(at)s - %(age)s::interval OR s.last_value - e.first_seq >= %(items)s)
), ended AS (
    UPDATE uid_epoch e SET until = %(at)s FROM due WHERE e.epoch = due.epoch
)
INSERT INTO uid_epoch (epoch, since, first_seq) SELECT epoch + 1, %(at)s, seq FROM due
"""
