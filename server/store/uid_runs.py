"""Uids of old epochs leave the table that ingest writes, and are known all the same.

Rules of this file (docs/decisions/0021):

- What a home may send again by itself is :data:`devices.wire.RESEND_DAYS_MAX` days old; what a
  device's memory holds, or a gateway that lay in a drawer, may be of any age. So pruning forgets
  nothing: the uids of an old epoch are packed into runs, sorted and side by side, each with its
  fingerprint and where its row is, in a third of the room and without an entry of its own in any
  index.
- Each uid stands in one place at each moment; whoever looks asks both in one statement. Whoever
  moves a row (``corrections.py``) tells both places, one after the other.
- Epoch 0, of values that were dated later than they came, is looked into always and never packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from devices import wire
from server.store import corrections
from server.store.database import Database, Transaction

# A run is a row: so many uids stay under the 2 kB above which PostgreSQL moves it out of its page.
RUN_UIDS = 45
# Some tens of milliseconds: a late fact waits for the end of a batch, and values behind it.
BATCH_UIDS = 100 * RUN_UIDS
# An epoch is as long as homes keep what was acknowledged; one that ended that long ago holds
# nothing that they send again by themselves.
KEEP_MIN = timedelta(days=wire.RESEND_DAYS_MAX)
_LOCK = 0x68_65_6D_6D_61_05


@dataclass(frozen=True, slots=True)
class Uids:
    """How the uids are kept: epochs whose uids stand one by one, and those that are packed.

    ``pruned_until`` is when the newest packed one ended, None where there is none. ``ahead`` are
    uids of values that were dated later than they came.
    """

    epochs: int
    pruned_epochs: int
    pruned_uids: int
    pruned_until: datetime | None
    ahead: int


async def prune(database: Database, *, now: datetime, keep: timedelta) -> int:
    """Pack the uids of epochs that ended more than ``keep`` ago; return how many were.

    ``keep`` is :data:`KEEP_MIN` at least, else ValueError. Harmless to repeat, to cut off and to do
    twice at once; in small steps, so that ingest never waits for long.
    """
    if keep < KEEP_MIN:
        raise ValueError(f"homes send again what is {wire.RESEND_DAYS_MAX} days old")
    async with database.transaction() as tx:
        cursor = await tx.execute(_DUE, {"before": now - keep})
        due = [epoch for (epoch,) in await cursor.fetchall()]
    packed = 0
    for epoch in due:
        while count := await _pack(database, epoch, now):
            packed += count
    return packed


async def state(tx: Transaction) -> Uids:
    """Return how the uids are kept now."""
    row = await (await tx.execute(_STATE)).fetchone()
    assert row is not None, "an aggregate always answers"
    return Uids(*row)


async def _pack(database: Database, epoch: int, now: datetime) -> int:
    """Pack the next uids of an epoch; where none are left, write down that it is done."""
    async with database.transaction() as tx:
        # No late fact is being written, and no epoch turned, while places change.
        await corrections.take_turn(tx, alone=False)
        await tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await tx.execute(_BEGIN, {"epoch": epoch, "now": now})
        values = {"epoch": epoch, "limit": BATCH_UIDS, "run": RUN_UIDS}
        row = await (await tx.execute(_PACK, values)).fetchone()
        assert row is not None, "an aggregate always answers"
        count: int = row[0]
        await tx.execute(_COUNT, {"epoch": epoch, "count": count})
        if count == 0:
            await tx.execute(_DONE, {"epoch": epoch, "now": now})
        return count


_DUE = """
SELECT epoch FROM uid_epoch
WHERE epoch > 0 AND until < %(before)s AND pruned_at IS NULL ORDER BY epoch
"""

_BEGIN = """
UPDATE uid_epoch SET packing_since = %(now)s WHERE epoch = %(epoch)s AND packing_since IS NULL
"""

# From where the last run ended: what was deleted before it is not walked over again.
_PACK = """
WITH next AS (
    SELECT uid FROM item_uid
    WHERE epoch = %(epoch)s AND uid >= coalesce(
        (SELECT r.uids[cardinality(r.uids)] FROM uid_run r WHERE r.epoch = %(epoch)s
         ORDER BY r.first_uid DESC LIMIT 1), '00000000-0000-0000-0000-000000000000')
    ORDER BY uid LIMIT %(limit)s
), taken AS (
    DELETE FROM item_uid i USING next n WHERE i.epoch = %(epoch)s AND i.uid = n.uid
    RETURNING i.uid, i.measured_at, i.identity
), packed AS (
    INSERT INTO uid_run (epoch, first_uid, uids, times, identities)
    SELECT %(epoch)s, (array_agg(uid ORDER BY uid))[1], array_agg(uid ORDER BY uid),
           array_agg(measured_at ORDER BY uid), array_agg(identity ORDER BY uid)
    FROM (SELECT *, (row_number() OVER (ORDER BY uid) - 1) / %(run)s AS run FROM taken) t
    GROUP BY run
)
SELECT count(*) FROM taken
"""

_COUNT = "UPDATE uid_epoch SET pruned_uids = pruned_uids + %(count)s WHERE epoch = %(epoch)s"

_DONE = """
UPDATE uid_epoch e SET pruned_at = %(now)s
WHERE e.epoch = %(epoch)s AND e.pruned_at IS NULL
  AND NOT EXISTS (SELECT FROM item_uid i WHERE i.epoch = e.epoch)
"""

_STATE = """
SELECT count(*) FILTER (WHERE epoch > 0 AND pruned_at IS NULL),
       count(*) FILTER (WHERE pruned_at IS NOT NULL), sum(pruned_uids)::bigint,
       max(until) FILTER (WHERE pruned_at IS NOT NULL),
       (SELECT count(*) FROM item_uid WHERE epoch = 0)
FROM uid_epoch
"""
