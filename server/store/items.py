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
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from typing import NamedTuple

import msgspec

from devices.wire import Item
from server.store import corrections, placing, quarantine
from server.store.arrays import microseconds
from server.store.claims import Claimed, are_ahead, claim
from server.store.clocks import Clocks
from server.store.database import Transaction
from server.store.identity import fingerprint
from server.store.rows import Rows, write

# Where a home screen stands is part of who may have answered on it: each gateway's is its own
# device.
SCREEN = "screen"
# Values that a person entered for somebody else; they name the patient themselves.
PROXY = "proxy"
# Why a conflict is in quarantine, and what its gateway is told.
UID_TAKEN = "uid_taken"


class ReceivedItem(NamedTuple):
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


class Kept(NamedTuple):
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
    if not items:
        return []
    said = [received.item for received in items]
    clocks = Clocks.of(said)
    late_facts = any(item.type in ("clock", "retract") for item in said)
    ahead = bool(are_ahead(clocks, stored_at).any())
    await corrections.take_turn(tx, alone=late_facts or ahead)
    identities = [_fingerprint(received) for received in items]
    claimed = await claim(tx, said, identities, clocks, stored_at=stored_at)
    rows = [position for position in claimed.new if said[position].type in ("value", "event")]
    kept: list[Kept] = []
    if rows:
        kept = await _store(tx, [items[i] for i in rows], clocks.take(rows), stored_at)
    await _keep_facts(tx, [items[i] for i in claimed.new], stored_at)
    await _put_conflicts_aside(tx, [items[i] for i in claimed.conflicts], stored_at)
    if any(said[position].type == "value" for position in rows):
        await tx.execute("SELECT pg_notify('hemma_inbox', '')")
    return _outcomes(items, claimed, kept)


def _outcomes(items: Sequence[ReceivedItem], claimed: Claimed, kept: list[Kept]) -> list[Kept]:
    if len(kept) == len(items):
        return kept
    stored = {one.uid: one for one in kept}
    outcomes = dict.fromkeys(claimed.new, Outcome.STORED)
    outcomes |= dict.fromkeys(claimed.conflicts, Outcome.CONFLICT)
    answers = []
    for position, received in enumerate(items):
        uid = received.item.uid
        outcome = outcomes.get(position, Outcome.DUPLICATE)
        row = stored.get(uid) if outcome is Outcome.STORED else None
        answers.append(row or Kept(uid, outcome))
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
    facts = [received for received in new if received.item.type not in ("value", "event")]
    for received in facts:
        await _keep_fact(tx, received, stored_at)
    waiting = [one for one in new if one.item.type == "clock" or _awaits_clock(one.item)]
    if waiting:
        boots = {_boot_of(received) for received in waiting} - {None}
        await corrections.correct_clocks(tx, sorted(b for b in boots if b), at=stored_at)
    touched = [received.item.uid for received in new]
    touched += [received.item.of for received in facts if received.item.of]
    await corrections.mark_retracted(tx, touched, at=stored_at)


async def _keep_fact(tx: Transaction, received: ReceivedItem, stored_at: datetime) -> None:
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


async def _store(
    tx: Transaction, new: Sequence[ReceivedItem], clocks: Clocks, stored_at: datetime
) -> list[Kept]:
    """Store new values and events, in the order in which they came; return the same of each."""
    names = [_device_name(received) for received in new]
    models = {
        name: received.item.model or ""  # the last word counts
        for name, received in zip(names, new, strict=True)
        if name is not None
    }
    known = await placing.devices_of(tx, models)
    devices = [None if name is None else known[name] for name in names]
    places = [_place(received, device) for received, device in zip(new, devices, strict=True)]
    uids = [received.item.uid for received in new]
    rows = Rows(
        items=[received.item for received in new],
        clocks=clocks,
        uids=bytes.fromhex("".join(uids)),
        received_seqs=await _received_numbers(tx, len(new)),
        gateways=[received.gateway_id for received in new],
        boots=[received.boot for received in new],
        devices=[None if device is None else device.id for device in devices],
        patients=[patient for patient, _ in places],
        unassigned=[reason for _, reason in places],
        entered_by=[received.entered_by for received in new],
    )
    await write(tx, rows, stored_at_us=microseconds(stored_at))
    told = zip(uids, repeat(Outcome.STORED), rows.received_seqs, rows.patients, rows.unassigned)
    return list(map(Kept._make, told))


def _place(received: ReceivedItem, device: placing.Device | None) -> tuple[int | None, str | None]:
    """Return whose a value is, or why it is nobody's."""
    if received.patient_id is not None:
        return received.patient_id, None
    return (None, "no_device") if device is None else device.patient_of(received.item)


def _device_name(received: ReceivedItem) -> str | None:
    if received.item.dev == SCREEN and received.gateway is not None:
        return f"{SCREEN}:{received.gateway}"
    return received.item.dev


async def _received_numbers(tx: Transaction, count: int) -> list[int]:
    """Draw so many numbers of the server's order, ascending."""
    async with tx.cursor(binary=True) as cursor:
        await cursor.execute(_NUMBERS, (count,))
        row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    numbers: list[int] = row[0]
    return numbers


_NUMBERS = "SELECT array_agg(nextval('received_seq')) FROM generate_series(1, %s)"
