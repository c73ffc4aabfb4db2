"""Callers that come while others are being served are served together, as databases do with commits.

One caller at a time leads: it does the work of all who wait, hands each his result and the lead to the next one. Nobody
waits for company: who comes alone is served at once, and the busier it is, the more share a round trip.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class TooLate(Exception):
    """Nobody could serve this caller within his patience; nothing was done for him."""


class Caller(Generic[Asked, Answered]):
    """One who waits; `turn` is released when he is answered or is to lead."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answered: Answered | None = None
        self.error: BaseException | None = None
        self.is_served = self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()

    def result(self) -> Answered:
        """What came of it; raises what the work raised."""
        if self.error is not None:
            raise self.error
        return self.answered  # type: ignore[return-value]  # set by _lead


class Together(Generic[Asked, Answered]):
    """Calls `work` with what the waiting callers ask for, in the order in which they came; it answers all, in order."""

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answered]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._led = False
        self._waiting: deque[Caller[Asked, Answered]] = deque()

    def __call__(self, asked: Asked, patience: float) -> Answered:
        """The answer to this one, whose service must begin within `patience` seconds: else TooLate.

        Raises what the work raised, in each of those who were served together.
        """
        me: Caller[Asked, Answered] = Caller(asked)
        with self._lock:
            self._waiting.append(me)
            follows, self._led = self._led, True
        if follows and not me.turn.acquire(timeout=max(patience, 0)):
            self._leave(me)
            me.turn.acquire()
        if not me.is_served:
            self._lead()
        return me.result()

    def _leave(self, caller: Caller[Asked, Answered]) -> None:
        """Raises TooLate, unless he is being served or the lead has come to him in this very moment."""
        with self._lock:
            if caller in self._waiting and not caller.leads:
                self._waiting.remove(caller)
                raise TooLate

    def _lead(self) -> None:
        with self._lock:
            callers = list(self._waiting)
            self._waiting.clear()
        try:
            answers = self._work([caller.asked for caller in callers])
            for caller, answer in zip(callers, answers, strict=True):
                caller.answered = answer
        except BaseException as error:  # noqa: BLE001 - raised in each of them
            for caller in callers:
                caller.error = error
        self._hand_over()  # first: the next round trip begins while the answers are written
        for caller in callers:
            caller.is_served = True
            caller.turn.release()

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()
