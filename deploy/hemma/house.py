"""Everything that the demo runs: database, broker, server and one home, started and stopped here.

All of it is this machine's loopback or a Unix socket. What is started last is stopped first.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from devices.virtual.people import PEOPLE
from hemma.broker import LOOPBACK, SERVER_USER, Broker, free_port
from hemma.children import Child, start_child
from hemma.cluster import Cluster, Given, Installation
from hemma.errors import ServerFailedError
from hemma.home import Home
from hemma.seed import LIVE_PERSON, SEED, gateway_name
from hemma.virtual_home import SEED_VARIABLE
from server.store.database import Database

WEB_PORT: Final = 8000  # the one people know; another free one when it is taken
SERVER_TIMEOUT_S: Final = 90.0  # a Raspberry Pi takes its time to load four processes
POLL_INTERVAL_S: Final = 0.1
WATCH_INTERVAL_S: Final = 1.0


@dataclass(slots=True)
class House:
    """What runs, as it starts. `database` is ours; the server's roles open their own."""

    folder: Path
    environment: Mapping[str, str]
    database_url: str
    database: Database
    broker: Broker
    web_port: int
    server: Child | None = None
    home: Home | None = None
    cluster: Cluster | None = None
    _away: bool = False

    @property
    def base_url(self) -> str:
        """The address of the pages."""
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def the_home(self) -> Home:
        """The home, once it has been started."""
        assert self.home is not None, "start_home comes first"
        return self.home

    async def start_server(self) -> None:
        """Start the server's roles and wait until pages and ingest answer."""
        log = self.folder / "server.log"
        heard_before = _ingest_connections(log)
        command = [sys.executable, "-m", "hemma", "server", "run"]
        child = await start_child("The server", command, environment=self.environment, log=log)
        self.server = child
        self._away = False
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False) as client:

            async def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/healthz")).status_code == httpx.codes.OK
                return False

            deadline_s = asyncio.get_running_loop().time() + SERVER_TIMEOUT_S
            while not (await answers() and _ingest_connections(log) > heard_before):
                self.ensure_alive()
                if asyncio.get_running_loop().time() > deadline_s:
                    raise ServerFailedError("The server did not answer in time", child.log_tail())
                await asyncio.sleep(POLL_INTERVAL_S)

    async def stop_server(self) -> None:
        """Stop the server's roles; values wait in the home's outbox meanwhile."""
        self._away = True
        if self.server is not None:
            await self.server.stop()

    async def start_home(self) -> None:
        """Start the home with its four devices; `listen` to it in a task of its own."""
        name = gateway_name(next(one for one in PEOPLE if one.key == LIVE_PERSON))
        data = self.folder / "home"
        data.mkdir(mode=0o700, exist_ok=True)
        password_file = _secret(self.folder / f"{name}.password", self.broker.passwords[name])
        environment = {
            **self.environment,
            "HEMMA_MQTT_PORT": str(self.broker.home_port),
            "HEMMA_GATEWAY_NAME": name,
            "HEMMA_GATEWAY_DATA": str(data),
            "HEMMA_MQTT_PASSWORD_FILE": str(password_file),
            SEED_VARIABLE: str(SEED),
        }
        self.home = await Home.start(environment, self.folder / "home.log")

    async def watch(self) -> None:
        """Run until something that should run has died; raises ServerFailedError then."""
        while True:
            self.ensure_alive()
            await asyncio.sleep(WATCH_INTERVAL_S)

    def ensure_alive(self) -> None:
        """Raise ServerFailedError when something that should run has died."""
        self.broker.ensure_alive()
        if self.cluster is not None:
            self.cluster.ensure_alive()
        server = None if self._away else self.server
        if server is not None and server.process.returncode is not None:
            raise server.died()

    async def stop(self) -> None:
        """Stop home and server, in that order."""
        if self.home is not None:
            await self.home.child.stop()
        await self.stop_server()


@contextlib.asynccontextmanager
async def open_house(
    folder: Path, chosen: Given | Installation, *, web_port: int, say: Callable[[str], None]
) -> AsyncIterator[House]:
    """Start database and broker in `folder`; stop all that runs in the house when it is left."""
    async with contextlib.AsyncExitStack() as stack:
        cluster, url = None, ""
        if isinstance(chosen, Given):
            url = chosen.url
            say("PostgreSQL: the server in HEMMA_DATABASE_URL")
        else:
            cluster = Cluster(chosen, folder / "postgresql", ends_with_us=True)
            stack.enter_context(cluster)
            url = cluster.url()
            say(chosen.description)
        broker = Broker(folder / "broker", _broker_passwords(), is_apart=True, ends_with_us=True)
        stack.enter_context(broker)
        say(f"mosquitto on {LOOPBACK}:{broker.port}")
        database = await stack.enter_async_context(Database.connect(url, name="hemma-demo"))
        environment = _environment(folder, url, broker, web_port)
        house = House(folder, environment, url, database, broker, web_port, cluster=cluster)
        stack.push_async_callback(house.stop)
        yield house


def _broker_passwords() -> dict[str, str]:
    names = [gateway_name(person) for person in PEOPLE if person.devices]
    return {name: secrets.token_urlsafe(18) for name in (*names, SERVER_USER)}


def known_port() -> int:
    """Return the port that people know, or another free one when it is taken."""
    with contextlib.suppress(OSError), socket.create_server((LOOPBACK, WEB_PORT)):
        return WEB_PORT
    return free_port()


def _environment(folder: Path, url: str, broker: Broker, port: int) -> dict[str, str]:
    """What the children are told. Nobody's proxy settings reach them: all they talk to is here."""
    password_file = _secret(folder / "server.password", broker.passwords[SERVER_USER])
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HEMMA_") and not name.lower().endswith("_proxy")
    }
    return inherited | {
        "HEMMA_DATABASE_URL": url,
        "HEMMA_MQTT_HOST": LOOPBACK,
        "HEMMA_MQTT_PORT": str(broker.port),
        "HEMMA_MQTT_USERNAME": SERVER_USER,
        "HEMMA_MQTT_PASSWORD_FILE": str(password_file),
        "HEMMA_WEB_HOST": LOOPBACK,
        "HEMMA_WEB_PORT": str(port),
        "HEMMA_METRICS_PORT": str(free_port()),
        "HEMMA_BASE_URL": f"http://{LOOPBACK}:{port}",
        "HEMMA_DEMO": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _ingest_connections(log: Path) -> int:
    """Count how often the ingest role has told that the broker took its subscription."""
    if not log.exists():
        return 0
    lines = log.read_text(errors="replace").splitlines()
    return sum('"hemma-ingest"' in line and "broker_connected" in line for line in lines)
