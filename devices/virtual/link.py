"""Bumble controllers on one in-process link, and waiting that ends when a link is lost.

What this proves: order of messages, pairing, encryption, replay. What it cannot prove: radio range,
real timing, BlueZ's and the vendors' faults (``docs/``: real BlueZ has its own tests).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bumble.device import Connection, Device, DeviceConfiguration
from bumble.hci import Address
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from devices.virtual.air import Air, AirController

T = TypeVar("T")


class LinkLost(Exception):
    """The link ended while something was under way on it."""


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end even when cancelled meanwhile; the cancellation is raised after it.

    Only for what is sure to end at once, such as a command to the virtual controller.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        raise


class PatientHost(Host):
    """Bumble's host, but a command that is under way is not given up half-way.

    Bumble 0.0.236 otherwise meets the answer to a cancelled command without anybody waiting for it
    and then answers the next command with it.
    """

    async def _send_command(self, command: Any, response_timeout: float | None = None) -> Any:
        return await finish(super()._send_command(command, response_timeout))


def controller_device(air: Air, *, name: str, address: str) -> tuple[AirController, Device]:
    """A Bumble host and its controller on the ``air``, not yet powered on.

    ``address`` is a random static address (two top bits set), so it is the identity address too.
    """
    controller = AirController(name, link=air)
    config = DeviceConfiguration(name=name, address=Address(address))
    device = Device(config=config, host=PatientHost(controller, AsyncPipeSink(controller)))
    return controller, device


def is_linked(connection: Connection) -> bool:
    """Whether the link is still up on this side; its handle may be another link's by now."""
    return connection.device.connections.get(connection.handle) is connection


async def while_linked(connection: Connection, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` until it is done or the link ends.

    Raises :class:`LinkLost` when the link ends first. Bumble itself cancels or leaves hanging what
    waits on a lost link; a cancellation nobody asked for must not look like our own.
    """
    lost = asyncio.Event()

    def on_lost(_reason: int) -> None:
        lost.set()

    connection.on(Connection.EVENT_DISCONNECTION, on_lost)
    if not is_linked(connection):
        lost.set()
    gone = asyncio.ensure_future(lost.wait())
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {task, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not task.cancelled():
            return task.result()
        raise LinkLost
    finally:
        connection.remove_listener(Connection.EVENT_DISCONNECTION, on_lost)
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``works`` go on while the block runs, and no longer; a link they lose is no error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(
                outcome, LinkLost | TimeoutError | asyncio.CancelledError
            ), outcome
