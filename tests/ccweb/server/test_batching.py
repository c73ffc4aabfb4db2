"""The batcher: requests that arrive while others are served form the next batch."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat

import pytest

from ccweb.server.batching import Batcher, QueueTimeout
from tests.support.os_processes import wait_for

TIMEOUT_SECONDS = 120  # more than any step takes on a busy machine


class Counter:
    """Work that waits for a signal, records its batches, and answers each number with its square."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        assert self.go_on.wait(TIMEOUT_SECONDS)
        if 13 in asked:
            raise LookupError("13")
        return [number * number for number in asked]


def started(pool: ThreadPoolExecutor, batcher: Batcher[int, int], numbers: Sequence[int]) -> list[Future[int]]:
    """Requests that wait, in this order."""
    futures = []
    for number in numbers:
        waiting = len(batcher._waiting)
        futures.append(pool.submit(batcher, number, TIMEOUT_SECONDS))
        wait_for(lambda before=waiting: len(batcher._waiting) > before, "the request to wait")
    return futures


def served_first(pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int], number: int) -> Future[int]:
    """A request that is being served."""
    future = pool.submit(batcher, number, TIMEOUT_SECONDS)
    wait_for(lambda: bool(work.batches), "the first request to lead")
    return future


@pytest.fixture
def work() -> Counter:
    return Counter()


@pytest.fixture
def batcher(work: Counter) -> Batcher[int, int]:
    return Batcher(work)


@pytest.fixture
def pool(work: Counter) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool
        work.go_on.set()


def test_a_single_request_is_served_alone_and_the_others_together_in_their_order(
    pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int]
) -> None:
    first = served_first(pool, work, batcher, 1)
    others = started(pool, batcher, [2, 3, 4])
    work.go_on.set()
    assert [future.result(TIMEOUT_SECONDS) for future in (first, *others)] == [1, 4, 9, 16]
    assert work.batches == [[1], [2, 3, 4]]


def test_an_error_reaches_only_the_requests_of_its_batch(
    pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int]
) -> None:
    first = served_first(pool, work, batcher, 1)
    others = started(pool, batcher, [12, 13])
    work.go_on.set()
    assert first.result(TIMEOUT_SECONDS) == 1
    for future in others:
        with pytest.raises(LookupError):
            future.result(TIMEOUT_SECONDS)
    assert batcher(5, TIMEOUT_SECONDS) == 25


def test_each_of_many_requests_gets_its_own_answer(
    pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int]
) -> None:
    work.go_on.set()
    numbers = [number for number in range(20_000) if number != 13]
    assert list(pool.map(batcher, numbers, repeat(TIMEOUT_SECONDS))) == [number * number for number in numbers]
    assert sorted(sum(work.batches, [])) == numbers
    assert not batcher._waiting and not batcher._has_leader


def test_a_request_that_waits_too_long_is_told_so_and_is_not_served_later(
    pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int]
) -> None:
    first = served_first(pool, work, batcher, 1)
    waiting = started(pool, batcher, [2])
    with pytest.raises(QueueTimeout):
        batcher(3, 0.05)
    with pytest.raises(QueueTimeout):
        batcher(4, 0)
    work.go_on.set()
    assert [future.result(TIMEOUT_SECONDS) for future in (first, *waiting)] == [1, 4]
    assert work.batches == [[1], [2]]


def test_a_request_whose_timeout_ends_while_it_is_served_gets_its_answer(
    pool: ThreadPoolExecutor, work: Counter, batcher: Batcher[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_out, leave = threading.Event(), batcher._leave
    monkeypatch.setattr(batcher, "_leave", lambda caller: (timed_out.set(), leave(caller)))
    first = served_first(pool, work, batcher, 1)
    leader, short = started(pool, batcher, [2])[0], pool.submit(batcher, 3, 2)
    wait_for(lambda: len(batcher._waiting) == 2, "the request with the short timeout to wait")
    gate, work.go_on = work.go_on, threading.Event()  # the next batch takes longer than the timeout
    gate.set()
    assert first.result(TIMEOUT_SECONDS) == 1
    wait_for(lambda: work.batches[-1] == [2, 3], "both to be served")
    assert timed_out.wait(TIMEOUT_SECONDS)
    work.go_on.set()
    assert (leader.result(TIMEOUT_SECONDS), short.result(TIMEOUT_SECONDS)) == (4, 9)
