"""The batcher: requests that arrive while others are answered form the next batch."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from ccweb.server.batching import MAX_EVENTS, MAX_REQUESTS, Batcher, TooLate


class Number(NamedTuple):
    """A request; its answer is the square."""

    value: int
    events: int = 1
    deadline: float = float("inf")


class Squares:
    """Work that waits for a signal, records its batches, and answers each number with its square."""

    def __init__(self, works: int = 1) -> None:
        self.go_on = asyncio.Event()
        self.batches: list[list[int]] = []
        self.batcher: Batcher[Number, int] = Batcher([self] * works)

    async def __call__(self, asked: Sequence[Number]) -> list[int]:
        self.batches.append([number.value for number in asked])
        await self.go_on.wait()
        if 13 in self.batches[-1]:
            raise LookupError("13")
        return [number.value**2 for number in asked]


def in_loop(test: Callable[[Squares], Awaitable[None]], works: int = 1) -> None:
    async def run() -> None:
        await test(Squares(works))

    asyncio.run(run())


async def answers(futures: Sequence["asyncio.Future[int]"]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


def test_a_single_request_is_answered_alone_and_the_others_together_in_their_order() -> None:
    async def run(work: Squares) -> None:
        first = work.batcher(Number(1))
        await asyncio.sleep(0)
        others = [work.batcher(Number(n)) for n in (2, 3, 4)]
        work.go_on.set()
        assert await answers([first, *others]) == [1, 4, 9, 16]
        assert work.batches == [[1], [2, 3, 4]]

    in_loop(run)


def test_an_error_reaches_only_the_requests_of_its_batch() -> None:
    async def run(work: Squares) -> None:
        first = work.batcher(Number(1))
        await asyncio.sleep(0)
        others = [work.batcher(Number(n)) for n in (12, 13)]
        work.go_on.set()
        one, *failed = await answers([first, *others])
        assert (one, [type(error) for error in failed]) == (1, [LookupError, LookupError])
        assert await work.batcher(Number(5)) == 25

    in_loop(run)


def test_a_client_that_is_gone_loses_nobodys_answer() -> None:
    async def run(work: Squares) -> None:
        first = work.batcher(Number(1))
        await asyncio.sleep(0)
        gone, other = work.batcher(Number(2)), work.batcher(Number(3))
        first.cancel()
        gone.cancel()
        work.go_on.set()
        assert await other == 9
        assert work.batches == [[1], [3]]

    in_loop(run)


def test_each_of_many_requests_gets_its_own_answer_and_a_batch_is_bounded() -> None:
    async def run(work: Squares) -> None:
        work.go_on.set()
        numbers = [number for number in range(5_000) if number != 13]
        assert await answers([work.batcher(Number(n)) for n in numbers]) == [n * n for n in numbers]
        assert max(map(len, work.batches)) == MAX_REQUESTS
        assert sum(work.batches, []) == numbers

    in_loop(run)


@pytest.mark.parametrize(
    ("events", "batches"),
    [((MAX_EVENTS, 1, 1), [[0], [1, 2]]), ((400, 600, 1), [[0, 1], [2]]), ((5000, 1), [[0], [1]])],
)
def test_a_batch_has_at_most_so_many_events_but_always_one_request(
    events: Sequence[int], batches: list[list[int]]
) -> None:
    async def run(work: Squares) -> None:
        work.go_on.set()
        await answers([work.batcher(Number(n, count)) for n, count in enumerate(events)])
        assert work.batches == batches

    in_loop(run)


def test_a_request_that_has_waited_too_long_is_told_so_and_no_work_begins() -> None:
    async def run(work: Squares) -> None:
        first = work.batcher(Number(1))
        await asyncio.sleep(0)
        late = work.batcher(Number(2, deadline=time.monotonic() + 1.4))
        in_time = work.batcher(Number(3, deadline=time.monotonic() + 600))
        work.go_on.set()
        one, two, three = await answers([first, late, in_time])
        assert (one, type(two), three) == (1, TooLate, 9)
        assert work.batches == [[1], [3]]

    in_loop(run)


def test_with_two_works_two_batches_run_at_a_time() -> None:
    async def run(work: Squares) -> None:
        futures = [work.batcher(Number(1))]
        await asyncio.sleep(0)
        futures.append(work.batcher(Number(2)))
        await asyncio.sleep(0)
        futures += [work.batcher(Number(n)) for n in (3, 4)]
        await asyncio.sleep(0)
        assert work.batches == [[1], [2]]
        work.go_on.set()
        assert await answers(futures) == [1, 4, 9, 16]
        assert work.batches == [[1], [2], [3, 4]]

    in_loop(run, works=2)
