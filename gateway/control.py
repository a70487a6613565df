"""The running gateway's door for an operator on the same machine: a socket in the data folder.

Only the folder's owner may open it. One desk at a time enrols a device; one that goes away ends
what it began, so that a closed terminal never keeps the gateway from listening.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway.ble.gatt import LINK_ERRORS
from gateway.ble.pairing import Pairing
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.desk import (
    LINE_MAX_BYTES,
    AskPair,
    AskUnpair,
    Desk,
    Event,
    ask_of,
    failed,
    paired_now,
    unpaired_now,
)
from gateway.errors import GatewayError

log = structlog.get_logger(__name__)

SOCKET_NAME = "control.sock"
SOCKET_MODE = 0o600
ASK_MAX_S = 10.0
"""How long a desk may be connected without asking for anything."""
DESKS_MAX = 4
CLOSE_MAX_S = 2.0


def socket_path(data: Path) -> Path:
    """Where the gateway on folder ``data`` listens for desks."""
    return data / SOCKET_NAME


class Control:
    """Serves desks; make it with the folder that the process holds (``only_one``)."""

    def __init__(self, data: Path, pairing: Pairing) -> None:
        self._path = socket_path(data)
        self._pairing = pairing
        self._busy = asyncio.Lock()
        self._desks = 0

    async def run(self) -> None:
        """Serve until cancelled; a socket that cannot be made is logged, and nobody is served."""
        try:
            listening = _listen(self._path)
        except OSError as error:
            # No reason to stop measuring.
            log.warning("control_unavailable", error=str(error))
            return
        async with asyncio.TaskGroup() as group:

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if self._desks >= DESKS_MAX:
                    writer.close()
                    return
                self._desks += 1
                serving = serve(reader, writer, self._pairing, self._busy)
                task = group.create_task(serving, name="desk")
                task.add_done_callback(self._left)

            server = await asyncio.start_unix_server(begin, sock=listening, limit=LINE_MAX_BYTES)
            try:
                await server.serve_forever()
            finally:
                server.close()
                with suppress(FileNotFoundError):
                    self._path.unlink()

    def _left(self, _task: asyncio.Task[None]) -> None:
        self._desks -= 1


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    pairing: Pairing,
    busy: asyncio.Lock,
) -> None:
    """Serve one desk to its end; ``busy`` is held by the one whose asking is carried out."""
    desk = Desk(reader, writer)
    try:
        desk.tell(await _served(desk, reader, pairing, busy))
    finally:
        await _close(writer)


async def _served(
    desk: Desk, reader: asyncio.StreamReader, pairing: Pairing, busy: asyncio.Lock
) -> Event:
    """Do what the desk asks; returns what it came to, also where it failed."""
    try:
        async with asyncio.timeout(ASK_MAX_S):
            ask = ask_of(await reader.readline())
        if busy.locked():
            return _failed(Trouble.BUSY)
        async with busy:
            return await _while_heard(desk, pairing, ask)
    except PairingFailed as error:
        log.info("pairing_ended", trouble=error.trouble.value)
        return failed(error, error.trouble.value)
    except GatewayError as error:
        return failed(error)
    except LINK_ERRORS as error:
        log.warning("pairing_broke", error=str(error))
        return _failed(Trouble.OUT_OF_REACH, address="The device", cause=type(error).__name__)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return _failed(Trouble.NOT_UNDERSTOOD, cause=str(error))


def _failed(trouble: Trouble, **facts: object) -> Event:
    return failed(PairingFailed(trouble, **facts), trouble.value)


async def _while_heard(desk: Desk, pairing: Pairing, ask: AskPair | AskUnpair) -> Event:
    """Do what is asked until it is done or the desk gives up; returns what it came to."""
    working = asyncio.create_task(_carry_out(desk, pairing, ask), name="pairing")
    hearing = asyncio.create_task(desk.listen(), name="desk_answers")
    both: set[asyncio.Task[Any]] = {working, hearing}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
    unheard = None if hearing.cancelled() else hearing.exception()
    if not working.cancelled():
        # Also where it was done in the very moment in which the desk went.
        return working.result()
    if unheard is not None and not isinstance(unheard, ConnectionError):
        raise unheard
    return _failed(Trouble.GIVEN_UP)


async def _carry_out(desk: Desk, pairing: Pairing, ask: AskPair | AskUnpair) -> Event:
    if isinstance(ask, AskUnpair):
        return unpaired_now(await pairing.remove(ask.address, desk))
    return paired_now(await pairing.enrol(ask.wish, desk))


def _listen(path: Path) -> socket.socket:
    """Return a socket at ``path`` that only this user may open; raises OSError."""
    with suppress(FileNotFoundError):
        # Left by a killed process: this one holds the folder.
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before it has a name, so that it never is anybody's else.
        os.fchmod(listening.fileno(), SOCKET_MODE)
        listening.bind(str(path))
    except OSError:
        listening.close()
        raise
    return listening


async def _close(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_MAX_S):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    writer.close()
