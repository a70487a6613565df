"""Real databases for the bench, with the settings a server would have: nothing is switched off.

Every run has a database of its own, copied from a template: ours migrated and filled with the
patients and devices of the messages, or the one table that a user would make.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from hemma.cluster import Cluster, Installation, in_wheel, inspect, on_machine
from server.store.migrate import migrate
from tests.bench.ingest.messages import COMPONENTS, device_number, gateway_name
from tests.fix_postgres import TIMESCALE_BIN, DatabaseServer, timescale_tree

# The time of each commit is what everybody is measured by; checkpoints come between runs.
SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}
STOP_S: Final = 60.0
OURS: Final = "ours"
THEIRS: Final = "theirs"
UNKEYED: Final = "unkeyed"


@dataclass(frozen=True, slots=True)
class Committed:
    """Rows by the moment that their transaction was committed, in s since 1970, in order."""

    moments_s: tuple[float, ...]
    rows: tuple[int, ...]

    def between(self, start_s: float, end_s: float) -> int:
        """Return how many rows were committed then."""
        pairs = zip(self.moments_s, self.rows, strict=True)
        return sum(count for moment, count in pairs if start_s < moment <= end_s)

    @property
    def last_s(self) -> float:
        """When the last row was committed."""
        return self.moments_s[-1]


@dataclass
class Tier:
    """A running server of one kind, with its templates."""

    kind: str
    installation: Installation
    server: DatabaseServer
    cluster: Cluster
    templates: dict[str, str]

    @property
    def postmaster(self) -> int:
        """The process whose children do the work."""
        assert self.cluster._process is not None
        return self.cluster._process.pid

    def fresh(self, template: str) -> str:
        """Return the address of a new copy of a template, after a checkpoint."""
        name = self.server.fresh(self.templates[template])
        self.server.execute(sql.SQL("CHECKPOINT"))
        return self.server.url(name)

    def drop(self, url: str) -> None:
        """Remove a database that :meth:`fresh` made."""
        self.server.drop(url.rsplit("?", 1)[0].rsplit("/", 1)[1])

    def crash(self) -> None:
        """Stop at once, as an immediate stop does: no checkpoint, no goodbye."""
        self.cluster._signal(signal.SIGQUIT)
        assert self.cluster._process is not None
        self.cluster._process.wait(STOP_S)
        self.cluster.kill()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.cluster.stop()
        shutil.rmtree(self.cluster.folder, ignore_errors=True)


def installations() -> dict[str, Installation]:
    """Return what this machine can run, by kind; a kind that is missing is left out."""
    found: dict[str, Installation] = {}
    tree = timescale_tree()
    inside = inspect(TIMESCALE_BIN, origin="Debian 13 tree", root=tree) if tree.is_dir() else None
    for one in (*on_machine(), *in_wheel(), *([inside] if inside else [])):
        found.setdefault("timescale" if one.has_timescale else "postgres", one)
    return dict(sorted(found.items()))


def start(kind: str, installation: Installation, *, patients: int, gateways: int) -> Tier:
    """Start a server and make its templates."""
    folder = Path(tempfile.mkdtemp(prefix="hemma-bench-", dir=installation.root / "tmp"))
    cluster = Cluster(installation, folder, SETTINGS, ends_with_us=True)
    cluster.start()
    tier = Tier(kind, installation, DatabaseServer(kind, cluster.url, cluster), cluster, {})
    for template, fill in ((OURS, _settle), (THEIRS, _table), (UNKEYED, _unkeyed)):
        name = tier.server.fresh()
        with_extension = kind == "timescale"
        fill(tier.server.url(name), with_extension, patients, gateways)
        _close_template(tier.server, name)
        tier.templates[template] = name
    return tier


def query(url: str, statement: LiteralString, *values: object) -> Sequence[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with psycopg.connect(url, autocommit=True) as db:
        return db.execute(statement, values or None).fetchall()


def committed(url: str, table: str) -> Committed:
    """Return when the rows of ``table`` were committed, by PostgreSQL's own record of commits."""
    with psycopg.connect(url) as db:
        statement = sql.SQL(_COMMITTED).format(sql.Identifier(table))
        found = db.execute(statement).fetchall()
    return Committed(tuple(row[0] for row in found), tuple(row[1] for row in found))


def _settle(url: str, with_extension: bool, patients: int, gateways: int) -> None:
    """Fill ours: everybody who sends is known, every device is bound."""
    migrate(url)
    with psycopg.connect(url) as db:
        db.execute(
            "WITH p AS (INSERT INTO care_provider (name) VALUES ('Provkommunen') RETURNING id) "
            "INSERT INTO unit (provider_id, name) SELECT id, 'Hemsjukvården' FROM p"
        )
        db.execute(_PATIENTS, (patients,))
        names = [gateway_name(number) for number in range(gateways)]
        db.execute(
            "INSERT INTO gateway (name, unit_id) SELECT n, unit.id FROM unnest(%s::text[]) n, unit",
            (names,),
        )
        pairs = [
            (f"ble-{device_number(k, p):012x}", p) for k in COMPONENTS for p in range(patients)
        ]
        devices = [name for name, _ in pairs]
        db.execute(_BINDINGS, (devices, devices, [p for _, p in pairs]))
    assert with_extension == bool(
        query(url, "SELECT FROM pg_extension WHERE extname = 'timescaledb'")
    )


def _table(url: str, with_extension: bool, _patients: int, _gateways: int) -> None:
    _make_reading(url, with_extension, ", PRIMARY KEY (patient_id, kind, ts, device_id)")


def _unkeyed(url: str, with_extension: bool, _patients: int, _gateways: int) -> None:
    """Make the same table without its key, so that what is stored twice is seen."""
    _make_reading(url, with_extension, "")


def _make_reading(url: str, with_extension: bool, key: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(_READING + key + ")")
        if with_extension:
            db.execute("CREATE EXTENSION timescaledb")
            db.execute(
                "SELECT create_hypertable('reading', by_range('ts', INTERVAL '7 days'),"
                " create_default_indexes => false)"
            )


def _close_template(server: DatabaseServer, name: str) -> None:
    server.execute(
        sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name))
    )
    # TimescaleDB's scheduler stays connected to every database that has the extension.
    server.execute(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
            sql.Literal(name)
        )
    )


def started_at() -> datetime:
    """Return now, for reports."""
    return datetime.now(UTC).replace(microsecond=0)


_COMMITTED: Final = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(x))::float8 AS at, n
FROM (SELECT xmin AS x, count(*) AS n FROM {} GROUP BY xmin) AS t
WHERE pg_xact_commit_timestamp(x) IS NOT NULL ORDER BY at
"""
_PATIENTS: Final = """
INSERT INTO patient (identifier_system, identifier_value, given_name, family_name, unit_id)
SELECT 'urn:hemma:bench', 'BENCH-' || n, 'Prov', 'Påhittad', unit.id
FROM generate_series(0, %s - 1) n, unit
"""
_BINDINGS: Final = """
WITH d AS (
    INSERT INTO device (name, model) SELECT n, 'UA-651BLE' FROM unnest(%s::text[]) n
    RETURNING id, name
)
INSERT INTO binding (device_id, patient_id, valid)
SELECT d.id, p.id, tstzrange(now() - INTERVAL '400 days', NULL)
FROM unnest(%s::text[], %s::int[]) AS n (name, patient)
JOIN d USING (name) JOIN patient p ON p.identifier_value = 'BENCH-' || n.patient
"""
_READING: Final = """
CREATE TABLE reading (
    patient_id int NOT NULL, kind int NOT NULL, ts timestamptz NOT NULL, device_id bigint NOT NULL,
    value double precision, uid text NOT NULL
"""
