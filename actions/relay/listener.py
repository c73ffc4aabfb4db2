"""How an idle relay learns of new outbox rows: LISTEN/NOTIFY of PostgreSQL or polling, at little cost for writers."""

import os
import threading
import time
from typing import Any, Protocol

from django.dispatch import receiver

from actions.models import CHANNEL, RELAY_IDLE_LOCK
from actions.signals import actions_recorded
from ccweb.db.file_lock import FileLock
from ccweb.db.leader_election import Lead, SessionLock

IDLE_AFTER_SECONDS = 0.1  # after the last row; until then the relay polls
# Between two polls. Rows accumulate meanwhile: a small batch costs as much as a large one.
POLL_INTERVAL_SECONDS = 0.04
NOTIFY_TIMEOUT_SECONDS = 0.4
LOCK_RETRY_SECONDS = 0.02  # between two attempts to take RELAY_IDLE_LOCK
recorded_here = threading.Event()


def _replace_event() -> None:
    """Replace the event after a fork: a thread that the child does not have may have held its lock."""
    global recorded_here
    recorded_here = threading.Event()


os.register_at_fork(after_in_child=_replace_event)


@receiver(actions_recorded)
def wake_local_relay(**kwargs: Any) -> None:
    """Wake the relay thread of this process, on SQLite; on PostgreSQL the insert sends NOTIFY (WAKE in outbox.py)."""
    recorded_here.set()


class OutboxListener(Protocol):
    """What the relay waits on while there is nothing to publish."""

    def rows_found(self) -> None:
        """To be called after rows were read: more may follow soon."""

    def wait(self) -> None:
        """Wait until rows may exist, at most NOTIFY_TIMEOUT_SECONDS."""


def listener_for(lead: Lead) -> OutboxListener:
    """The listener for the kind of lock that elects the leader."""
    return NotifyListener(lead.lock) if isinstance(lead.lock, SessionLock) else PollingListener(lead.lock)


class NotifyListener:
    """LISTEN on the session of the leader's lock. NOTIFY serialises commits, so writers send it only to an idle relay.

    A writer takes RELAY_IDLE_LOCK shared for its transaction, an idle relay takes it exclusively, which succeeds only
    when no write is in progress. The relay then reads the outbox once more before it waits. A later writer does not get
    the shared lock, and therefore sends NOTIFY.
    """

    def __init__(self, lock: SessionLock) -> None:
        self._lock = lock
        self._session: object = None  # the session that executed LISTEN
        self._idle = False
        self._last_rows = time.monotonic()

    def rows_found(self) -> None:
        self._last_rows = time.monotonic()
        if self._idle:
            self._execute(f"SELECT pg_advisory_unlock({RELAY_IDLE_LOCK})")
            self._idle = False

    def wait(self) -> None:
        if self._session is not self._lock.session:
            self._session, self._idle = self._lock.session, False
            self._execute(f"LISTEN {CHANNEL}")
        if self._idle and self._lock.session is not None:
            for _ in self._lock.session.notifies(timeout=NOTIFY_TIMEOUT_SECONDS, stop_after=1):
                pass
        elif time.monotonic() - self._last_rows < IDLE_AFTER_SECONDS:
            time.sleep(POLL_INTERVAL_SECONDS)
        else:
            self._idle = self._execute(f"SELECT pg_try_advisory_lock({RELAY_IDLE_LOCK})")
            time.sleep(0 if self._idle else LOCK_RETRY_SECONDS)

    def _execute(self, query: str) -> bool:
        """Execute a query; whether the first column of its first row is true."""
        if self._lock.session is None:
            return False
        cursor = self._lock.session.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return bool(row and row[0])


class PollingListener:
    """Woken by writers of this process; polls for rows of other processes, less often the longer it is idle."""

    SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.25

    def __init__(self, lock: FileLock) -> None:
        self._pause = self.SHORTEST_PAUSE_SECONDS

    def rows_found(self) -> None:
        self._pause = POLL_INTERVAL_SECONDS

    def wait(self) -> None:
        recorded_here.wait(self._pause)
        recorded_here.clear()
        self._pause = min(max(self._pause * 1.5, self.SHORTEST_PAUSE_SECONDS), self.LONGEST_PAUSE_SECONDS)
