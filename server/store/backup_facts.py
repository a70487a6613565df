"""What a backup holds, said so that a restored database can be compared with it.

Rules of this file: facts and dump are of one snapshot, so that the server may run meanwhile. Every
table of the schema is counted and digested, those that are cut by time week for week: a difference
then says where it is. A digest is the sum over its rows of a hash of the row's text, so it does not
depend on their order, and a row that stands twice shows. It finds damage, not a forger: whoever can
change the dump can change the manifest beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from server.store.database import CONNECT_TIMEOUT_S, KEEPALIVE, errors_named
from server.store.migrate import VERSION_TABLE

Connection = psycopg.Connection[Any]

# Rows read as text must read the same there and here.
_FORMATS = (
    "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1"
    " -c bytea_output=hex -c search_path=public -c statement_timeout=0"
)
WHOLE = "all"
# Tables that are cut by time, and the time they are cut by.
_BY_WEEK = {"measurement": "measured_at", "observation": "measured_at"}


class Part(msgspec.Struct, frozen=True):
    """A table, or one week of it (``week`` is its Monday, or ``all``)."""

    table: str
    week: str
    rows: int
    digest: str


class Facts(msgspec.Struct, frozen=True):
    """What stands in a database at one moment.

    ``taken_at`` is the database's clock at the snapshot. ``received_seq`` is the highest number the
    server has given to anything stored, 0 for nothing. ``chain_heads`` are the newest links of the
    certificates' chains by gateway, where the schema has any.
    """

    taken_at: datetime
    schema_version: str
    server_version: int
    timescale: str | None
    received_seq: int
    parts: tuple[Part, ...]
    chain_heads: Mapping[str, str]

    @property
    def tables(self) -> dict[str, int]:
        """The number of rows of each table."""
        counted: dict[str, int] = {}
        for part in self.parts:
            counted[part.table] = counted.get(part.table, 0) + part.rows
        return counted


@dataclass(frozen=True, slots=True)
class Server:
    """A database server: its version as a number (170002), TimescaleDB's or None."""

    version: int
    timescale: str | None

    @property
    def major(self) -> int:
        """The major version."""
        return self.version // 10_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a database, held as long as its ``with`` lasts; ``name`` is for pg_dump."""

    name: str
    server: Server
    connection: Connection


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """Hold one moment of the database at ``url``; raises DatabaseUnavailable without it."""
    with errors_named(), connection(url) as held, held.transaction():
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        (name,) = _row(held, "SELECT pg_export_snapshot()")
        yield Snapshot(name, server_of(held), held)


@contextmanager
def connection(url: str) -> Iterator[Connection]:
    """Give a connection that reads rows as every other of this kind does, without time limit."""
    given = conninfo_to_dict(url).get("options") or ""
    options: dict[str, Any] = {
        "application_name": "hemma-backup",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": f"{given} {_FORMATS}".strip(),
        **KEEPALIVE,
    }
    with psycopg.connect(url, autocommit=True, **options) as held:
        yield held


def server_of(held: Connection) -> Server:
    """Return the server's versions."""
    row = held.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    return Server(held.info.server_version, None if row is None else str(row[0]))


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """Return an address that may stand in a list of processes, and the environment beside it."""
    given = conninfo_to_dict(url)
    password = given.pop("password", None)
    options: dict[str, Any] = dict(given)
    environment = {} if password is None else {"PGPASSWORD": str(password)}
    return make_conninfo("", **options), environment


def facts(held: Connection) -> Facts:
    """Read all facts; in a snapshot's connection they are of its moment."""
    with errors_named():
        names = tables(held)
        (at, received) = _row(held, "SELECT now(), coalesce(max(received_seq), 0) FROM measurement")
        (version,) = _row(held, f"SELECT version_num FROM {VERSION_TABLE}")
        server = server_of(held)
        return Facts(
            taken_at=at,
            schema_version=str(version),
            server_version=server.version,
            timescale=server.timescale,
            received_seq=int(received),
            parts=tuple(part for name in names for part in _parts(held, name)),
            chain_heads=_chain_heads(held) if "certificate" in names else {},
        )


def tables(held: Connection) -> list[str]:
    """Return the schema's own tables by name; empty where nothing is restored or migrated."""
    rows = held.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
        " ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def _parts(held: Connection, table: str) -> list[Part]:
    column = _BY_WEEK.get(table)
    week: sql.Composable = sql.Literal(WHOLE)
    if column is not None:
        week = sql.SQL("to_char(date_trunc('week', {}), 'YYYY-MM-DD')").format(
            sql.Identifier(column)
        )
    rows = held.execute(_DIGEST.format(week=week, table=sql.Identifier(table))).fetchall()
    found = [Part(table, label, number, digest) for label, number, digest in rows]
    return found or [Part(table, WHOLE, 0, "0")]


def _chain_heads(held: Connection) -> dict[str, str]:
    """Return the newest link of each gateway's chain, with its day."""
    rows = held.execute(
        "SELECT DISTINCT ON (g.name) g.name, c.day || ' ' || encode(c.chain, 'hex')"
        " FROM certificate c JOIN gateway g ON g.id = c.gateway_id"
        " ORDER BY g.name, c.day DESC"
    ).fetchall()
    return dict(rows)


def _row(held: Connection, statement: str) -> tuple[Any, ...]:
    row = held.execute(statement.encode()).fetchone()
    assert row is not None, "one row"
    return tuple(row)


# 60 bits of each row's hash; a numeric holds the sum of any number of them.
_DIGEST = sql.SQL(
    "SELECT {week}, count(*), sum(('x' || left(md5(t::text), 15))::bit(60)::bigint)::text"
    " FROM {table} AS t GROUP BY 1 ORDER BY 1"
)
