"""The private PostgreSQL: chosen in one place, started, killed, stopped; its last words."""

import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from hemma import cluster as under_test
from hemma.account import service_account
from hemma.cluster import Cluster, Given, choose
from hemma.errors import MissingPartError, ServerFailedError, TakenError
from tests.fix_postgres import DatabaseServer, discard_cluster, plain_installation, start_cluster


def test_a_given_address_comes_before_everything_on_the_machine() -> None:
    assert choose({"HEMMA_DATABASE_URL": "postgresql://db.example/x"}) == Given(
        "postgresql://db.example/x"
    )


def test_no_server_at_all_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "on_machine", list)
    monkeypatch.setattr(under_test, "in_wheel", list)
    with pytest.raises(MissingPartError, match="apt-get install postgresql"):
        choose({})


@pytest.mark.integration
def test_what_was_committed_survives_a_kill(restartable_cluster: Cluster) -> None:
    with psycopg.connect(restartable_cluster.url()) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    restartable_cluster.kill()
    restartable_cluster.start()
    with psycopg.connect(restartable_cluster.url()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]


@pytest.mark.integration
def test_no_network_port_is_opened(restartable_cluster: Cluster) -> None:
    with psycopg.connect(restartable_cluster.url()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchall() == [("",)]
    socket_folder = restartable_cluster.folder / "socket"
    assert socket_folder.stat().st_mode & 0o077 == 0


@pytest.mark.integration
def test_a_second_server_in_the_folder_is_refused(restartable_cluster: Cluster) -> None:
    second = Cluster(restartable_cluster.installation, restartable_cluster.folder)
    with pytest.raises(TakenError, match="in use"):
        second.start()


@pytest.mark.integration
def test_a_bad_setting_is_told_with_the_servers_own_words() -> None:
    with pytest.raises(ServerFailedError, match="no_such_setting"):
        start_cluster(plain_installation(), {"no_such_setting": "1"})


@pytest.mark.integration
def test_a_death_is_noticed(restartable_cluster: Cluster) -> None:
    restartable_cluster.ensure_alive()
    process = restartable_cluster._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(ServerFailedError, match="ended by itself"):
        restartable_cluster.ensure_alive()


@pytest.mark.integration
def test_a_folder_with_a_long_path_gets_a_short_socket() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hemma-test-", dir="/tmp"), "x" * 100)
    folder.parent.chmod(0o711)
    long_one = Cluster(plain_installation(), folder)
    long_one.start()
    try:
        with psycopg.connect(long_one.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        discard_cluster(long_one)


@pytest.mark.integration
@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="Only root can. Not tried here: that root's server runs as another account.",
)
def test_as_root_the_server_runs_as_another_account(restartable_cluster: Cluster) -> None:
    account = service_account()
    assert account.uid != 0
    assert (restartable_cluster.folder / "data").stat().st_uid == account.uid


@pytest.mark.integration
def test_each_kind_gives_empty_databases_of_its_own(
    database_server: DatabaseServer, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        available = connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    if database_server.kind == "timescale":
        assert available == (1,)
    if database_server.kind == "postgres":
        assert available == (0,)
