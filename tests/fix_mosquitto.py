"""Real brokers for tests, private and on loopback, with the contract's access list."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from hemma.broker import ACCESS_LIST, SERVER_USER, Broker, mosquitto_program, password_line
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


@dataclass(frozen=True)
class Listeners:
    """The two ports of a broker made from the project's own template."""

    gateways: int
    server: int


def fill_template(folder: Path, ports: Listeners, gateways: Sequence[str]) -> Path:
    """Fill `deploy/mosquitto` in below `folder`; each user's password is its name.

    Returns the configuration's path. The broker keeps its memory in `data`.
    """
    data = folder / "data"
    data.mkdir()
    data.chmod(0o777)
    words = {
        "DATA": data,
        "LOG": "stdout",
        "GATEWAY_PORT": ports.gateways,
        "GATEWAY_ADDRESS": "127.0.0.1",
        "GATEWAY_PASSWORDS": folder / "gateways",
        "SERVER_PORT": ports.server,
        "SERVER_ADDRESS": "127.0.0.1",
        "SERVER_PASSWORDS": folder / "server",
        "ACL": folder / "acl",
    }
    conf = (ACCESS_LIST.parent / "mosquitto.conf.in").read_text()
    for word, value in words.items():
        assert f"@{word}@" in conf
        conf = conf.replace(f"@{word}@", str(value))
    (folder / "acl").write_text(ACCESS_LIST.read_text())
    (folder / "gateways").write_text("".join(password_line(name, name) for name in gateways))
    (folder / "server").write_text(password_line(SERVER_USER, SERVER_USER))
    (folder / "mosquitto.conf").write_text(conf)
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(0o644)
    return folder / "mosquitto.conf"
