"""The private broker: passwords, a port that stays, clear words when something is in the way."""

import socket
import tempfile
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from hemma.broker import LOOPBACK, SERVER_USER, Broker, free_port, password_line
from hemma.errors import TakenError


def connect(broker: Broker, user: str, password: str, port: int | None = None) -> str:
    """Return what the broker said to a client with this name and password."""
    said: list[ReasonCode] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=MQTTv5)
    client.username_pw_set(user, password)
    client.on_connect = lambda _c, _u, _f, code, _p: said.append(code)
    client.connect(LOOPBACK, port or broker.port or 0)
    while not said:
        client.loop(timeout=0.2)
    client.disconnect()
    return str(said[0])


def test_a_password_is_never_written_plainly() -> None:
    line = password_line("gw-1", "hemligt")
    assert line.startswith("gw-1:$7$101$")
    assert "hemligt" not in line


@pytest.mark.integration
def test_only_the_right_password_is_let_in(broker: Broker) -> None:
    assert connect(broker, "gw-1", broker.passwords["gw-1"]) == "Success"
    assert connect(broker, "gw-1", "wrong") == "Not authorized"


@pytest.mark.integration
def test_the_port_stays_after_a_kill(broker: Broker) -> None:
    before = broker.port
    broker.kill()
    broker.start()
    assert broker.port == before
    assert connect(broker, "gw-2", broker.passwords["gw-2"]) == "Success"


@pytest.mark.integration
def test_homes_have_a_door_of_their_own() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hemma-test-", dir="/tmp"))
    with Broker(folder, {SERVER_USER: "s", "gw-1": "g"}, is_apart=True) as broker:
        assert connect(broker, "gw-1", "g", broker.home_port) == "Success"
        assert connect(broker, SERVER_USER, "s") == "Success"
        assert connect(broker, "gw-1", "g") == "Not authorized"
        assert connect(broker, SERVER_USER, "s", broker.home_port) == "Not authorized"


@pytest.mark.integration
def test_a_taken_port_is_named(broker: Broker) -> None:
    with socket.create_server((LOOPBACK, free_port())) as other:
        port = other.getsockname()[1]
        second = Broker(Path(tempfile.mkdtemp(prefix="hemma-test-", dir="/tmp")), {}, port)
        with pytest.raises(TakenError, match=str(port)):
            second.start()
