"""Real databases for tests: a private server of each kind a session, a fresh database a test.

Kinds: `postgres` (the machine's newest, else the wheel), `timescale` (the machine's or a Debian 13
tree's), and `given` when HEMMA_TEST_DATABASE_URL names a server whose role may create databases.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hemma.cluster import Cluster, Installation, in_wheel, inspect, on_machine
from tests.fix_missing import missing

TIMESCALE_BIN: Final = Path("/usr/lib/postgresql/17/bin")  # where Debian 13 puts it
TIMESCALE_TREE_NAME: Final = "trixie-timescaledb"
# Lost data after a crash of the machine does not matter here: nothing outlives the session.
FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
KINDS: Final = ("postgres", "timescale") + (
    ("given",) if os.environ.get("HEMMA_TEST_DATABASE_URL") else ()
)


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A running server; `url` gives the address of one of its databases."""

    kind: str
    url: Callable[[str], str]
    cluster: Cluster | None

    def execute(self, statement: sql.SQL | sql.Composed, database: str = "postgres") -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def fresh(self, template: str | None = None) -> str:
        """Make a database, a copy of `template` or empty, and return its name."""
        name = f"hemma_{uuid.uuid4().hex[:16]}"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        origin = sql.Identifier(template or "template0")
        self.execute(make.format(sql.Identifier(name), origin))
        return name

    def drop(self, name: str) -> None:
        """Remove a database and whoever is still connected to it."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(drop.format(sql.Identifier(name)))


def timescale_tree() -> Path:
    """Return where `deploy/test.sh` keeps the Debian 13 tree, outside the repository."""
    if named := os.environ.get("HEMMA_TEST_TIMESCALE_TREE"):
        return Path(named)
    shared = Path("/var/cache/hemma", TIMESCALE_TREE_NAME)
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hemma")
    return shared if shared.exists() else own / TIMESCALE_TREE_NAME


def plain_installation() -> Installation:
    """Return a server without the extension: the machine's, else the wheel's."""
    for one in (*on_machine(), *in_wheel()):
        if not one.has_timescale:
            return one
    return missing("PostgreSQL is not on this machine.")


def timescale_installation() -> Installation:
    """Return a server with TimescaleDB, the machine's own or the tree's."""
    named = os.environ.get("HEMMA_TEST_TIMESCALE_BIN")
    for one in on_machine((Path(named),) if named else ()):
        if one.has_timescale:
            return one
    tree = timescale_tree()
    if tree.is_dir():
        inside = inspect(TIMESCALE_BIN, origin="Debian 13 tree", root=tree)
        if inside is not None:
            return inside
    return missing("PostgreSQL with TimescaleDB is not on this machine.")


def start_cluster(installation: Installation, settings: dict[str, str]) -> Cluster:
    """Start a new private cluster where the service account reaches it; stop it yourself."""
    parent = installation.root / "tmp"
    folder = Path(tempfile.mkdtemp(prefix="hemma-test-", dir=parent))
    cluster = Cluster(installation, folder, settings)
    cluster.start()
    return cluster


def discard_cluster(cluster: Cluster) -> None:
    """Stop a cluster and remove its folder."""
    cluster.stop()
    shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture(scope="session", params=KINDS)
def database_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of each kind, shared by the session: do not stop it (use `restartable_cluster`)."""
    if request.param == "given":
        base = conninfo_to_dict(os.environ["HEMMA_TEST_DATABASE_URL"])
        yield DatabaseServer(
            "given", lambda name: make_conninfo("", **base | {"dbname": name}), None
        )
        return
    plain = request.param == "postgres"
    installation = plain_installation() if plain else timescale_installation()
    cluster = start_cluster(installation, dict(FAST))
    try:
        yield DatabaseServer(request.param, cluster.url, cluster)
    finally:
        discard_cluster(cluster)


@pytest.fixture(scope="session")
def migrated_template(database_server: DatabaseServer) -> str:
    """The name of a migrated database that nobody may connect to, to be copied."""
    from server.store.migrate import migrate

    made = database_server.fresh()
    migrate(database_server.url(made))
    database_server.execute(
        sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(made))
    )
    # TimescaleDB's scheduler stays connected to every database that has the extension.
    database_server.execute(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
            sql.Literal(made)
        )
    )
    return made


@pytest.fixture
def empty_database_url(database_server: DatabaseServer) -> Iterator[str]:
    """The address of a new database without any table: for tests of the migrations themselves."""
    name = database_server.fresh()
    yield database_server.url(name)
    database_server.drop(name)


@pytest.fixture
def database_url(database_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """The address of this test's own migrated database."""
    name = database_server.fresh(migrated_template)
    yield database_server.url(name)
    database_server.drop(name)


@pytest.fixture
def restartable_cluster() -> Iterator[Cluster]:
    """A plain cluster of this test's own, with safe settings, to stop, kill and start again.

    Its database `hemma` is empty.
    """
    cluster = start_cluster(plain_installation(), {})
    try:
        yield cluster
    finally:
        discard_cluster(cluster)
