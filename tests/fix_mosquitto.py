"""Real brokers for tests, private and on loopback, with the contract's access list."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hemma.broker import ACCESS_LIST, SERVER_USER, Broker, mosquitto_program
from hemma.errors import MissingPartError
from tests.fix_missing import missing

# Names are told apart by number; no test needs more homes than this.
GATEWAYS: Final = ("gw-1", "gw-2", "gw-3")
MINIMAL_ACCESS_LIST: Final = """\
user _hemma-server
topic read hemma/v1/+/#
topic read $share/+/hemma/v1/+/#
topic write hemma/v1/+/ack
topic write hemma/v1/+/receipts
topic write hemma/v1/+/requests
topic write hemma/v1/+/config
pattern write hemma/v1/%u/measurements
pattern write hemma/v1/%u/backlog
pattern write hemma/v1/%u/status
pattern write hemma/v1/%u/log
pattern write hemma/v1/%u/config/reported
pattern read hemma/v1/%u/ack
pattern read hemma/v1/%u/receipts
pattern read hemma/v1/%u/requests
pattern read hemma/v1/%u/config
"""


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
    private = Broker(folder, passwords, access_list=_access_list(folder))
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


def _access_list(folder: Path) -> Path:
    if ACCESS_LIST.exists():
        return ACCESS_LIST
    minimal = folder.with_name(folder.name + ".acl")
    minimal.write_text(MINIMAL_ACCESS_LIST)
    return minimal
