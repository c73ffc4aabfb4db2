"""Callers that come while others are being served are served together."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat

import pytest

from ccweb.server.batching import Batcher, QueueTimeout
from tests.support.os_processes import wait_for

PATIENCE = 120  # seconds: more than anything takes on a busy machine


class Counter:
    """Work that waits to be let go, notes what it was asked at once, and answers each with its square."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        assert self.go_on.wait(PATIENCE)
        if 13 in asked:
            raise LookupError("13")
        return [number * number for number in asked]


def started(crowd: ThreadPoolExecutor, together: Batcher[int, int], numbers: Sequence[int]) -> list[Future[int]]:
    """Callers who wait, one after the other."""
    futures = []
    for number in numbers:
        waiting = len(together._waiting)
        futures.append(crowd.submit(together, number, PATIENCE))
        wait_for(lambda before=waiting: len(together._waiting) > before, "the caller to wait")
    return futures


def led(crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int], number: int) -> Future[int]:
    """A caller who is being served."""
    future = crowd.submit(together, number, PATIENCE)
    wait_for(lambda: bool(work.batches), "the first caller to lead")
    return future


@pytest.fixture
def work() -> Counter:
    return Counter()


@pytest.fixture
def together(work: Counter) -> Batcher[int, int]:
    return Batcher(work)


@pytest.fixture
def crowd(work: Counter) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as crowd:
        yield crowd
        work.go_on.set()


def test_who_comes_alone_is_served_alone_and_the_others_together_in_their_order(
    crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int]
) -> None:
    first = led(crowd, work, together, 1)
    others = started(crowd, together, [2, 3, 4])
    work.go_on.set()
    assert [future.result(PATIENCE) for future in (first, *others)] == [1, 4, 9, 16]
    assert work.batches == [[1], [2, 3, 4]]


def test_an_error_reaches_those_who_were_served_together_and_nobody_else(
    crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int]
) -> None:
    first = led(crowd, work, together, 1)
    others = started(crowd, together, [12, 13])
    work.go_on.set()
    assert first.result(PATIENCE) == 1
    for future in others:
        with pytest.raises(LookupError):
            future.result(PATIENCE)
    assert together(5, PATIENCE) == 25


def test_each_of_very_many_gets_his_own_answer(
    crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int]
) -> None:
    work.go_on.set()
    numbers = [number for number in range(20_000) if number != 13]
    assert list(crowd.map(together, numbers, repeat(PATIENCE))) == [number * number for number in numbers]
    assert sorted(sum(work.batches, [])) == numbers
    assert not together._waiting and not together._has_leader


def test_who_waits_too_long_is_told_so_and_is_not_served_later(
    crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int]
) -> None:
    first = led(crowd, work, together, 1)
    patient = started(crowd, together, [2])
    with pytest.raises(QueueTimeout):
        together(3, 0.05)
    with pytest.raises(QueueTimeout):
        together(4, 0)
    work.go_on.set()
    assert [future.result(PATIENCE) for future in (first, *patient)] == [1, 4]
    assert work.batches == [[1], [2]]


def test_whose_patience_ends_while_he_is_being_served_gets_his_answer(
    crowd: ThreadPoolExecutor, work: Counter, together: Batcher[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient, leave = threading.Event(), together._leave
    monkeypatch.setattr(together, "_leave", lambda caller: (impatient.set(), leave(caller)))
    first = led(crowd, work, together, 1)
    leader, hasty = started(crowd, together, [2])[0], crowd.submit(together, 3, 2)
    wait_for(lambda: len(together._waiting) == 2, "the hasty one to wait")
    gate, work.go_on = work.go_on, threading.Event()  # the next batch takes longer than he would wait
    gate.set()
    assert first.result(PATIENCE) == 1
    wait_for(lambda: work.batches[-1] == [2, 3], "both to be served")
    assert impatient.wait(PATIENCE)
    work.go_on.set()
    assert (leader.result(PATIENCE), hasty.result(PATIENCE)) == (4, 9)
