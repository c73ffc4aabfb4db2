"""The event loop's connection to Redis: as ccweb.redis.client, with redis-py's asynchronous connections.

Its asynchronous pipelines are not used: they take four times the CPU of the connection that they are sent by.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from django.conf import settings
from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from ccweb.redis.circuit_breaker import REDIS
from ccweb.redis.client import ON_CONNECT, Call, Words, is_elsewhere, unknown_scripts

GRACE_SECONDS = 0.01  # after a timeout, for what has arrived while the loop was busy


class AsyncRedis:
    """A connection with short timeouts and the circuit breaker of all uses of Redis; used by one task at a time."""

    def __init__(self) -> None:
        self._connection: AbstractConnection | None = None
        self._timeout = 0.0  # seconds, of the URL or of REDIS_OPTIONS

    async def run_scripts(self, calls: Sequence[Call]) -> list[Any]:
        """As ccweb.redis.client.run_scripts."""
        with REDIS.guard():
            try:
                return await self._run(calls)
            except TimeoutError:
                await self.close()
                raise redis.TimeoutError(f"no reply within {self._timeout:g} s") from None
            except BaseException:
                await self.close()  # a later command would read the replies to this one
                raise

    async def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        replies = await self._send([call.words() for call in calls])
        if missing := unknown_scripts(replies):
            whole = await self._send([calls[place].words(whole=True) for place in missing])
            for place, reply in zip(missing, whole, strict=True):
                replies[place] = reply
        if is_elsewhere(replies):
            await self.close()
        return replies

    async def _send(self, commands: Sequence[Words]) -> list[Any]:
        connection = await self._connected()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timeout:
            # A loop that was busy for so long reads what has arrived meanwhile before it gives up.
            timer = loop.call_later(self._timeout, lambda: timeout.reschedule(loop.time() + GRACE_SECONDS))
            try:
                packed = b"".join([pack_command(tuple(words)) for words in commands])
                await connection.send_packed_command(packed, check_health=False)
                replies = [await _read(connection) for _ in commands]
            finally:
                timer.cancel()
        self._connection = connection
        return replies

    async def _connected(self) -> AbstractConnection:
        """The open connection, or a new one if there is none or the server has closed it."""
        if self._connection and self._connection._reader and not self._connection._reader.at_eof():
            return self._connection
        await self.close()
        return await self._connect()

    async def _connect(self) -> AbstractConnection:
        options = settings.REDIS_OPTIONS | {"retry": Retry(NoBackoff(), 0)}
        pool = ConnectionPool.from_url(settings.REDIS_URL, **options)
        self._timeout = pool.connection_kwargs["socket_timeout"]
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs | {"socket_timeout": None})
        async with asyncio.timeout(self._timeout + pool.connection_kwargs["socket_connect_timeout"]):
            await connection.connect()  # type: ignore[no-untyped-call]
            for begin in ON_CONNECT:
                steps, reply = begin(), None
                with suppress(StopIteration):
                    while True:
                        await connection.send_command(*steps.send(reply))
                        reply = await _read(connection)
        return connection


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
