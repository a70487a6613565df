"""Gateways: which are known, when they were last heard, what they last said of themselves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from devices.wire import Status
from server.store.database import Transaction

# Each value would otherwise write its gateway's row; liveness is judged in minutes.
HEARD_GRAIN_S = 10


@dataclass(frozen=True, slots=True)
class GatewayState:
    """A gateway as the server knows it; the times are the server's clock."""

    id: int
    name: str
    unit_id: int
    state: str
    state_reason: str | None
    state_since: datetime | None
    last_heard_at: datetime | None
    tombstones: int


async def ids_of(tx: Transaction, names: Collection[str]) -> dict[str, int]:
    """Return the ids of those of ``names`` that are registered."""
    cursor = await tx.execute("SELECT name, id FROM gateway WHERE name = ANY(%s)", (sorted(names),))
    return dict(await cursor.fetchall())


async def heard(tx: Transaction, gateway_ids: Collection[int], *, at: datetime) -> None:
    """Note that these gateways said something at ``at``, to within :data:`HEARD_GRAIN_S`."""
    await tx.execute(_HEARD, {"ids": sorted(gateway_ids), "at": at, "grain_s": HEARD_GRAIN_S})


async def listed(tx: Transaction) -> list[GatewayState]:
    """Return every registered gateway, by name."""
    async with tx.cursor(row_factory=class_row(GatewayState)) as cursor:
        await cursor.execute(
            "SELECT id, name, unit_id, state, state_reason, state_since, last_heard_at, tombstones "
            "FROM gateway ORDER BY name"
        )
        return await cursor.fetchall()


async def note_status(tx: Transaction, name: str, status: Status, *, at: datetime) -> bool:
    """Store a gateway's status; return whether it has just come online (or restarted).

    A will's figures are those of its connection's start: only its state counts (contract.md 1).
    An unknown gateway's status is ignored: whoever enrols it will hear the retained one.
    """
    is_will = status.reason == "will"
    cursor = await tx.execute(
        _STATUS,
        {
            "name": name, "state": status.state, "reason": status.reason, "at": at,
            "status": None if is_will else Jsonb(msgspec.to_builtins(status)),
            "boot": status.boot,
        },
    )  # fmt: skip
    row = await cursor.fetchone()
    if row is None:
        return False
    if not is_will:
        await _note_devices(tx, status)
    before, boot_before = row
    return status.state == "online" and (before != "online" or boot_before != status.boot)


async def _note_devices(tx: Transaction, status: Status) -> None:
    for device in sorted(status.devices, key=lambda d: d.dev):
        if device.battery is not None:
            await tx.execute(_BATTERY, msgspec.structs.asdict(device))


_HEARD = """
UPDATE gateway SET last_heard_at = %(at)s
WHERE id IN (
    SELECT id FROM gateway
    WHERE id = ANY(%(ids)s)
      AND (last_heard_at IS NULL OR last_heard_at < %(at)s - make_interval(secs => %(grain_s)s))
    ORDER BY id FOR UPDATE)
"""

# A retained status is delivered again at each of our connections: it is no news, and hearing the
# broker repeat it is not hearing the gateway. last_heard_at moves only with a new status or state.
_STATUS = """
WITH before AS (
    SELECT id, state, last_status ->> 'boot' AS boot, last_status FROM gateway
    WHERE name = %(name)s FOR UPDATE
), changed AS (
    UPDATE gateway g SET
        state = %(state)s,
        state_reason = %(reason)s,
        state_since = CASE WHEN b.state = %(state)s THEN g.state_since ELSE %(at)s END,
        last_status = coalesce(%(status)s::jsonb, g.last_status),
        last_heard_at = CASE
            WHEN %(status)s::jsonb IS NULL OR b.last_status = %(status)s::jsonb THEN g.last_heard_at
            ELSE greatest(g.last_heard_at, %(at)s) END
    FROM before b WHERE g.id = b.id
)
SELECT state, boot FROM before
"""

# Only a newer word on a battery counts, and only of devices that are known.
_BATTERY = """
UPDATE device SET battery = %(battery)s, battery_at = %(last_seen)s
WHERE name = %(dev)s AND (battery_at IS NULL OR battery_at < %(last_seen)s)
"""
