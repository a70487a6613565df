"""The database's copy of ``devices.kinds``: the numbers that measurements point at."""

from __future__ import annotations

from typing import Any

import psycopg

from devices.kinds import KINDS
from server.store.errors import CatalogueConflict

_ADD_KIND = "INSERT INTO kind (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ADD_COMPONENT = """
INSERT INTO component (id, kind_id, code, unit) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def synchronise(connection: psycopg.Connection[Any]) -> None:
    """Add what is new in the catalogue; the caller commits.

    Raises :class:`CatalogueConflict` when a number already means something else: numbers are never
    reused.
    """
    kinds = [(kind.number, kind.name) for kind in KINDS.values()]
    components = [
        (component.number, kind.number, component.code, component.unit)
        for kind in KINDS.values()
        for component in kind.components
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_ADD_KIND, kinds)
        cursor.executemany(_ADD_COMPONENT, components)
        stored = set(cursor.execute("SELECT id, name FROM kind").fetchall())
        stored |= set(cursor.execute("SELECT id, kind_id, code, unit FROM component").fetchall())
    missing = [row for row in (*kinds, *components) if row not in stored]
    if missing:
        raise CatalogueConflict(f"a number of devices.kinds means something else here: {missing}")
