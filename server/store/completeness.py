"""Is anything missing: what gateways' numbers tell, and what there is of a patient in a period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from devices.kinds import KINDS
from server.store import ledger
from server.store.database import Transaction

# Of each boot and sort; a boot with more holes than this says how many more there are.
RANGES_MAX = 1000
_BATTERY = KINDS["battery"].number

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A row that its gateway could never send: a known hole."""

    seq: int
    why: str


@dataclass(frozen=True, slots=True)
class BootNumbers:
    """What a boot's numbers tell; times by the server's clock, spans inclusive.

    ``expected`` is the highest number heard, ``had`` how many of them have had the last word;
    ``pending`` may still come by themselves, ``missing`` not. ``duplicates`` are counted since
    ``counted_since``. ``quarantined`` of those that are here were refused or could not be read.
    ``is_full``: so many holes that no more are kept, and higher numbers are unknown.
    """

    gateway: str
    boot: UUID
    first_at: datetime
    last_at: datetime
    expected: int
    had: int
    pending: tuple[Span, ...]
    pending_count: int
    missing: tuple[Span, ...]
    missing_count: int
    duplicates: int
    late: int
    tombstones: tuple[Tombstone, ...]
    quarantined: int
    is_full: bool
    counted_since: datetime


@dataclass(frozen=True, slots=True)
class GatewayNumbers:
    """A gateway with those of its boots that may hold something measured in a period.

    ``waiting`` is how many rows its outbox held when it last said so (``said_at``, its own clock),
    ``waiting_since`` when the oldest of them was written;
    ``unnumbered`` counts what is in quarantine and could not be read so far as to find its number.
    """

    gateway: str
    state: str
    state_since: datetime | None
    last_heard_at: datetime | None
    waiting: int | None
    said_at: datetime | None
    waiting_since: datetime | None
    unnumbered: int
    boots: tuple[BootNumbers, ...]

    @property
    def missing_count(self) -> int:
        """Return how many numbers are missing in all boots."""
        return sum(boot.missing_count for boot in self.boots)


@dataclass(frozen=True, slots=True)
class BoundDevice:
    """A device bound to the patient in a part of the period; None: any user, any gateway, open."""

    device: str
    user_index: int | None
    gateway: str | None
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class KindDays:
    """The days of the period on which there are values of a kind, and on which there are none."""

    kind: str
    values: int
    days_with: tuple[date, ...]
    days_without: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Unassigned:
    """Values of a device, or of its users, that found no patient, and why."""

    device: str
    reason: str
    values: int


@dataclass(frozen=True, slots=True)
class PatientValues:
    """What there is of a patient; nothing here names the person."""

    devices: tuple[BoundDevice, ...]
    gateways: tuple[str, ...]
    kinds: tuple[KindDays, ...]
    unassigned: tuple[Unassigned, ...]


async def gateways(
    tx: Transaction,
    *,
    since: datetime,
    now: datetime,
    names: tuple[str, ...] | None = None,
) -> list[GatewayNumbers]:
    """Return all gateways, or those of ``names``, with what may hold values of since ``since``.

    Nothing is heard before it is measured, so these are the boots that were heard since then. Where
    the period has ended the same boots count: a home may have been without a link, and a device
    remembers values for months. What a boot holds above its highest number nobody here knows, but
    the gateway says how much waits. Brings the ledger up to ``now`` first. A boot's numbers have no
    times of their own, so each such boot is told from its first number on.
    """
    await ledger.fold(tx, at=now)
    wanted = None if names is None else list(names)
    period: dict[str, object] = {"since": since, "names": wanted}
    boots: dict[str, list[BootNumbers]] = {}
    async with tx.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_BOOTS, period | {"now": now, "patience": ledger.PATIENCE})
        for boot in map(_boot, await cursor.fetchall()):
            boots.setdefault(boot.gateway, []).append(boot)
    found = await (await tx.execute(_GATEWAYS, period)).fetchall()
    return [_gateway(row, boots.get(row[0], ())) for row in found]


async def patient_values(
    tx: Transaction, patient_id: int, *, days: tuple[date, ...], since: datetime, until: datetime
) -> PatientValues:
    """Return what there is of a patient from ``since`` and before ``until``.

    ``days`` are the calendar days of that period in Europe/Stockholm.
    """
    period = {"patient": patient_id, "since": since, "until": until, "battery": _BATTERY}
    async with tx.cursor(row_factory=class_row(BoundDevice)) as cursor:
        await cursor.execute(_DEVICES, period)
        devices = tuple(await cursor.fetchall())
    async with tx.cursor(row_factory=class_row(Unassigned)) as nobodys:
        await nobodys.execute(_UNASSIGNED, period)
        unassigned = tuple(await nobodys.fetchall())
    names = await (await tx.execute(_ITS_GATEWAYS, period)).fetchall()
    counted: dict[str, dict[date, int]] = {}
    for kind, day, count in await (await tx.execute(_VALUES, period)).fetchall():
        counted.setdefault(kind, {}).update({day: count} if day else {})
    return PatientValues(
        devices=devices,
        gateways=tuple(name for (name,) in names),
        kinds=tuple(_kind_days(kind, counted[kind], days) for kind in sorted(counted)),
        unassigned=unassigned,
    )


async def patient_id_of(tx: Transaction, public_id: UUID) -> int | None:
    """Return the key of the patient whom links call ``public_id``; None: there is none."""
    cursor = await tx.execute("SELECT id FROM patient WHERE public_id = %s", (public_id,))
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


def _kind_days(kind: str, counts: dict[date, int], days: tuple[date, ...]) -> KindDays:
    return KindDays(
        kind,
        sum(counts.values()),
        tuple(day for day in days if day in counts),
        tuple(day for day in days if day not in counts),
    )


def _gateway(row: Sequence[Any], boots: Sequence[BootNumbers]) -> GatewayNumbers:
    gateway, state, since, heard, waiting, said_at, oldest, unnumbered = row
    return GatewayNumbers(
        gateway, state, since, heard, waiting, said_at, oldest, unnumbered, tuple(boots)
    )


def _boot(row: Mapping[str, Any]) -> BootNumbers:
    spans = {name: tuple((low, high) for low, high in row[name]) for name in ("pending", "missing")}
    whys = tuple(Tombstone(seq, why) for seq, why in zip(row["seqs"], row["whys"], strict=True))
    rest = {name: value for name, value in row.items() if name not in ("seqs", "whys")}
    return BootNumbers(**rest | spans, tombstones=whys)


def _spans_of(multirange: str) -> str:
    """Return the expression for the first spans of a multirange, inclusive."""
    return f"""coalesce((
        SELECT array_agg(ARRAY[lower(span), upper(span) - 1] ORDER BY span)
        FROM (SELECT unnest({multirange}) AS span LIMIT {RANGES_MAX}) first), '{{}}')"""


def _count_of(multirange: str) -> str:
    """Return the expression for how many numbers a multirange holds."""
    return f"""coalesce((
        SELECT sum(upper(span) - lower(span)) FROM unnest({multirange}) AS span), 0)::bigint"""


# What is older than the patience is settled (server/store/ledger.py).
_BOOTS = f"""
WITH boots AS (
    SELECT l.*, g.name AS gateway, upper(l.had) - 1 AS expected,
           int8multirange(int8range(1, upper(l.had))) - l.had AS holes,
           CASE WHEN l.last_at <= %(now)s - %(patience)s THEN upper(l.had) - 1
                ELSE l.passed_seq END AS settled
    FROM ledger l JOIN gateway g ON g.id = l.gateway_id
    WHERE l.last_at >= %(since)s
      AND (%(names)s::text[] IS NULL OR g.name = ANY(%(names)s))
), split AS (
    SELECT *, holes * int8multirange(int8range(1, settled + 1)) AS gone,
           holes * int8multirange(int8range(settled + 1, NULL)) AS awaited
    FROM boots
)
SELECT gateway, boot, first_at, last_at, expected, {_count_of("had")} AS had,
       {_spans_of("awaited")} AS pending, {_count_of("awaited")} AS pending_count,
       {_spans_of("gone")} AS missing, {_count_of("gone")} AS missing_count,
       duplicates, late,
       ARRAY(SELECT t.seq FROM tombstone t WHERE t.gateway_id = s.gateway_id AND t.boot = s.boot
             ORDER BY t.seq) AS seqs,
       ARRAY(SELECT t.why FROM tombstone t WHERE t.gateway_id = s.gateway_id AND t.boot = s.boot
             ORDER BY t.seq) AS whys,
       (SELECT count(DISTINCT q.seq) FROM quarantine q
        WHERE q.gateway = s.gateway AND lower(q.boot) = s.boot::text) AS quarantined,
       is_full, begun_at AS counted_since
FROM split s
ORDER BY gateway, first_at, boot
"""

_GATEWAYS = """
SELECT g.name, g.state, g.state_since, g.last_heard_at, (g.last_status ->> 'outbox')::bigint,
       (g.last_status ->> 't')::timestamptz, (g.last_status ->> 'oldest')::timestamptz,
       (SELECT count(*) FROM quarantine q
        WHERE q.gateway = g.name AND q.seq IS NULL AND q.last_at >= %(since)s)
FROM gateway g
WHERE %(names)s::text[] IS NULL OR g.name = ANY(%(names)s)
ORDER BY g.name
"""

_DEVICES = """
SELECT d.name AS device, b.user_index, g.name AS gateway, lower(b.valid) AS since,
       upper(b.valid) AS until
FROM binding b JOIN device d ON d.id = b.device_id LEFT JOIN gateway g ON g.id = b.gateway_id
WHERE b.patient_id = %(patient)s AND b.valid && tstzrange(%(since)s, %(until)s)
ORDER BY d.name, lower(b.valid)
"""

# Where a device stands need not be known: its values say which gateway heard it, also those of the
# period that belong to nobody; where none came in the period, the newest before it and the first
# after it do. Its silence is what is asked about. And a gateway says which devices it knows.
_ITS_GATEWAYS = """
WITH own AS (
    SELECT b.device_id, b.gateway_id FROM binding b
    WHERE b.patient_id = %(patient)s AND b.valid && tstzrange(%(since)s, %(until)s)
)
SELECT g.name FROM gateway g
WHERE g.id IN (
    SELECT gateway_id FROM own
    UNION
    SELECT k.id FROM gateway k
    CROSS JOIN LATERAL jsonb_array_elements(k.last_status -> 'devices') AS said
    JOIN device d ON d.name = said ->> 'dev'
    WHERE d.id IN (SELECT device_id FROM own)
    UNION
    SELECT m.gateway_id FROM measurement m
    WHERE m.patient_id IS NULL AND m.device_id IN (SELECT device_id FROM own)
      AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
    UNION
    SELECT m.gateway_id FROM measurement m
    WHERE m.patient_id = %(patient)s AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
    UNION
    (SELECT m.gateway_id FROM measurement m
     WHERE m.patient_id = %(patient)s AND m.measured_at < %(until)s AND m.gateway_id IS NOT NULL
     ORDER BY m.measured_at DESC LIMIT 1)
    UNION
    (SELECT m.gateway_id FROM measurement m
     WHERE m.patient_id = %(patient)s AND m.measured_at >= %(until)s AND m.gateway_id IS NOT NULL
     ORDER BY m.measured_at LIMIT 1))
ORDER BY g.name
"""

# Kinds that were ever measured are told too, with no day: their absence is the news. A battery is
# no value of a person.
_VALUES = """
SELECT k.name, (m.measured_at AT TIME ZONE 'Europe/Stockholm')::date, count(*)
FROM measurement m JOIN kind k ON k.id = m.kind_id
WHERE m.patient_id = %(patient)s AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
  AND m.type = 'value' AND m.kind_id <> %(battery)s AND NOT 'retracted' = ANY(m.flags)
GROUP BY 1, 2
UNION ALL
SELECT DISTINCT k.name, NULL::date, 0
FROM latest l JOIN component c ON c.id = l.component_id JOIN kind k ON k.id = c.kind_id
WHERE l.patient_id = %(patient)s AND k.id <> %(battery)s
"""

_UNASSIGNED = """
SELECT d.name AS device, m.unassigned AS reason, count(*) AS values
FROM measurement m JOIN device d ON d.id = m.device_id
WHERE m.patient_id IS NULL AND m.type = 'value' AND m.kind_id <> %(battery)s
  AND m.measured_at >= %(since)s AND m.measured_at < %(until)s
  AND m.device_id IN (
      SELECT b.device_id FROM binding b
      WHERE b.patient_id = %(patient)s AND b.valid && tstzrange(%(since)s, %(until)s))
GROUP BY d.name, m.unassigned ORDER BY d.name, m.unassigned
"""
