"""Each uid is claimed once in all epochs (docs/decisions/0017), for the fingerprint of its item.

What is asked of each item's times is asked of all at once (``clocks.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np

from devices import wire
from devices.wire import Item
from server.store.arrays import MISSING, array, microseconds, nullable_times, uuids
from server.store.clocks import Clocks
from server.store.database import Transaction
from server.store.identity import AHEAD_MAX, CLOCKS_DIFFER_MAX, DEVICE_AHEAD_MAX, is_other
from server.store.row_blocks import Column

_MICROSECOND = timedelta(microseconds=1)
_DEVICE_TIME_MIN = microseconds(datetime(wire.DEVICE_YEAR_MIN, 1, 1, tzinfo=UTC))


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


@dataclass(frozen=True, slots=True)
class _Claimants:
    """The uids of a batch, each once, in order, with the first item that has it."""

    positions: Column
    items: Sequence[Item]
    uids: Column
    identities: Column
    clocks: Clocks
    is_ahead: Column

    def take(self, chosen: Column) -> _Claimants:
        """Return those at these places."""
        return _Claimants(
            self.positions[chosen],
            [self.items[place] for place in chosen.tolist()],
            self.uids[chosen],
            self.identities[chosen],
            self.clocks.take(chosen),
            self.is_ahead[chosen],
        )

    def all_but(self, known: dict[bytes, bytes | None]) -> _Claimants:
        """Return those whose uids are not ``known``."""
        if not known:
            return self
        return self.take(np.flatnonzero([uid not in known for uid in self.uids.tolist()]))


def are_ahead(clocks: Clocks, stored_at: datetime) -> Column:
    """Tell of each whether it is dated later than it came, so that its time says nothing of when.

    Its device's clock counts too, where the gateway knew better: when the record comes again, that
    time may have passed, and somebody may believe it.
    """
    found: Column = (clocks.measured > microseconds(stored_at + AHEAD_MAX)) | (
        clocks.device > microseconds(stored_at + DEVICE_AHEAD_MAX)
    )
    return found


async def claim(
    tx: Transaction,
    items: Sequence[Item],
    identities: Sequence[bytes],
    clocks: Clocks,
    *,
    stored_at: datetime,
) -> Claimed:
    """Claim the uid of each item for its fingerprint; what is neither new nor in conflict is known.

    Of several items with one new uid the first has it. The caller has its turn
    (``corrections.take_turn``), alone where :func:`are_ahead` holds for an item.
    """
    claimants = _claimants(items, identities, clocks, stored_at)
    known = await _known(tx, claimants, stored_at)
    # In the order of arrival, which becomes the server's order of what is stored.
    new = tuple(sorted(claimants.all_but(known).positions.tolist()))
    if len(new) == len(items):
        return Claimed(new, ())
    firsts = zip(claimants.uids.tolist(), claimants.identities.tolist(), strict=True)
    holders = {uid: known.get(uid, identity) for uid, identity in firsts}
    conflicts = (
        position
        for position, (item, mine) in enumerate(zip(items, identities, strict=True))
        if is_other(item, mine, holders[bytes.fromhex(item.uid)])
    )
    return Claimed(new, tuple(conflicts))


def _claimants(
    items: Sequence[Item], identities: Sequence[bytes], clocks: Clocks, stored_at: datetime
) -> _Claimants:
    uids = np.frombuffer(bytes.fromhex("".join([item.uid for item in items])), "V16")
    words = uids.view(">u8").reshape(-1, 2)
    # Sorted: two workers with the same uids wait for each other instead of deadlocking.
    order = np.lexsort((words[:, 1], words[:, 0]))
    words = words[order]
    is_first = np.append([True], (words[1:] != words[:-1]).any(axis=1))
    all_of_them = _Claimants(
        np.arange(len(items)),
        items,
        uids,
        np.frombuffer(b"".join(identities), "V16"),
        clocks,
        are_ahead(clocks, stored_at),
    )
    return all_of_them.take(order[is_first])


async def _known(
    tx: Transaction, claimants: _Claimants, stored_at: datetime
) -> dict[bytes, bytes | None]:
    """Claim what can be claimed; return the fingerprints of those uids that were taken."""
    row = await (await tx.execute(_PAGE)).fetchone()
    assert row is not None, "there is always an epoch"
    page = _Page(*row)
    known = await _claimed_earlier(tx, claimants, page)
    wanted = claimants.all_but(known)
    count = len(wanted.items)
    if not count:
        return known
    cursor = await tx.execute(
        _CLAIM,
        {
            "uids": uuids([wanted.uids.tobytes()]),
            "identities": uuids([wanted.identities.tobytes()]),
            "times": nullable_times(_row_times(wanted)),
            "epochs": array("int2", np.where(wanted.is_ahead, 0, page.epoch)),
            "count": count,
            "stored_at": stored_at,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    claimed, new = row
    if claimed < count:
        lost = wanted.all_but({uid.bytes: None for uid in new or ()})
        values = {"uids": uuids([lost.uids.tobytes()]), "epoch": page.epoch}
        cursor = await tx.execute(_HOLDERS, values)
        known |= {uid.bytes: _bytes(held) for uid, held in await cursor.fetchall()}
    return known


async def _claimed_earlier(
    tx: Transaction, claimants: _Claimants, page: _Page
) -> dict[bytes, bytes | None]:
    """Return the fingerprints of those uids that were claimed in another epoch than they will be.

    Nothing is claimed before it is measured. So a value whose times are known is looked for only
    in the epochs that had not ended then: most values in none. What is dated ahead will be claimed
    in epoch 0, so it is looked for in the last epoch, too. Of a pruned epoch its runs are asked.
    """
    if page.last_until is None and not page.has_ahead and not claimants.is_ahead.any():
        return {}
    since = _not_before(claimants)
    is_sought = np.full(len(since), True) if page.has_ahead else since == MISSING
    if page.last_until is not None:
        is_sought |= since < microseconds(page.last_until)
    chosen = np.flatnonzero(is_sought)
    if not len(chosen):
        return {}
    values = {
        "uids": uuids([claimants.uids[chosen].tobytes()]),
        "since": array("timestamptz", since[chosen]),
        "ahead": array("bool", claimants.is_ahead[chosen]),
    }
    cursor = await tx.execute(_EARLIER, values)
    return {uid.bytes: _bytes(held) for uid, held in await cursor.fetchall()}


def _not_before(claimants: _Claimants) -> Column:
    """Return when each cannot have come yet; MISSING (-infinity) where its times say nothing.

    A record that comes again out of its device's memory may be dated anew: by the gateway's clock,
    where the device's own is far from it. What the device said of the time is the same each time.
    """
    clocks = claimants.clocks
    is_told = [
        item.gw_q == "ntp"
        and item.tq != "estimated"
        and (item.dev_t is not None or item.dev_seq is None)
        for item in claimants.items
    ]
    has_device_time = clocks.device != MISSING
    is_known = (
        np.array(is_told, bool)
        & (clocks.measured != MISSING)
        & (clocks.gateway != MISSING)
        & ~claimants.is_ahead
        & (~has_device_time | (clocks.device >= _DEVICE_TIME_MIN))
    )
    first = np.minimum(clocks.measured, clocks.gateway)
    first = np.where(has_device_time, np.minimum(first, clocks.device), first)
    found: Column = np.where(is_known, first - CLOCKS_DIFFER_MAX // _MICROSECOND, MISSING)
    return found


def _row_times(claimants: _Claimants) -> Column:
    """Return the times under which the items' rows are found; MISSING: it has no row."""
    has_row = np.array([item.type in ("value", "event") for item in claimants.items], bool)
    times: Column = np.where(has_row, claimants.clocks.measured, MISSING)
    return times


def _bytes(identity: UUID | None) -> bytes | None:
    return None if identity is None else identity.bytes


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
