"""The running gateway's door, and the same where no gateway runs."""

import asyncio
import json
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from devices.virtual.home import VirtualHome
from gateway.ble.bonding import BleakBonding
from gateway.ble.pairing import Pairing, PairingLimits
from gateway.ble.radio import Radio
from gateway.ble.turn import Turn
from gateway.command import app
from gateway.control import DESKS_MAX, Control, socket_path
from gateway.desk import AskPair, AskUnpair, Event, Failed, PairedNow, UnpairedNow, line_of
from gateway.errors import StorageUnusable
from gateway.pair_command import alone
from gateway.paired import PairedDevice, pair, paired
from gateway.running import only_one
from gateway.settings import Settings
from gateway.storage import open_storage
from tests.gateway.ble.fix_desk import Desk
from tests.gateway.fix_home import until

runner = CliRunner()
SLEEPING = PairedDevice("C0:FF:EE:00:00:01", "UA-651BLE", "a-and-d-blood-pressure")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("HEMMA_GATEWAY_NAME", "gw-1")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'no-bus'}")
    return tmp_path


def known(folder: Path, *devices: PairedDevice) -> None:
    with closing(open_storage(folder / "outbox.sqlite3", quota_bytes=1 << 20)) as connection:
        for device in devices:
            pair(connection, device)


def rows(folder: Path) -> tuple[PairedDevice, ...]:
    with closing(open_storage(folder / "outbox.sqlite3", quota_bytes=1 << 20)) as connection:
        return paired(connection)


def pairing_on(connection: sqlite3.Connection, folder: Path, radio: Radio) -> Pairing:
    limits = PairingLimits(turn_s=1.0, look_s=0.3)
    database = folder / "outbox.sqlite3"
    return Pairing(radio, BleakBonding(radio), Turn(), connection, database, limits=limits)


@asynccontextmanager
async def served(folder: Path, radio: Radio | None = None) -> AsyncIterator[Control]:
    """A gateway's door on ``folder``, without the rest of the gateway."""
    with closing(open_storage(folder / "outbox.sqlite3", quota_bytes=1 << 20)) as connection:
        control = Control(folder, pairing_on(connection, folder, radio or Radio()))
        running = asyncio.create_task(control.run())
        try:
            await until(lambda: socket_path(folder).is_socket() or running.done())
            yield control
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def knock(folder: Path) -> Desk:
    return Desk(*await asyncio.open_unix_connection(str(socket_path(folder))))


async def test_the_door_is_for_this_user_only_and_goes_with_the_gateway(tmp_path: Path) -> None:
    door = socket_path(tmp_path)
    # What a killed gateway left.
    door.touch()
    async with served(tmp_path):
        mode = door.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not door.exists()


async def test_a_door_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    socket_path(tmp_path).mkdir()
    with capture_logs() as logs:
        async with served(tmp_path):
            pass
    assert [line["event"] for line in logs] == ["control_unavailable"]


async def test_desks_are_served_one_after_another_and_too_many_are_sent_away(
    tmp_path: Path,
) -> None:
    known(tmp_path, SLEEPING)
    async with VirtualHome(seed=4) as home:
        radio = Radio(home.scanner_backend, home.client_backend)
        async with served(tmp_path, radio):
            desk = await knock(tmp_path)
            told = await desk.ask(AskUnpair(SLEEPING.address))
            assert told == UnpairedNow(SLEEPING.address, SLEEPING.dev, SLEEPING.model)
            desk.writer.close()
            waiting = [await knock(tmp_path) for _ in range(DESKS_MAX)]
            turned_away = await knock(tmp_path)
            assert await turned_away.hear() is None
            for each in (*waiting, turned_away):
                each.writer.close()
            await asyncio.sleep(0.05)
            desk = await knock(tmp_path)
            told = await desk.ask(AskPair())
            assert isinstance(told, Failed)
            assert told.code == "nothing_found"
            desk.writer.close()
    assert rows(tmp_path) == ()


async def test_a_gateway_that_stops_ends_what_a_desk_began(tmp_path: Path) -> None:
    async with VirtualHome(seed=4) as home:
        radio = Radio(home.scanner_backend, home.client_backend)
        async with served(tmp_path, radio):
            desk = await knock(tmp_path)
            desk.send(line_of(AskPair()))
            await desk.hear()
        async with asyncio.timeout(5):
            while await desk.hear():
                pass
        desk.writer.close()


async def test_alone_does_the_same_under_the_gateways_lock(tmp_path: Path) -> None:
    settings = Settings("gw-1", tmp_path)
    async with VirtualHome(seed=4, window_s=20) as home:
        radio = Radio(home.scanner_backend, home.client_backend)
        cuff = home.devices["cuff"]
        cuff.pairing_mode = True
        waking = asyncio.create_task(cuff.wake())
        async with alone(settings, radio) as streams:
            with pytest.raises(StorageUnusable):
                async with alone(settings, radio):
                    raise AssertionError("the folder was held")
            told: Event = await Desk(*streams).ask(AskPair(address=cuff.address))
            assert isinstance(told, PairedNow)
        waking.cancel()
        await asyncio.wait({waking})
    assert rows(tmp_path) == (PairedDevice(cuff.address, cuff.model, cuff.profile),)


def test_without_bluetooth_on_this_machine_it_says_so(data: Path) -> None:
    result = runner.invoke(app, ["pair"])
    assert result.exit_code == 1
    assert "no Bluetooth service" in result.stderr
    assert "systemctl start bluetooth" in result.stderr


def test_unpairing_asks_first_and_says_what_could_not_be_removed(data: Path) -> None:
    known(data, SLEEPING)
    result = runner.invoke(app, ["unpair", SLEEPING.address], input="n\n")
    assert (result.exit_code, rows(data)) == (1, (SLEEPING,))
    result = runner.invoke(app, ["unpair", SLEEPING.address, "--json"])
    assert (result.exit_code, rows(data)) == (1, (SLEEPING,))
    result = runner.invoke(app, ["unpair", SLEEPING.address.lower(), "--yes", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout.splitlines()[-1])
    assert (told["event"], told["code"]) == ("failed", "bond_stays")
    assert rows(data) == ()
    result = runner.invoke(app, ["unpair", SLEEPING.address, "--yes"])
    assert "not paired" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--again"], "--again needs"),
        (["--without-bluetooth"], "--without-bluetooth needs"),
        (
            ["C0:FF:EE:00:00:01", "--without-bluetooth", "--profile", "x", "--model", "m"],
            "no profile named 'x'",
        ),
    ],
)
def test_what_does_not_go_together_is_said(data: Path, arguments: list[str], reason: str) -> None:
    result = runner.invoke(app, ["pair", *arguments])
    assert (result.exit_code, reason in result.stderr) == (1, True)


def test_a_gateway_that_runs_but_takes_no_questions(data: Path) -> None:
    with only_one(data):
        result = runner.invoke(app, ["pair"])
    assert result.exit_code == 1
    assert "takes no questions" in result.stderr


def test_the_families_are_listed_with_what_to_do_on_the_device() -> None:
    result = runner.invoke(app, ["pair", "--families"])
    assert "a-and-d-blood-pressure: " in result.stdout
    assert "Håll startknappen" in result.stdout
    result = runner.invoke(app, ["pair", "--families", "--json"])
    listed = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"profile", "title", "pairing_mode"} == set(listed[0])


def test_the_command_speaks_with_the_running_gateway(data: Path) -> None:
    """A gateway's door in another thread; the person gives up at once."""
    ready, done = threading.Event(), threading.Event()

    async def gateway() -> None:
        async with VirtualHome(seed=4) as home:
            radio = Radio(home.scanner_backend, home.client_backend)
            async with served(data, radio):
                ready.set()
                await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(gateway()))
    with only_one(data):
        thread.start()
        try:
            assert ready.wait(20)
            result = runner.invoke(app, ["pair"], input="")
            assert result.exit_code == 1
            assert "Looking for devices" in result.stdout
            assert "was given up" in result.stderr
            result = runner.invoke(app, ["pair", "--json", "C0:FF:EE:00:00:09"], input="")
            told = [json.loads(line) for line in result.stdout.splitlines()]
            assert told[-1]["code"] == "not_heard"
        finally:
            done.set()
            thread.join(20)
