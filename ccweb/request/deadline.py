"""The deadline of the request that is being answered: until then its queries may wait.

Only the web server sets deadlines (ccweb.server); elsewhere nothing here has an effect.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DEADLINE_SECONDS = 4.0  # from the last byte of a request to its answer; one that still waits for PostgreSQL then is 503
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # of time.monotonic()


@contextmanager
def until(moment: float) -> Iterator[None]:
    """A request is to be answered until a moment of time.monotonic(), math.inf for a stream.

    It cancels nothing: connections to PostgreSQL read it. Redis has timeouts of its own.
    """
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A shorter deadline for a part of a request, after which its query fails; no effect outside of requests."""
    whole = _deadline.get()
    if whole is None:
        yield
        return
    with until(min(whole, time.monotonic() + seconds)):
        yield


def in_request() -> bool:
    """Whether a request of the web server is being answered here."""
    return _deadline.get() is not None


def time_left() -> float:
    """Seconds until the deadline, infinite where there is none."""
    moment = _deadline.get()
    return math.inf if moment is None else moment - time.monotonic()
