"""The one door to PostgreSQL: transactions and notifications that outlive its absence.

A role opens one :class:`Database` and asks it for transactions; store functions take the
transaction and never commit. Nothing here waits for the database at start, so that roles can start
in any order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from server.store import arrays
from server.store.deadline import cut_off
from server.store.errors import DatabaseUnavailable, DataRefused, RightsMissing, SchemaMissing

Transaction = psycopg.AsyncConnection[Any]

# A statement that takes longer than this is stuck: better to fail and try again than to hold a row.
STATEMENT_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5
# How long a role waits for a free connection before it hears that the database is away.
WAIT_MAX_S = 5.0
# An idle connection that is about to be lent shows within this time that it is alive.
CHECK_MAX_S = 3.0
# The listener's pause between tries grows to this; what it misses, it looks for when it is back.
LISTEN_RETRY_MAX_S = 5.0
# A dead link without traffic is found by the kernel after about 30 s.
KEEPALIVE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

# When the caller that is waiting for a connection must have its answer (the loop's time).
_UNTIL: ContextVar[float | None] = ContextVar("until", default=None)


@contextmanager
def errors_named() -> Iterator[None]:
    """Turn the driver's errors into ours: callers above the store do not know the driver."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise SchemaMissing(
            f"the database is not migrated ({_first_line(error)}); run: hemma server migrate"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise RightsMissing(f"the database's user may not do this: {_first_line(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseUnavailable(f"the database does not answer: {_first_line(error)}") from error
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.NotSupportedError) as error:
        raise DataRefused(f"{type(error).__name__}: {_first_line(error)}") from error


@asynccontextmanager
async def savepoint(tx: Transaction) -> AsyncIterator[None]:
    """Undo only what the block did when it raises; the transaction around it goes on.

    Raises what :meth:`Database.transaction` raises, so that refused data can be told apart here.
    """
    with errors_named():
        async with tx.transaction():
            yield


class Database:
    """A small pool of connections to one database, opened by :meth:`connect`."""

    def __init__(self, pool: AsyncConnectionPool[Transaction], url: str, name: str) -> None:
        self._pool = pool
        self._url = url
        self._name = name

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, *, name: str, size: int = 4) -> AsyncIterator[Self]:
        """Open at most ``size`` connections that show as ``name`` in ``pg_stat_activity``.

        Returns at once even when the database is away; each transaction then says so.
        """
        pool = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[Any],
            kwargs=_connection_options(name),
            min_size=1,
            max_size=size,
            open=False,
            timeout=WAIT_MAX_S,
            # Short: each waiting caller starts a new try; the pool's own pause grows to minutes.
            reconnect_timeout=1.0,
            check=_check,
            name=name,
        )
        await pool.open(wait=False)
        try:
            yield cls(pool, url, name)
        finally:
            await pool.close(timeout=5.0)

    @asynccontextmanager
    async def transaction(self, *, within_s: float | None = None) -> AsyncIterator[Transaction]:
        """Give a transaction that commits when the block ends and rolls back when it raises.

        ``within_s`` is for whoever somebody waits for: everything, from the wait for a connection
        to the commit, ends by then, also when the database hangs. None: statements have only their
        own limit.

        Raises :class:`DatabaseUnavailable` when the database is away, also at commit: then nobody
        knows whether it was committed, and the work must be such that doing it again is harmless.
        Raises :class:`DataRefused` when it refuses the data.
        """
        until = None if within_s is None else asyncio.get_running_loop().time() + within_s
        wait_s = None if within_s is None else min(within_s, WAIT_MAX_S)
        with errors_named():
            async with AsyncExitStack() as stack:
                token = _UNTIL.set(until)
                try:
                    lent = self._pool.connection(timeout=wait_s)
                    connection = await stack.enter_async_context(lent)
                finally:
                    _UNTIL.reset(token)
                stack.enter_context(cut_off(connection, until))
                await stack.enter_async_context(connection.transaction())
                yield connection

    @asynccontextmanager
    async def session(self, purpose: str) -> AsyncIterator[Transaction]:
        """Give a connection of its own with no transaction around its statements, until the end.

        For a lock that outlives transactions, and for what PostgreSQL refuses inside of one.
        ``purpose`` is added to the name it shows. Statements have no limit of time here. Raises
        what :meth:`transaction` raises.
        """
        with errors_named():
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, **_connection_options(f"{self._name}-{purpose}")
            )
            try:
                await connection.execute("SET statement_timeout = 0")
                yield connection
            finally:
                await connection.close()

    async def notifications(self, channel: str) -> AsyncGenerator[str, None]:
        """Yield what is notified on ``channel``, for ever, over a connection of its own.

        After every connection it yields ``""`` first: look now for what was missed meanwhile.
        Close it with :func:`contextlib.aclosing`.
        """
        pause_s = 0.1
        while True:
            try:
                async with await self._listener(channel) as connection:
                    pause_s = 0.1
                    yield ""
                    async with aclosing(connection.notifies()) as notes:
                        async for note in notes:
                            yield note.payload
            except psycopg.Error:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, LISTEN_RETRY_MAX_S)

    async def _listener(self, channel: str) -> Transaction:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, **_connection_options(f"{self._name}-listen")
        )
        try:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except BaseException:
            await connection.close()
            raise
        return connection


async def _check(connection: Transaction) -> None:
    at_s = asyncio.get_running_loop().time() + CHECK_MAX_S
    until = _UNTIL.get()
    with cut_off(connection, at_s if until is None else min(at_s, until)):
        await AsyncConnectionPool.check_connection(connection)


def _connection_options(name: str) -> dict[str, Any]:
    return {
        "application_name": name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "context": arrays.adapters(),
        # Times leave the database in UTC whatever the cluster's own zone is.
        "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S * 1000}",
        **KEEPALIVE,
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
