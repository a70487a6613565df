"""Real brokers for tests, private and on loopback, with the contract's access list."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hemma.broker import SERVER_USER, Broker, mosquitto_program
from hemma.errors import MissingPartError
from tests.fix_missing import missing

# Names are told apart by number; no test needs more homes than this.
GATEWAYS: Final = ("gw-1", "gw-2", "gw-3")


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A running broker of this test's own: users `gw-1`…`gw-3` and the server's.

    `broker.port`, `broker.passwords[user]`; `stop`, `kill` and `start` as the test likes: the port
    stays.
    """
    try:
        mosquitto_program()
    except MissingPartError as error:
        missing(error.what)
    folder = Path(tempfile.mkdtemp(prefix="hemma-test-", dir="/tmp"))
    passwords = {user: secrets.token_urlsafe(12) for user in (*GATEWAYS, SERVER_USER)}
    private = Broker(folder, passwords)
    try:
        private.start()
        yield private
    finally:
        private.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def gateway_password_file(broker: Broker, tmp_path: Path) -> Path:
    """A file with the password of `gw-1`, as a gateway's settings name it."""
    return _password_file(tmp_path / "gw-1.password", broker.passwords["gw-1"])


@pytest.fixture
def server_password_file(broker: Broker, tmp_path: Path) -> Path:
    """A file with the password of the server's user."""
    return _password_file(tmp_path / "server.password", broker.passwords[SERVER_USER])


def _password_file(path: Path, password: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(password)
    return path
