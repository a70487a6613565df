"""What homes have measured beside what the server has: each value once, nothing else, all equal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from devices import wire
from devices.wire import Item
from server.store import ledger
from server.store.database import Database
from tests.chaos.home import devices_of
from tests.chaos.parts import House
from tests.server.homes import rows

SHOWN_MAX: Final = 5


@dataclass
class Count:
    """What came of the values of a stage; ``faults`` says in words what may not be.

    ``measured`` were taken from a device, ``written`` are rows of the outboxes, ``acknowledged`` of
    them the home knows to be stored; ``stored`` are there, ``components`` with them.
    ``duplicates`` came again and were known, ``late`` came after ten minutes. ``judged`` have left
    the engine's inbox, with so many ``decisions``. ``lost`` and ``doubled`` count whatever is gone
    or there twice: values, components, what waits for the engine, decisions.
    """

    measured: int = 0
    written: int = 0
    acknowledged: int = 0
    stored: int = 0
    components: int = 0
    lost: int = 0
    doubled: int = 0
    duplicates: int = 0
    late: int = 0
    judged: int = 0
    decisions: int = 0
    faults: list[str] = field(default_factory=list)

    def blame(self, what: str, which: Iterable[object]) -> int:
        """Note what is wrong with ``which``, if with any; return with how many."""
        found = [str(one) for one in which]
        if found:
            shown = ", ".join(found[:SHOWN_MAX])
            self.faults.append(f"{what}: {len(found)} ({shown})")
        return len(found)


@dataclass(frozen=True, slots=True)
class Written:
    """A row of an outbox: the item as it travels, and where it is numbered."""

    home: str
    boot: str
    item: Item


def settle(url: str, homes: Sequence[str]) -> None:
    """Register the homes and bind their devices, each home's to a person of its own."""
    with psycopg.connect(url) as db:
        db.execute(_UNIT)
        for name in homes:
            db.execute(_PATIENT, (name,))
            db.execute("INSERT INTO gateway (name, unit_id) SELECT %s, id FROM unit", (name,))
            devices = devices_of(name)
            for device in (devices.cuff, devices.thermometer):
                db.execute(_BINDING, (device, name))


def missing(url: str, uids: Iterable[str]) -> list[str]:
    """Return those of ``uids`` that are not stored; raises OperationalError while that is away."""
    wanted = list(uids)
    return [uid for (uid,) in rows(url, _MISSING, wanted)] if wanted else []


def count(url: str, houses: Sequence[House], *, is_judged: bool) -> Count:
    """Count everything, once all is quiet. ``is_judged``: an engine has emptied the inbox."""
    found = Count()
    written = [one for house in houses for one in _written(house)]
    items = {one.item.uid: one for one in written}
    found.written = len(written)
    found.acknowledged = sum(len(house.acknowledged()) for house in houses)
    found.doubled += found.blame(
        "one uid for two rows at home", _twice(w.item.uid for w in written)
    )
    for house in houses:
        _at_home(found, house)
    _measurements(found, url, items)
    _components(found, url, items)
    _inbox(found, url, items, is_judged=is_judged)
    found.blame("not the newest in latest", rows(url, _NOT_LATEST))
    found.blame("in quarantine", rows(url, "SELECT gateway, seq, reason FROM quarantine"))
    asyncio.run(_fold(url))
    _ledger(found, url, written)
    return found


def _written(house: House) -> list[Written]:
    asked = house.ask("SELECT boot, item FROM outbox ORDER BY rowid")
    return [Written(house.name, str(boot), wire.decode_item(_bytes(item))) for boot, item in asked]


def _at_home(found: Count, house: House) -> None:
    """Compare what came from the devices with what the outbox made of it."""
    measured = Counter(house.measured())
    found.measured += measured.total()
    kept = Counter((one.item.dev, one.item.raw) for one in _written(house))
    # A cuff's same bytes again, time and all, are the same record; a thermometer's are another.
    cuff = devices_of(house.name).cuff
    gone = [
        (device, raw)
        for (device, raw), times in measured.items()
        if kept[(device, raw)] < (1 if device == cuff else times)
    ]
    found.lost += found.blame(f"{house.name}: taken from a device, not in the outbox", gone)
    open_rows = house.ask("SELECT seq, state, reason FROM outbox WHERE state <> 'stored'")
    found.blame(f"{house.name}: not acknowledged", open_rows)
    found.blame(f"{house.name}: left in the journal", house.ask("SELECT id FROM journal"))


def _measurements(found: Count, url: str, items: dict[str, Written]) -> None:
    stored = rows(url, _MEASUREMENT)
    found.stored = len(stored)
    found.doubled += found.blame("stored twice", _twice(row[0] for row in stored))
    found.lost += found.blame("not stored", items.keys() - {row[0] for row in stored})
    found.blame("stored, and written by nobody", {row[0] for row in stored} - items.keys())
    other = [
        (uid, said, _facts(items[uid])) for uid, *said in stored
        if uid in items and tuple(said) != _facts(items[uid])
    ]  # fmt: skip
    found.blame("stored otherwise than written", other)
    found.blame("claimed twice", rows(url, _CLAIMED_TWICE))
    found.blame("claimed, and not stored", rows(url, _CLAIMED_ONLY))


def _facts(one: Written) -> tuple[object, ...]:
    """Return what must be in the row beside the uid, in the order of the statement."""
    item = one.item
    return (
        one.home,
        one.boot,
        item.seq,
        item.kind,
        item.dev,
        item.t,
        item.gw_t,
        item.raw,
        one.home,
    )


def _components(found: Count, url: str, items: dict[str, Written]) -> None:
    stored = Counter((uid, code, value) for uid, code, value in rows(url, _OBSERVATION))
    wanted = Counter(
        (uid, sample.code, sample.value)
        for uid, one in items.items()
        for sample in one.item.samples
    )
    found.components = stored.total()
    found.lost += found.blame("components not stored", wanted - stored)
    found.doubled += found.blame("components stored twice", (stored - wanted) & wanted)
    found.blame("components that nobody measured", (stored - wanted) - wanted)


def _inbox(found: Count, url: str, items: dict[str, Written], *, is_judged: bool) -> None:
    waiting = [uid for (uid,) in rows(url, "SELECT replace(uid::text, '-', '') FROM engine_inbox")]
    if is_judged:
        found.judged = len(items) - len(waiting)
        found.decisions = rows(url, "SELECT count(*) FROM decision")[0][0]
        found.blame("not judged", waiting)
        found.doubled += found.blame("decided twice", rows(url, _DECIDED_TWICE))
        return
    found.doubled += found.blame("twice in the engine's inbox", _twice(waiting))
    found.lost += found.blame("not in the engine's inbox", items.keys() - set(waiting))


def _ledger(found: Count, url: str, written: Sequence[Written]) -> None:
    wanted: dict[tuple[str, str], list[int]] = {}
    for one in written:
        wanted.setdefault((one.home, one.boot), []).append(one.item.seq)
    told = {(name, boot): had for name, boot, had in rows(url, _LEDGER)}
    other = [
        (key, told.get(key))
        for key, seqs in wanted.items()
        if told.get(key) != f"{{[1,{len(seqs) + 1})}}"
    ]
    found.blame("gaps in the ledger", other)
    found.duplicates, found.late = rows(url, _AGAIN)[0]


async def _fold(url: str) -> None:
    async with Database.connect(url, name="chaos") as database, database.transaction() as tx:
        await ledger.fold(tx, at=datetime.now(UTC))


def _twice(names: Iterable[Any]) -> list[Any]:
    return [name for name, times in Counter(names).items() if times > 1]


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes | str)
    return value.encode() if isinstance(value, str) else value


_UNIT: Final = """
WITH p AS (INSERT INTO care_provider (name) VALUES ('Provkommunen') RETURNING id)
INSERT INTO unit (provider_id, name) SELECT id, 'Hemsjukvården' FROM p
"""
_PATIENT: Final = """
INSERT INTO patient (identifier_system, identifier_value, given_name, family_name, unit_id)
SELECT 'urn:hemma:demo', %s, 'Prov', 'Påhittad', id FROM unit
"""
_BINDING: Final = """
WITH d AS (INSERT INTO device (name, model) VALUES (%s, 'Virtual') RETURNING id)
INSERT INTO binding (device_id, patient_id, valid)
SELECT d.id, p.id, tstzrange(now() - INTERVAL '400 days', NULL)
FROM d, patient p WHERE p.identifier_value = %s
"""
_MISSING: Final = """
SELECT n.uid FROM unnest(%s::text[]) AS n (uid)
WHERE NOT EXISTS (SELECT FROM measurement m WHERE m.uid = n.uid::uuid)
"""
_MEASUREMENT: Final = """
SELECT replace(m.uid::text, '-', ''), g.name, m.boot::text, m.seq, k.name, d.name,
       m.measured_at, m.gateway_time, encode(m.raw, 'hex'), p.identifier_value
FROM measurement m LEFT JOIN gateway g ON g.id = m.gateway_id LEFT JOIN kind k ON k.id = m.kind_id
LEFT JOIN device d ON d.id = m.device_id LEFT JOIN patient p ON p.id = m.patient_id
"""
_OBSERVATION: Final = """
SELECT replace(o.uid::text, '-', ''), c.code, o.value
FROM observation o JOIN component c ON c.id = o.component_id
"""
_CLAIMED_TWICE: Final = "SELECT uid FROM item_uid GROUP BY uid HAVING count(*) > 1"
_CLAIMED_ONLY: Final = (
    "SELECT i.uid FROM item_uid i WHERE NOT EXISTS (SELECT FROM measurement m WHERE m.uid = i.uid)"
)
_NOT_LATEST: Final = """
SELECT patient_id, component_id, l.uid, o.uid
FROM latest l FULL JOIN (
    SELECT DISTINCT ON (patient_id, component_id) patient_id, component_id, uid, measured_at, value
    FROM observation ORDER BY patient_id, component_id, measured_at DESC, uid DESC
) o USING (patient_id, component_id)
WHERE (l.uid, l.measured_at, l.value) IS DISTINCT FROM (o.uid, o.measured_at, o.value)
"""
_DECIDED_TWICE: Final = """
SELECT patient_id, rule, decided, uids FROM decision
GROUP BY patient_id, rule, decided, uids HAVING count(*) > 1
"""
_LEDGER: Final = """
SELECT g.name, l.boot::text, l.had::text FROM ledger l JOIN gateway g ON g.id = l.gateway_id
"""
_AGAIN: Final = "SELECT coalesce(sum(duplicates), 0)::int, coalesce(sum(late), 0)::int FROM ledger"
