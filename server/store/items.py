"""Keep what gateways and people send: each item once, with its patient or why it has none.

The rules of this file (contract.md 1):

- An item's identity is its ``uid``. The first one counts; the same again is a duplicate and changes
  nothing, in whatever order and however often items come. Another item under a uid that is taken
  (``identity.py``) is a conflict: it is put into quarantine and never acknowledged.
- A value belongs to a patient when its ``t`` and its ``gw_t`` lie inside one binding. Otherwise it
  is stored all the same, unassigned, with its reason.
- An implausible value is stored and flagged.
- What the rules must judge is put into ``engine_inbox`` in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from alerts.standing import NO_READING
from devices.kinds import KINDS, Component
from devices.wire import Item
from server.store import corrections, quarantine
from server.store.database import Transaction
from server.store.errors import DataRefused
from server.store.identity import Claimed, claim, fingerprint

# Where a home screen stands is part of who may have answered on it: each gateway's is its own
# device.
SCREEN = "screen"
# Values that a person entered for somebody else; they name the patient themselves.
PROXY = "proxy"
IMPLAUSIBLE = "implausible"
# Why a conflict is in quarantine, and what its gateway is told.
UID_TAKEN = "uid_taken"
# Values dated later than this after their arrival never become a patient's latest: they would hide
# all that follow. They are stored and shown with their own time.
FUTURE_MAX_S = 600
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class ReceivedItem:
    """An item that passed its verdict, and where it came from.

    From a gateway: ``gateway_id``, ``gateway`` (its name) and ``boot``. Entered by a person:
    ``entered_by`` (staff) and ``patient_id`` instead; build those with :func:`entered`.
    """

    item: Item
    gateway_id: int | None = None
    gateway: str | None = None
    boot: str | None = None
    patient_id: int | None = None
    entered_by: int | None = None


class Outcome(StrEnum):
    """What became of an item; the sender is told "stored" of the first two only."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Kept:
    """The outcome for one item.

    ``received_seq`` is the server's order, for new values and events. ``unassigned`` is the reason
    for having no patient: unbound_device, outside_binding, other_user or no_device.
    """

    uid: str
    outcome: Outcome
    received_seq: int | None = None
    patient_id: int | None = None
    unassigned: str | None = None


def entered(item: Item, *, token: str, patient_id: int, entered_by: int) -> ReceivedItem:
    """Make an item out of a value that a person typed; its device is :data:`PROXY`.

    ``token`` is the form's idempotency token: the same form sent twice is stored once. The uid and
    the device of ``item`` are replaced.
    """
    uid = hashlib.sha256(f"entered\0{token}".encode()).hexdigest()[:32]
    item = msgspec.structs.replace(item, uid=uid, dev=PROXY)
    return ReceivedItem(item, patient_id=patient_id, entered_by=entered_by)


async def keep(
    tx: Transaction, items: Sequence[ReceivedItem], *, stored_at: datetime
) -> list[Kept]:
    """Store the new ones among ``items`` and say for each what became of it, in the given order.

    Another item than the one stored under its uid is a CONFLICT, also of two in ``items``: the
    first stays. From a gateway it is put into quarantine here; what a person entered is not, since
    that person can be told. This holds for all types but tombstones (``identity.py``).
    Raises DataRefused (through the transaction) when one of the items cannot be stored at all; then
    none of this transaction is, and the caller finds the culprit by halving.
    """
    late_facts = any(received.item.type in ("clock", "retract") for received in items)
    await corrections.take_turn(tx, alone=late_facts)
    claimed = await claim(tx, [(r.item, _fingerprint(r)) for r in items], stored_at=stored_at)
    new = {items[i].item.uid: items[i] for i in claimed.new}
    rows = [received for received in new.values() if received.item.type in ("value", "event")]
    kept = await _insert(tx, rows, stored_at) if rows else {}
    await _keep_facts(tx, list(new.values()), stored_at)
    await _put_conflicts_aside(tx, [items[i] for i in claimed.conflicts], stored_at)
    if any(received.item.type == "value" for received in rows):
        await tx.execute("SELECT pg_notify('hemma_inbox', '')")
    return _outcomes(items, claimed, kept)


def _outcomes(
    items: Sequence[ReceivedItem], claimed: Claimed, kept: Mapping[str, Kept]
) -> list[Kept]:
    outcomes = dict.fromkeys(claimed.new, Outcome.STORED)
    outcomes |= dict.fromkeys(claimed.conflicts, Outcome.CONFLICT)
    answers = []
    for position, received in enumerate(items):
        uid = received.item.uid
        outcome = outcomes.get(position, Outcome.DUPLICATE)
        stored = kept.get(uid) if outcome is Outcome.STORED else None
        answers.append(stored or Kept(uid, outcome))
    return answers


def _fingerprint(received: ReceivedItem) -> bytes:
    entered_for = None
    if received.patient_id is not None and received.entered_by is not None:
        entered_for = (received.patient_id, received.entered_by)
    return fingerprint(received.item, device=_device_name(received), entered=entered_for)


async def _put_conflicts_aside(
    tx: Transaction, conflicts: Sequence[ReceivedItem], stored_at: datetime
) -> None:
    aside = [
        _set_aside(received, UID_TAKEN, "another item is stored under this uid")
        for received in conflicts
        if received.gateway_id is not None
    ]
    await quarantine.put(tx, aside, at=stored_at)


async def _keep_facts(tx: Transaction, new: Sequence[ReceivedItem], stored_at: datetime) -> None:
    """Handle items that are not values, and what earlier ones say about the values just stored."""
    for received in new:
        item = received.item
        if item.type == "undecodable":
            await quarantine.put(tx, [_undecodable(received)], at=stored_at)
        elif item.type == "tombstone":
            await tx.execute(
                "UPDATE gateway SET tombstones = tombstones + 1 WHERE id = %s",
                (received.gateway_id,),
            )
        elif item.type == "clock":
            await corrections.note_clock(tx, received.gateway_id, item, at=stored_at)
        elif item.type == "retract":
            await corrections.note_retraction(tx, received.gateway_id, item, at=stored_at)
    boots = {_boot_of(received) for received in new} - {None}
    touched = {received.item.uid for received in new} | {r.item.of for r in new if r.item.of}
    if any(r.item.type == "clock" or _awaits_clock(r.item) for r in new):
        await corrections.correct_clocks(tx, sorted(b for b in boots if b), at=stored_at)
    await corrections.mark_retracted(tx, sorted(touched), at=stored_at)


def _awaits_clock(item: Item) -> bool:
    """Tell whether its gateway did not know the time, so that a clock item has something to say."""
    return item.tq == "estimated" or item.gw_q == "none"


def _boot_of(received: ReceivedItem) -> str | None:
    """Return the boot an item speaks of: a clock item may correct an earlier boot than its own."""
    return received.item.boot if received.item.type == "clock" else received.boot


def _undecodable(received: ReceivedItem) -> quarantine.Rejected:
    item = received.item
    detail = f"{item.dev or ''} {item.char or ''} {item.why or ''}".strip()
    return _set_aside(received, "undecodable", detail)


def _set_aside(received: ReceivedItem, reason: str, detail: str) -> quarantine.Rejected:
    return quarantine.Rejected(
        gateway=received.gateway or "",
        topic="measurements",
        boot=received.boot,
        seq=received.item.seq,
        reason=reason,
        detail=detail,
        payload=msgspec.json.encode(received.item),
    )


async def _insert(
    tx: Transaction, rows: Sequence[ReceivedItem], stored_at: datetime
) -> dict[str, Kept]:
    devices = {name: row.item.model or "" for row in rows if (name := _device_name(row))}
    await tx.execute(
        _ADD_DEVICES, {"names": sorted(devices), "models": [devices[n] for n in sorted(devices)]}
    )
    parameters = {
        "stored_at": stored_at,
        "future_s": FUTURE_MAX_S,
        **_columns(rows),
        **_samples(rows),
        "no_reading": sorted(NO_READING),
    }
    cursor = await tx.execute(_INSERT, parameters)
    return {
        uid.hex: Kept(uid.hex, Outcome.STORED, number, patient_id, unassigned)
        for uid, number, patient_id, unassigned in await cursor.fetchall()
    }


def _device_name(received: ReceivedItem) -> str | None:
    if received.item.dev == SCREEN and received.gateway is not None:
        return f"{SCREEN}:{received.gateway}"
    return received.item.dev


def _columns(rows: Sequence[ReceivedItem]) -> dict[str, list[Any]]:
    """Return one list for each column of the statement's first unnest."""
    items = [row.item for row in rows]
    user = [item.ctx.get("user_index") for item in items]
    return {
        "uid": [UUID(item.uid) for item in items],
        "t": [item.t for item in items],
        "tq": [item.tq for item in items],
        "type": [item.type for item in items],
        "event": [item.event for item in items],
        "about": [None if item.of is None else UUID(item.of) for item in items],
        "kind": [_kind_number(item) for item in items],
        "patient": [row.patient_id for row in rows],
        "gateway": [row.gateway_id for row in rows],
        "device": [_device_name(row) for row in rows],
        "user_index": [u if isinstance(u, int) else None for u in user],
        "boot": [row.boot for row in rows],
        "seq": [
            item.seq if row.gateway_id is not None else None
            for row, item in zip(rows, items, strict=True)
        ],
        "dev_t": [item.dev_t for item in items],
        "gw_t": [item.gw_t for item in items],
        "gw_q": [item.gw_q for item in items],
        "mono_ms": [item.mono_ms for item in items],
        "flags": [_SEPARATOR.join(_flags(item)) for item in items],
        "ctx": [msgspec.json.encode(item.ctx).decode() for item in items],
        "char": [item.char for item in items],
        "raw": [None if item.raw is None else bytes.fromhex(item.raw) for item in items],
        "entered_by": [row.entered_by for row in rows],
    }


def _samples(rows: Sequence[ReceivedItem]) -> dict[str, list[Any]]:
    found = [
        (
            UUID(row.item.uid),
            _component(row.item, sample.code).number,
            None if sample.value is None else float(sample.value),
            sample.absent,
        )
        for row in rows
        if row.item.type == "value"
        for sample in row.item.samples
    ]
    names = ("s_uid", "s_component", "s_value", "s_absent")
    return {name: [sample[i] for sample in found] for i, name in enumerate(names)}


def _kind_number(item: Item) -> int | None:
    if item.kind is None:
        return None
    if item.kind not in KINDS:
        raise DataRefused(f"unknown kind {item.kind!r}")
    return KINDS[item.kind].number


def _component(item: Item, code: str) -> Component:
    kind = KINDS.get(item.kind or "")
    component = kind.component(code) if kind else None
    if component is None:
        raise DataRefused(f"{item.kind} has no component {code!r}")
    return component


def _flags(item: Item) -> tuple[str, ...]:
    implausible = item.type == "value" and any(
        sample.value is not None and not _component(item, sample.code).is_plausible(sample.value)
        for sample in item.samples
    )
    if implausible and IMPLAUSIBLE not in item.flags:
        return (*item.flags, IMPLAUSIBLE)
    return item.flags


_ADD_DEVICES = """
INSERT INTO device (name, model)
SELECT * FROM unnest(%(names)s::text[], %(models)s::text[])
ON CONFLICT (name) DO UPDATE SET model = excluded.model
    WHERE device.model = '' AND excluded.model <> ''
"""

# One statement for the whole batch, for exactly the new uids. ``latest`` moves only forward; of two
# values of the same moment the greater uid wins, so that the order of arrival does not matter. What
# is no reading (alerts/standing.py) is nobody's latest: it would hide the one that is.
_INSERT = f"""
WITH incoming AS (
    SELECT * FROM unnest(
        %(uid)s::uuid[], %(t)s::timestamptz[], %(tq)s::text[], %(type)s::text[], %(event)s::text[],
        %(about)s::uuid[], %(kind)s::smallint[], %(patient)s::int[], %(gateway)s::int[],
        %(device)s::text[], %(user_index)s::bigint[], %(boot)s::uuid[], %(seq)s::bigint[],
        %(dev_t)s::timestamp[], %(gw_t)s::timestamptz[], %(gw_q)s::text[], %(mono_ms)s::bigint[],
        %(flags)s::text[], %(ctx)s::text[], %(char)s::text[], %(raw)s::bytea[],
        %(entered_by)s::int[]
    ) WITH ORDINALITY AS i (
        uid, t, tq, type, event, about, kind_id, named_patient, gateway_id, device, user_index,
        boot, seq, dev_t, gw_t, gw_q, mono_ms, flags, ctx, char, raw,
        entered_by, position)
), placed AS (
    SELECT i.*, d.id AS device_id, coalesce(i.named_patient, b.patient_id) AS patient_id,
           CASE WHEN i.named_patient IS NULL AND b.patient_id IS NULL
                THEN {corrections.why_unassigned("d.id", "i.t", "i.gw_t")} END AS unassigned
    FROM incoming i
    LEFT JOIN device d ON d.name = i.device
    LEFT JOIN LATERAL {corrections.binding_of("d.id", "i.user_index", "i.t", "i.gw_t")} b ON true
    ORDER BY i.position
), kept AS (
    INSERT INTO measurement (
        uid, measured_at, measured_how, type, event, about, kind_id, patient_id, unassigned,
        gateway_id, device_id, boot, seq, device_time, gateway_time, gateway_clock, mono_ms,
        stored_at, received_seq, flags, context, characteristic, raw, entered_by)
    SELECT uid, t, tq, type, event, about, kind_id, patient_id, unassigned, gateway_id,
           device_id, boot, seq, dev_t, gw_t, gw_q, mono_ms, %(stored_at)s,
           nextval('received_seq'), string_to_array(flags, '{_SEPARATOR}'), ctx::jsonb, char, raw,
           entered_by
    FROM placed
    RETURNING uid, measured_at, type, patient_id, unassigned, gateway_id, device_id, received_seq,
              flags
), observed AS (
    INSERT INTO observation (
        patient_id, measured_at, component_id, value, absent, device_id, received_seq, uid)
    SELECT k.patient_id, k.measured_at, s.component_id, s.value, s.absent, k.device_id,
           k.received_seq, k.uid
    FROM unnest(%(s_uid)s::uuid[], %(s_component)s::smallint[], %(s_value)s::float8[],
                %(s_absent)s::text[]) AS s (uid, component_id, value, absent)
    JOIN kept k USING (uid)
    RETURNING patient_id, measured_at, component_id, value, absent, uid
), newest AS (
    INSERT INTO latest (patient_id, component_id, measured_at, value, absent, uid)
    SELECT DISTINCT ON (patient_id, component_id)
           patient_id, component_id, measured_at, value, absent, uid
    FROM observed
    WHERE patient_id IS NOT NULL
      AND uid NOT IN (SELECT uid FROM kept WHERE flags && %(no_reading)s::text[])
      AND measured_at <= %(stored_at)s::timestamptz + make_interval(secs => %(future_s)s)
    ORDER BY patient_id, component_id, measured_at DESC, uid DESC
    ON CONFLICT (patient_id, component_id) DO UPDATE
    SET measured_at = excluded.measured_at, value = excluded.value, absent = excluded.absent,
        uid = excluded.uid
    WHERE (excluded.measured_at, excluded.uid) > (latest.measured_at, latest.uid)
), to_judge AS (
    INSERT INTO engine_inbox (received_seq, uid, patient_id, gateway_id, measured_at, stored_at)
    SELECT received_seq, uid, patient_id, gateway_id, measured_at, %(stored_at)s
    FROM kept WHERE type = 'value'
)
SELECT uid, received_seq, patient_id, unassigned FROM kept
"""
