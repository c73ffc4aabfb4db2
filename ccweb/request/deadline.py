"""Deadlines of the requests that the web process is answering now.

Only the web server registers requests (ccweb.server.request_scope); elsewhere nothing here has an effect.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident

from django.db.backends.base.base import BaseDatabaseWrapper

DEADLINE_SECONDS = 4.0  # from the first byte to the answer; a request that still waits for PostgreSQL then gets 503
_by_thread: dict[int, "RequestDeadline"] = {}  # by thread identifier


@dataclass(slots=True, eq=False)
class RequestDeadline:
    """The deadline of one request in one thread; times are those of time.monotonic(), in seconds."""

    deadline: float
    reading_since: float | None = None  # reading the body
    working_since: float | None = None  # using `database`
    database: BaseDatabaseWrapper | None = None


def begin() -> RequestDeadline:
    """Register the request that this thread begins to answer."""
    request = _by_thread[get_ident()] = RequestDeadline(time.monotonic() + DEADLINE_SECONDS)
    return request


def end() -> None:
    """Unregister the request of this thread."""
    _by_thread.pop(get_ident(), None)


def active() -> list[RequestDeadline]:
    """The requests that this process is answering."""
    return list(_by_thread.values())


def current() -> RequestDeadline | None:
    """The request of this thread, None when it answers no request of the web server."""
    return _by_thread.get(get_ident())


def time_left() -> float:
    """Seconds until this thread's deadline, infinite when it has none."""
    request = current()
    return request.deadline - time.monotonic() if request else math.inf


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A shorter deadline for a part of a request, after which its query fails with OperationalError."""
    request = current()
    if request is None:
        yield
        return
    whole, request.deadline = request.deadline, min(request.deadline, time.monotonic() + seconds)
    try:
        yield
    finally:
        request.deadline = whole
