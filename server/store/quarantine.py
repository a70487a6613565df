"""What could not be decoded, identified or stored, with its reason: visible, never lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from server.store.database import Transaction

# The broker's own limit, four times the contract's; more of a payload teaches nobody anything.
PAYLOAD_KEPT_MAX_BYTES = 262_144
DETAIL_MAX_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something to put aside. ``seq`` and ``boot`` are None where they could not be read."""

    gateway: str
    topic: str
    boot: str | None
    seq: int | None
    reason: str
    detail: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row of the quarantine; ``times`` counts how often exactly this came."""

    id: int
    at: datetime
    last_at: datetime
    times: int
    gateway: str
    topic: str
    boot: str | None
    seq: int | None
    reason: str
    detail: str
    payload: bytes


async def put(tx: Transaction, rejected: Sequence[Rejected], *, at: datetime) -> None:
    """Put aside each of ``rejected``; the same again is counted, not stored twice."""
    for one in sorted(rejected, key=_digest):
        seq = one.seq if one.seq is not None and abs(one.seq) < 2**63 else None
        await tx.execute(
            _PUT,
            (
                at, one.gateway, one.topic, _text(one.boot), seq, one.reason,
                _text(one.detail) or "",
                one.payload[:PAYLOAD_KEPT_MAX_BYTES], _digest(one), at,
            ),
        )  # fmt: skip


async def listed(
    tx: Transaction, *, limit: int = 100, before: int | None = None
) -> list[Quarantined]:
    """Return the newest rows first; ``before`` is the last id of the page before."""
    async with tx.cursor(row_factory=class_row(Quarantined)) as cursor:
        await cursor.execute(_LIST, {"limit": limit, "before": before})
        return await cursor.fetchall()


def _digest(one: Rejected) -> bytes:
    parts = (one.gateway.encode(), one.reason.encode(), one.payload)
    return hashlib.sha256(b"\0".join(parts)).digest()


def _text(value: str | None) -> str | None:
    """Return text that PostgreSQL can hold: it refuses the zero character."""
    if value is None:
        return None
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")[:DETAIL_MAX_CHARACTERS]


_PUT = """
INSERT INTO quarantine (at, gateway, topic, boot, seq, reason, detail, payload, digest, last_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE
SET times = quarantine.times + 1, last_at = greatest(quarantine.last_at, excluded.last_at)
"""

_LIST = """
SELECT id, at, last_at, times, gateway, topic, boot, seq, reason, detail, payload
FROM quarantine
WHERE %(before)s::bigint IS NULL OR id < %(before)s
ORDER BY id DESC LIMIT %(limit)s
"""
