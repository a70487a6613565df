"""Work on a connection ends in time, whether or not the database agrees.

Cancelling the task is not enough: the driver then asks the server to cancel and waits for its
answer, which a server that hangs never gives. Shutting the connection's socket ends every wait on
it at once with the driver's own error; the server rolls back when it finds the other end gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg


@contextmanager
def cut_off(connection: psycopg.AsyncConnection[Any], at_s: float | None) -> Iterator[None]:
    """Shut the connection at ``at_s`` (the loop's time) unless the block has ended; None: never."""
    if at_s is None:
        yield
        return
    timer = asyncio.get_running_loop().call_at(at_s, _shut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _shut(connection: psycopg.AsyncConnection[Any]) -> None:
    if connection.closed:
        return
    # A copy of the descriptor: the driver keeps and closes its own.
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as link, suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
