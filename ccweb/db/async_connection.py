"""The event loop's connection to Django's database."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import errors

from ccweb.db.postgresql.base import SET_TIMEOUTS, TOO_LATE, has_input, psycopg_parameters
from ccweb.db.statements import Row, as_text, numbered
from ccweb.request import deadline


class AsyncDeadlineConnection(psycopg.AsyncConnection[Any]):
    """psycopg's asynchronous connection, which is closed when PostgreSQL has not answered by the deadline."""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Raises OperationalError at the deadline."""
        left = deadline.time_left()
        if left == math.inf or timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, max(left, 0))
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(TOO_LATE) from None


class AsyncDatabase:
    """A connection that commits each statement; used by one task at a time, opened when it is first needed."""

    def __init__(self) -> None:
        self._cursor: psycopg.AsyncRawCursor[Row] | None = None

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """As ccweb.db.statements.fetch. When it returns, PostgreSQL is ready for the next statement."""
        with connections[DEFAULT_DB_ALIAS].wrap_database_errors:
            try:
                cursor = await self._connected()
                await cursor.execute(numbered(sql), as_text(parameters), prepare=True)
                return await cursor.fetchall()
            except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction):
                await self.close()  # the next one may reach a new server
                raise

    async def close(self) -> None:
        """Close the connection; the next statement opens another one."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await cursor.connection.close()

    async def _connected(self) -> psycopg.AsyncRawCursor[Row]:
        """A cursor of the open connection, or of a new one if there is none or the server has ended it."""
        connection = self._cursor.connection if self._cursor else None
        if self._cursor and connection and not connection.closed and not has_input(connection.fileno()):
            return self._cursor
        await self.close()
        try:
            async with asyncio.timeout(min(deadline.time_left(), deadline.DEADLINE_SECONDS)):  # of several hosts
                connection = await AsyncDeadlineConnection.connect(**psycopg_parameters(), autocommit=True)
        except TimeoutError:
            raise psycopg.OperationalError("PostgreSQL does not accept connections in time") from None
        if not settings.DATABASE_POOLED:
            await connection.execute(SET_TIMEOUTS)
        self._cursor = psycopg.AsyncRawCursor(connection)
        return self._cursor
