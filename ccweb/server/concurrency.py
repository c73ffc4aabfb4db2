"""Limits how many requests run at a time: each runs in a slot with its own database connection, the others wait.

The server has many threads, so that a slow body or a wait for the database does not delay /healthz. Only WORKING of
them run Django at a time: more would compete for the interpreter's lock and all be slower.
"""

import threading
import time
from collections import deque

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ccweb.api.routes import paths_of
from ccweb.request.deadline import DEADLINE_SECONDS, RequestDeadline

WORKING = 2  # concurrent requests in a worker
WATCHING = 1  # additional slots for WATCHED_BY_MACHINES
WATCHED_BY_MACHINES = ("readyz", "metrics")
# How long after its arrival a request may wait for a slot: of sixteen concurrent lists of 1,000 events the last one
# waits for more than a second.
QUEUE_TIMEOUT_SECONDS = 2.5


class SlotWaiter:
    """A thread in the queue; `signal` is released when `database` is set."""

    def __init__(self) -> None:
        self.database: BaseDatabaseWrapper | None = None
        self.signal = threading.Lock()
        self.signal.acquire()


class Slots:
    """A number of slots, each with its database connection, assigned in the order of arrival."""

    def __init__(self, count: int) -> None:
        self.databases = [connections.create_connection(DEFAULT_DB_ALIAS) for _ in range(count)]
        for database in self.databases:
            database.inc_thread_sharing()  # used by one thread at a time, but not always the same one
        self._lock = threading.Lock()
        self._free = list(self.databases)
        self._queue: deque[SlotWaiter] = deque()

    def enter(self, request: RequestDeadline) -> bool:
        """Assign a slot and make its connection this thread's `connection`; False when none is free in time."""
        database = self._acquire(seconds_left_to_start(request))
        if database is None:
            return False
        connections[DEFAULT_DB_ALIAS] = request.database = database
        request.working_since = time.monotonic()
        return True

    def _acquire(self, seconds: float) -> BaseDatabaseWrapper | None:
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter = SlotWaiter()
            self._queue.append(waiter)
        if not waiter.signal.acquire(timeout=seconds):
            with self._lock:
                if waiter.database is None:  # else a slot was assigned just after the timeout
                    self._queue.remove(waiter)
        return waiter.database

    def release(self, database: BaseDatabaseWrapper) -> None:
        """Assign the slot to the first waiter, or mark it as free."""
        with self._lock:
            if self._queue:
                waiter = self._queue.popleft()
                waiter.database = database
                waiter.signal.release()
            else:
                self._free.append(database)


def seconds_left_to_start(request: RequestDeadline) -> float:
    """Seconds that a request may still wait before processing starts."""
    return max(0.0, request.deadline - DEADLINE_SECONDS + QUEUE_TIMEOUT_SECONDS - time.monotonic())


_working, _watching = Slots(WORKING), Slots(WATCHING)


def enter(request: RequestDeadline, path: str = "") -> bool:
    """Assign a slot for this path and make its connection this thread's; False when none is free in time."""
    return (_watching if path in paths_of(*WATCHED_BY_MACHINES) else _working).enter(request)


def leave(request: RequestDeadline) -> None:
    """Release the request's slot; does nothing for a request without one."""
    database, request.database = request.database, None
    if database is not None:
        del connections[DEFAULT_DB_ALIAS]
        (_watching if database in _watching.databases else _working).release(database)


def databases() -> list[BaseDatabaseWrapper]:
    """The connections of all slots."""
    return [*_working.databases, *_watching.databases]
