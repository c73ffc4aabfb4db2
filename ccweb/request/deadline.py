"""The deadline of the request that is being answered: until then its queries may wait.

Only the web server sets deadlines (ccweb.server); elsewhere nothing here has an effect.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DEADLINE_SECONDS = 4.0  # from the first byte to the answer; a request that still waits for PostgreSQL then gets 503
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # of time.monotonic()


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Answer a request until a moment of time.monotonic(), math.inf for a stream."""
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
