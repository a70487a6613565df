"""Orders to gateways that outlive the broker's memory: kept until answered or expired.

A gateway knows an order it has seen by its id, so one may be told as often as it comes online. Its
answer is an ``event`` item, stored like any other, whose context names the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from server.store.database import Transaction
from server.store.errors import UnknownName

CHANNEL = "hemma_gateway_order"
# One gateway's open orders: more than an operator ever gives; the newest count.
OPEN_MAX = 20
LISTED_MAX = 1000


@dataclass(frozen=True, slots=True)
class GatewayOrder:
    """Rows since ``since`` are wanted again from ``gateway``; times are the server's clock.

    ``sent_at`` is when somebody last took it, ``times`` how often; ``rows`` how many rows the
    gateway said it sends again.
    """

    id: UUID
    gateway: str
    since: datetime
    made_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    times: int = 0
    answered_at: datetime | None = None
    rows: int | None = None


async def order_resend(
    tx: Transaction,
    gateways: Sequence[str] | None,
    *,
    since: datetime,
    at: datetime,
    expires: datetime,
) -> list[GatewayOrder]:
    """Order rows since a time again, of these gateways or (None) of all; wake who tells them.

    An order that asks for as much already is not given twice: it is returned as it stands. Raises
    UnknownName for a gateway that is not registered.
    """
    if gateways is not None:
        await _refuse_unknown(tx, gateways)
    values = {
        "names": None if gateways is None else list(gateways),
        "since": since,
        "at": at,
        "expires": expires,
    }
    await tx.execute(_ORDER, values)
    cursor = await tx.execute(
        "SELECT name FROM gateway WHERE %(names)s::text[] IS NULL OR name = ANY(%(names)s)", values
    )
    for (name,) in await cursor.fetchall():
        await tx.execute("SELECT pg_notify(%s, %s)", (CHANNEL, name))
    found = await _select(tx, "o.answered_at IS NULL AND o.expires_at > %(at)s", {"at": at})
    wanted = None if gateways is None else set(gateways)
    return [one for one in found if wanted is None or one.gateway in wanted]


async def open_orders(
    tx: Transaction, *, at: datetime, gateway: str | None, told_before: datetime | None = None
) -> list[GatewayOrder]:
    """Return what is still to be told, to one gateway or (None) to all that are online.

    ``told_before`` leaves out what somebody took at that time or later. What was answered meanwhile
    is noted first.
    """
    wanted = (
        "o.answered_at IS NULL AND o.expires_at > %(at)s"
        " AND CASE WHEN %(gateway)s::text IS NULL THEN g.state = 'online'"
        " ELSE g.name = %(gateway)s END"
        " AND (%(told_before)s::timestamptz IS NULL OR o.sent_at IS NULL"
        " OR o.sent_at < %(told_before)s)"
    )
    values: dict[str, object] = {"at": at, "gateway": gateway, "told_before": told_before}
    # Answers stand among the measurements: looked for only where somebody is still to be asked.
    if not await _select(tx, wanted, values):
        return []
    await note_answers(tx)
    return await _select(tx, wanted, values)


async def note_answers(tx: Transaction) -> int:
    """Note which orders the gateways' events have answered; return how many."""
    return (await tx.execute(_NOTE_ANSWERS)).rowcount


async def mark_sent(tx: Transaction, order: UUID, *, at: datetime) -> None:
    """Note that somebody took an order."""
    await tx.execute(
        "UPDATE gateway_order SET sent_at = %s, times = times + 1 WHERE id = %s", (at, order)
    )


async def listed(tx: Transaction) -> list[GatewayOrder]:
    """Return the newest orders with what came of them, newest first."""
    await note_answers(tx)
    return await _select(tx, "true", {}, newest_first=True)


async def _refuse_unknown(tx: Transaction, names: Sequence[str]) -> None:
    cursor = await tx.execute("SELECT name FROM gateway WHERE name = ANY(%s)", (list(names),))
    known = {name for (name,) in await cursor.fetchall()}
    if unknown := sorted(set(names) - known):
        raise UnknownName(f"there is no gateway {', '.join(unknown)}")


async def _select(
    tx: Transaction, wanted: str, values: dict[str, object], *, newest_first: bool = False
) -> list[GatewayOrder]:
    order = "o.made_at DESC, o.id" if newest_first else "o.made_at, o.id"
    async with tx.cursor(row_factory=class_row(GatewayOrder)) as cursor:
        await cursor.execute(
            "SELECT o.id, g.name AS gateway, o.since, o.made_at, o.expires_at, o.sent_at, o.times,"
            " o.answered_at, CASE WHEN jsonb_typeof(o.answer -> 'rows') = 'number'"
            " THEN greatest(least((o.answer ->> 'rows')::numeric, 9e18), 0)::bigint END AS rows"
            " FROM gateway_order o JOIN gateway g ON g.id = o.gateway_id"
            f" WHERE {wanted} ORDER BY {order} LIMIT {LISTED_MAX}",
            values,
        )
        return await cursor.fetchall()


_ORDER = f"""
INSERT INTO gateway_order (id, gateway_id, ask, since, made_at, expires_at)
SELECT gen_random_uuid(), g.id, 'resend', %(since)s, %(at)s, %(expires)s
FROM gateway g
WHERE (%(names)s::text[] IS NULL OR g.name = ANY(%(names)s))
  AND NOT EXISTS (
      SELECT FROM gateway_order o
      WHERE o.gateway_id = g.id AND o.answered_at IS NULL AND o.since <= %(since)s
        AND o.expires_at >= %(expires)s)
  AND (SELECT count(*) FROM gateway_order o
       WHERE o.gateway_id = g.id AND o.answered_at IS NULL AND o.expires_at > %(at)s) < {OPEN_MAX}
"""

# An event of the gateway itself belongs to nobody, so it is in the small index of what does not.
_NOTE_ANSWERS = """
UPDATE gateway_order o SET answered_at = m.stored_at, answer = m.context
FROM measurement m
WHERE o.answered_at IS NULL
  AND m.patient_id IS NULL AND m.measured_at >= o.made_at - INTERVAL '1 day'
  AND m.type = 'event' AND m.event = o.ask AND m.gateway_id = o.gateway_id
  AND m.context ->> 'request' = o.id::text
"""
