"""``hemma gateway pair`` and ``unpair``: through the running gateway, or alone where none runs."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Annotated

import typer

from devices.profiles import PROFILES
from gateway.ble.agent import Agent
from gateway.ble.bluez_bonding import BluezBonding
from gateway.ble.bonding import BleakBonding, Bonding
from gateway.ble.bus import SystemBus
from gateway.ble.pairing import Pairing
from gateway.ble.radio import Radio
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.ble.turn import Turn
from gateway.console import Json, failing, log_errors_only, show
from gateway.control import serve, socket_path
from gateway.desk import LINE_MAX_BYTES, AskPair, AskUnpair, line_of
from gateway.errors import SettingsInvalid
from gateway.paired import PairedDevice, pair
from gateway.running import is_held, only_one
from gateway.settings import Settings, from_environment
from gateway.storage import explained, open_storage
from gateway.terminal import JsonScreen, Screen, TextScreen, talk
from gateway.user_command import known_device

EXIT_INTERRUPTED = 130


def pair_device(
    address: Annotated[
        str | None, typer.Argument(help="Only this device (AA:BB:CC:DD:EE:FF), as soon as heard.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="The device's family; --families lists them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --without-bluetooth: what the device calls itself.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="The device forgot its bond: remove it here, pair anew.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show devices of no known family too.")
    ] = False,
    families: Annotated[
        bool, typer.Option("--families", help="List the families and how each is put in pairing.")
    ] = False,
    without_bluetooth: Annotated[
        bool,
        typer.Option("--without-bluetooth", help="Only write down ADDRESS, --profile, --model."),
    ] = False,
    json_: Json = False,
) -> None:
    """Pair a device: look for it, choose it, type or read its passkey; the gateway may run."""
    with failing(as_json=json_):
        if families:
            _show_families(as_json=json_)
            return
        settings = from_environment(os.environ)
        if without_bluetooth:
            _write_down(settings, address, profile, model, as_json=json_)
            return
        if again and address is None:
            raise SettingsInvalid("--again needs the device's ADDRESS.", "See `gateway status`.")
        ask = AskPair(address, profile, again, everything)
        code = _run(_ask(settings, ask, as_json=json_))
    raise typer.Exit(code)


def unpair_device(
    address: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Listen to a device no more and remove its bond; what it sent is kept."""
    with failing(as_json=json_):
        settings = from_environment(os.environ)
        known = known_device(settings, address)
        if not yes:
            question = f"Listen no more to {known.model}, {known.address}, and remove its bond?"
            if json_ or not typer.confirm(question):
                raise PairingFailed(Trouble.GIVEN_UP)
        code = _run(_ask(settings, AskUnpair(known.address), as_json=json_))
    raise typer.Exit(code)


async def _ask(settings: Settings, ask: AskPair | AskUnpair, *, as_json: bool) -> int:
    """Ask the running gateway, or do it here under the same lock; returns the exit code."""
    is_running = _is_running(settings)
    screen: Screen = JsonScreen() if as_json else TextScreen(is_running)
    if is_running:
        reader, writer = await _door(settings)
        return await _talk(reader, writer, ask, screen)
    async with alone(settings) as (reader, writer):
        return await _talk(reader, writer, ask, screen)


async def _talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ask: AskPair | AskUnpair,
    screen: Screen,
) -> int:
    try:
        writer.write(line_of(ask))
        return await talk(reader, writer, screen)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _door(settings: Settings) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path = socket_path(settings.data)
    try:
        return await asyncio.open_unix_connection(str(path), limit=LINE_MAX_BYTES)
    except OSError as error:
        raise PairingFailed(Trouble.NO_DOOR, cause=error.strerror or str(error)) from error


@asynccontextmanager
async def alone(
    settings: Settings, radio: Radio | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve one desk in this process, as a running gateway would; gives the desk's streams.

    ``radio`` names bleak's backends, None the platform's own: BlueZ. Raises StorageUnusable where a
    gateway has started meanwhile.
    """
    with only_one(settings.data), closing(_open(settings)) as connection:
        async with _bonding(radio) as bonding:
            pairing = Pairing(radio or Radio(), bonding, Turn(), connection, settings.database)
            ours, theirs = socket.socketpair()
            desk = await asyncio.open_connection(sock=ours, limit=LINE_MAX_BYTES)
            served = await asyncio.open_connection(sock=theirs, limit=LINE_MAX_BYTES)
            serving = asyncio.create_task(serve(*served, pairing, asyncio.Lock()), name="serving")
            try:
                yield desk
            finally:
                desk[1].close()
                # It sees that the desk is gone, hangs up and ends.
                await serving


@asynccontextmanager
async def _bonding(radio: Radio | None) -> AsyncIterator[Bonding]:
    if radio is not None:
        yield BleakBonding(radio)
        return
    bus = SystemBus()
    bonding = BluezBonding(bus, Agent(bus))
    running = asyncio.create_task(bus.run(), name="bus")
    try:
        yield bonding
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _open(settings: Settings) -> sqlite3.Connection:
    with explained(settings.database):
        return open_storage(settings.database, quota_bytes=settings.quota_bytes)


def _run(work: object) -> int:
    assert asyncio.iscoroutine(work), "something to run"
    log_errors_only()
    try:
        code: int = asyncio.run(work)
    except KeyboardInterrupt:
        typer.echo()
        return EXIT_INTERRUPTED
    return code


def _is_running(settings: Settings) -> bool:
    with explained(settings.database):
        return is_held(settings.data)


def _write_down(
    settings: Settings,
    address: str | None,
    profile: str | None,
    model: str | None,
    *,
    as_json: bool,
) -> None:
    if address is None or profile is None or model is None:
        raise SettingsInvalid(
            "--without-bluetooth needs ADDRESS, --profile and --model.", "Give all three."
        )
    if profile not in PROFILES:
        raise PairingFailed(Trouble.UNKNOWN_PROFILE, profile=profile)
    device = PairedDevice(address.upper(), model, profile)
    with closing(_open(settings)) as connection, explained(settings.database):
        pair(connection, device)
    show({"paired": device.address, "dev": device.dev}, as_json=as_json)


def _show_families(*, as_json: bool) -> None:
    for profile in PROFILES.values():
        if as_json:
            family = {
                "profile": profile.name,
                "title": profile.title,
                "pairing_mode": profile.pairing_mode,
            }
            show(family, as_json=True)
            continue
        typer.echo(f"{profile.name}: {profile.title or profile.name}")
        if profile.pairing_mode:
            typer.echo(f"    {profile.pairing_mode}")
