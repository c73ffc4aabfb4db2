"""Batching of requests, as databases do with commits (group commit).

Requests that arrive while a batch is being answered wait in a list and form the next batch. A single request is
answered without delay; under load more requests share a round trip. A batch has to end by its own deadline: those
behind it wait until it has.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

LEAST_WORK_SECONDS = 1.5  # a request that has less left until its deadline is refused when its batch would begin
MAX_EVENTS = 1000  # of a batch
MAX_REQUESTS = 100  # their answers are written between two turns of the event loop


class Waiting(Protocol):
    """A request that waits; `deadline` is one of time.monotonic()."""

    @property
    def events(self) -> int: ...
    @property
    def deadline(self) -> float: ...


Request = TypeVar("Request", bound=Waiting)
Answer = TypeVar("Answer")


class TooLate(Exception):
    """The request has waited too long for its work to begin; nothing was done for it."""


Work = Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]]


class Batcher(Generic[Request, Answer]):
    """Calls a work with a list of requests in order of arrival; it returns their answers in that order.

    Each work has one batch at a time. With a single one, the requests that come meanwhile are answered together; with
    several, one batch is prepared while the database is busy with another.
    """

    def __init__(self, works: Sequence[Work[Request, Answer]]) -> None:
        self._idle = list(works)
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, request: Request) -> "asyncio.Future[Answer]":
        """The future of the answer. It raises TooLate, or what the work raised.

        A client that goes away cancels its own future only.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if self._idle:
            task = loop.create_task(self._drain(self._idle.pop()))
            self._tasks.add(task)  # the loop itself keeps only a weak reference
            task.add_done_callback(self._tasks.discard)
        return future

    async def _drain(self, work: Work[Request, Answer]) -> None:
        try:
            while self._waiting:
                await _run_batch(work, self._next())
        finally:
            self._idle.append(work)

    def _next(self) -> "list[tuple[Request, asyncio.Future[Answer]]]":
        events = size = 0
        for request, _ in self._waiting[:MAX_REQUESTS]:
            events += request.events
            if size and events > MAX_EVENTS:
                break
            size += 1
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        latest_start = time.monotonic() + LEAST_WORK_SECONDS
        for request, future in batch:
            if request.deadline < latest_start and not future.done():
                future.set_exception(TooLate())
        return [(request, future) for request, future in batch if not future.done()]


async def _run_batch(work: Work[Request, Answer], batch: "list[tuple[Request, asyncio.Future[Answer]]]") -> None:
    if not batch:
        return
    try:
        answers = await work([request for request, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
    except BaseException as error:
        for _, future in batch:
            if not future.done():
                future.set_exception(error if isinstance(error, Exception) else TooLate())
        if not isinstance(error, Exception):  # the worker stops
            raise
