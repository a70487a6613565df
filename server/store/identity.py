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
is claimed once in all of them: what was claimed in an earlier one is found before, also where that
one was pruned (``uid_runs.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import msgspec

from devices import wire
from devices.wire import Item
from server.store.arrays import array, microseconds, nullable_times, uuids
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
# PostgreSQL's -infinity.
_LONG_AGO = -(2**63)


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


class _Page(NamedTuple):
    """Where uids are claimed now; ``last_until`` is when the epoch before ended, if there was one.

    ``has_ahead``: there are uids of values that were dated later than they came.
    """

    epoch: int
    last_until: datetime | None
    has_ahead: bool


class _Claimant(NamedTuple):
    """One uid of a batch with the first item that has it; ``is_ahead``: see :func:`is_ahead`."""

    uid: bytes
    position: int
    item: Item
    identity: bytes
    is_ahead: bool


async def claim(
    tx: Transaction, items: Sequence[tuple[Item, bytes]], *, stored_at: datetime
) -> Claimed:
    """Claim the uid of each item for its fingerprint; what is neither new nor in conflict is known.

    Of several items with one new uid the first has it. The caller has its turn
    (``corrections.take_turn``), alone where :func:`is_ahead` holds for an item.
    """
    first: dict[str, _Claimant] = {}
    for position, (item, mine) in enumerate(items):
        if item.uid not in first:
            ahead = is_ahead(item, stored_at)
            first[item.uid] = _Claimant(bytes.fromhex(item.uid), position, item, mine, ahead)
    # Sorted: two workers with the same uids wait for each other instead of deadlocking.
    claimants = [first[uid] for uid in sorted(first)]
    known = await _known(tx, claimants, stored_at)
    positions = tuple(sorted(one.position for one in claimants if one.uid not in known))
    if not known and len(first) == len(items):
        return Claimed(positions, ())
    holders = {uid: known.get(one.uid, one.identity) for uid, one in first.items()}
    return Claimed(
        # In the order of arrival, which becomes the server's order of what is stored.
        new=positions,
        conflicts=tuple(
            position
            for position, (item, mine) in enumerate(items)
            if is_other(item, mine, holders[item.uid])
        ),
    )


def is_ahead(item: Item, stored_at: datetime) -> bool:
    """Tell whether a value is dated later than it came, so that its time says nothing of when.

    Its device's clock counts too, where the gateway knew better: when the record comes again, that
    time may have passed, and somebody may believe it.
    """
    if item.t is not None and item.t > stored_at + AHEAD_MAX:
        return True
    dev_t = item.dev_t
    return dev_t is not None and dev_t.replace(tzinfo=UTC) > stored_at + DEVICE_AHEAD_MAX


async def turn_epoch(tx: Transaction, *, at: datetime) -> bool:
    """Begin a new epoch where the last one is old or full enough; return whether it was.

    The caller has its turn alone: all that was claimed is committed, and all will see the new one.
    """
    cursor = await tx.execute(_TURN, {"at": at, "age": EPOCH_AGE, "items": EPOCH_ITEMS})
    return cursor.rowcount > 0


async def _known(
    tx: Transaction, claimants: Sequence[_Claimant], stored_at: datetime
) -> dict[bytes, bytes | None]:
    """Claim what can be claimed; return the fingerprints of those uids that were taken."""
    row = await (await tx.execute(_PAGE)).fetchone()
    assert row is not None, "there is always an epoch"
    page = _Page(*row)
    known = await _claimed_earlier(tx, claimants, page)
    wanted = [one for one in claimants if one.uid not in known] if known else claimants
    if not wanted:
        return known
    cursor = await tx.execute(
        _CLAIM,
        {
            "uids": uuids(one.uid for one in wanted),
            "identities": uuids(one.identity for one in wanted),
            "times": nullable_times([_row_time(one.item) for one in wanted]),
            "epochs": array("int2", [0 if one.is_ahead else page.epoch for one in wanted]),
            "count": len(wanted),
            "stored_at": stored_at,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    count, new = row
    if count < len(wanted):
        mine = {uid.bytes for uid in new or ()}
        lost = [one.uid for one in wanted if one.uid not in mine]
        cursor = await tx.execute(_HOLDERS, {"uids": uuids(lost), "epoch": page.epoch})
        known |= {uid.bytes: _bytes(held) for uid, held in await cursor.fetchall()}
    return known


async def _claimed_earlier(
    tx: Transaction, claimants: Sequence[_Claimant], page: _Page
) -> dict[bytes, bytes | None]:
    """Return the fingerprints of those uids that were claimed in another epoch than they will be.

    Nothing is claimed before it is measured. So a value whose times are known is looked for only
    in the epochs that had not ended then: most values in none. What is dated ahead will be claimed
    in epoch 0, so it is looked for in the last epoch, too. Of a pruned epoch its runs are asked.
    """
    sought = [
        (one.uid, since, one.is_ahead)
        for one in claimants
        if (since := None if one.is_ahead else _not_before(one.item)) is None
        or page.has_ahead
        or (page.last_until is not None and since < page.last_until)
    ]
    ahead = [is_one for _, _, is_one in sought]
    if not sought or not (page.last_until is not None or page.has_ahead or any(ahead)):
        return {}
    times = [_LONG_AGO if time is None else microseconds(time) for _, time, _ in sought]
    values = {
        "uids": uuids(uid for uid, _, _ in sought),
        "since": array("timestamptz", times),
        "ahead": array("bool", ahead),
    }
    cursor = await tx.execute(_EARLIER, values)
    return {uid.bytes: _bytes(held) for uid, held in await cursor.fetchall()}


def _not_before(item: Item) -> datetime | None:
    """Return when an item that is not ahead cannot have come yet; None where its times say nothing.

    A record that comes again out of its device's memory may be dated anew: by the gateway's clock,
    where the device's own is far from it. What the device said of the time is the same each time.
    """
    t, gw_t = item.t, item.gw_t
    if t is None or gw_t is None or item.gw_q != "ntp" or item.tq == "estimated":
        return None
    first = min(t, gw_t)
    if item.dev_t is not None:
        if item.dev_t.year < wire.DEVICE_YEAR_MIN:
            return None
        first = min(first, item.dev_t.replace(tzinfo=UTC))
    elif item.dev_seq is not None:
        return None
    return first - CLOCKS_DIFFER_MAX


def _row_time(item: Item) -> int | None:
    """Return the time under which the item's row is found; None: it has no row."""
    if item.t is None or item.type not in ("value", "event"):
        return None
    return microseconds(item.t)


def _bytes(identity: UUID | None) -> bytes | None:
    return None if identity is None else identity.bytes


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


_PAGE = """
SELECT epoch, (SELECT max(until) FROM uid_epoch), EXISTS (SELECT FROM item_uid WHERE epoch = 0)
FROM uid_epoch WHERE until IS NULL AND epoch > 0
"""

# OFFSET 0 keeps the planner from reading whole epochs. One statement: a uid that is being packed
# stands in one of both places in each snapshot.
_EARLIER = """
SELECT w.uid, i.identity
FROM unnest(%(uids)s::uuid[], %(since)s::timestamptz[], %(ahead)s::bool[])
    AS w (uid, since, is_ahead)
JOIN uid_epoch e ON CASE WHEN e.epoch = 0 THEN true
                         WHEN e.until IS NULL THEN w.is_ahead
                         ELSE e.until > w.since END
CROSS JOIN LATERAL (
    (SELECT i.identity FROM item_uid i
     WHERE e.pruned_at IS NULL AND i.epoch = e.epoch AND i.uid = w.uid OFFSET 0)
    UNION ALL
    SELECT r.identities[array_position(r.uids, w.uid)]
    FROM (SELECT r.uids, r.identities FROM uid_run r
          WHERE e.packing_since IS NOT NULL AND r.epoch = e.epoch AND r.first_uid <= w.uid
          ORDER BY r.first_uid DESC LIMIT 1) r
    WHERE w.uid = ANY(r.uids)
) i
"""

# Which ones is asked for only where some were taken.
_CLAIM = """
WITH claimed AS (
    INSERT INTO item_uid (uid, stored_at, measured_at, identity, epoch)
    SELECT n.uid, %(stored_at)s, n.measured_at, n.identity, n.epoch
    FROM unnest(%(uids)s::uuid[], %(times)s::timestamptz[], %(identities)s::uuid[],
                %(epochs)s::smallint[])
        WITH ORDINALITY AS n (uid, measured_at, identity, epoch, position)
    ORDER BY n.position
    ON CONFLICT DO NOTHING RETURNING uid
)
SELECT count(*), CASE WHEN count(*) < %(count)s THEN array_agg(uid) END FROM claimed
"""

_HOLDERS = """
SELECT uid, identity FROM item_uid WHERE epoch IN (0, %(epoch)s) AND uid = ANY(%(uids)s::uuid[])
"""

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
