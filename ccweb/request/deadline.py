"""The requests that the web process is answering now, and until when each must be answered.

Only the web server registers requests (ccweb.server.request_scope); elsewhere nothing here has an effect.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident

from django.db.backends.base.base import BaseDatabaseWrapper

DEADLINE_SECONDS = 4.0  # seconds from the first byte to the answer; what still waits for PostgreSQL then gets 503
_by_thread: dict[int, "RequestDeadline"] = {}  # by thread


@dataclass(slots=True, eq=False)
class RequestDeadline:
    """One request in one thread; moments are those of time.monotonic()."""

    deadline: float
    reading_since: float | None = None  # its body
    working_since: float | None = None  # on `database`
    database: BaseDatabaseWrapper | None = None


def begin() -> RequestDeadline:
    """Register the request that this thread begins to answer."""
    mine = _by_thread[get_ident()] = RequestDeadline(time.monotonic() + DEADLINE_SECONDS)
    return mine


def end() -> None:
    """It is answered."""
    _by_thread.pop(get_ident(), None)


def active() -> list[RequestDeadline]:
    """All of this process."""
    return list(_by_thread.values())


def current() -> RequestDeadline | None:
    """The one of this thread, None when it answers no request of the web server."""
    return _by_thread.get(get_ident())


def time_left() -> float:
    """Seconds until this thread's deadline, infinite when it has none."""
    mine = current()
    return mine.deadline - time.monotonic() if mine else math.inf


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A deadline of its own for a part of a request; then its query fails with OperationalError."""
    mine = current()
    if mine is None:
        yield
        return
    whole, mine.deadline = mine.deadline, min(mine.deadline, time.monotonic() + seconds)
    try:
        yield
    finally:
        mine.deadline = whole
