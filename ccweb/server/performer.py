"""The steps of an operation (ccweb.db.steps), performed by the event loop without blocking it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ccweb.db.async_connection import AsyncDatabase
from ccweb.db.steps import AfterCommit, Blocking, Query, Scripts, Step, Steps
from ccweb.redis.async_client import AsyncRedis

T = TypeVar("T")


class Performer:
    """Performs steps by its own connections; one operation at a time."""

    def __init__(self, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._database, self._redis, self._in_thread = AsyncDatabase(), AsyncRedis(), in_thread

    async def run(self, steps: Steps[T]) -> T:
        """The result of the operation; raises what it raises. As ccweb.db.steps.run."""
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._perform(step)
                except Exception as error:  # noqa: BLE001 - the operation decides what becomes of it
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()
        await self._redis.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Query(sql, parameters):
                return await self._database.fetch(sql, parameters)
            case Scripts(calls):
                return await self._redis.run_scripts(calls)
            case Blocking(function):
                return await self._in_thread(function)
            case AfterCommit(further):  # each statement is its own transaction
                return await self.run(further())
