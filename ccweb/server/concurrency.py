"""Few requests work at a time, each on a database connection of its slot; the others wait without holding one.

The server has many threads, so that a slow body or a wait for the database does not keep /healthz from its answer.
Only WORKING of them run Django at a time: more would take turns at the interpreter's lock and all be slower.
"""

import threading
import time
from collections import deque

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ccweb.api.routes import paths_of
from ccweb.request.deadline import DEADLINE_SECONDS, RequestDeadline

WORKING = 2  # requests at a time in a worker
WATCHING = 1  # beside them, for WATCHED_BY_MACHINES
WATCHED_BY_MACHINES = ("readyz", "metrics")
# Seconds after a request came in which it may wait for a slot: of sixteen lists of 1,000 at once the last waits for
# more than a second.
QUEUE_TIMEOUT_SECONDS = 2.5


class SlotWaiter:
    """A thread in the queue; `turn` is released when `database` is its own."""

    def __init__(self) -> None:
        self.database: BaseDatabaseWrapper | None = None
        self.signal = threading.Lock()
        self.signal.acquire()


class Slots:
    """A number of slots, each with its database connection, given in the order of arrival."""

    def __init__(self, count: int) -> None:
        self.databases = [connections.create_connection(DEFAULT_DB_ALIAS) for _ in range(count)]
        for database in self.databases:
            database.inc_thread_sharing()  # by one thread after another
        self._lock = threading.Lock()
        self._free = list(self.databases)
        self._queue: deque[SlotWaiter] = deque()

    def enter(self, request: RequestDeadline) -> bool:
        """Work in a slot, its connection being this thread's `connection`; False when none is free in time."""
        database = self._take(seconds_left_to_start(request))
        if database is None:
            return False
        connections[DEFAULT_DB_ALIAS] = request.database = database
        request.working_since = time.monotonic()
        return True

    def _take(self, seconds: float) -> BaseDatabaseWrapper | None:
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter = SlotWaiter()
            self._queue.append(waiter)
        if not waiter.signal.acquire(timeout=seconds):
            with self._lock:
                if waiter.database is None:  # else its turn has come in this very moment
                    self._queue.remove(waiter)
        return waiter.database

    def give_back(self, database: BaseDatabaseWrapper) -> None:
        """The next one's turn."""
        with self._lock:
            if self._queue:
                waiter = self._queue.popleft()
                waiter.database = database
                waiter.signal.release()
            else:
                self._free.append(database)


def seconds_left_to_start(request: RequestDeadline) -> float:
    """Seconds that a request may still wait before anybody works on it."""
    return max(0.0, request.deadline - DEADLINE_SECONDS + QUEUE_TIMEOUT_SECONDS - time.monotonic())


_working, _watching = Slots(WORKING), Slots(WATCHING)


def enter(request: RequestDeadline, path: str = "") -> bool:
    """Work in a slot for requests to this path, its connection being this thread's; False when none is free in time."""
    return (_watching if path in paths_of(*WATCHED_BY_MACHINES) else _working).enter(request)


def leave(request: RequestDeadline) -> None:
    """The next one's turn; does nothing for a request that has not entered."""
    database, request.database = request.database, None
    if database is not None:
        del connections[DEFAULT_DB_ALIAS]
        (_watching if database in _watching.databases else _working).give_back(database)


def databases() -> list[BaseDatabaseWrapper]:
    """The connections of all slots."""
    return [*_working.databases, *_watching.databases]
