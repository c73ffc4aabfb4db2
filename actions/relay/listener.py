"""How a relay with nothing to do learns that there is something, at next to no cost for the writers."""

import os
import threading
import time
from typing import Any, Protocol

from django.dispatch import receiver

from actions.models import CHANNEL, RELAY_IDLE_LOCK
from actions.signals import actions_recorded
from ccweb.db.file_lock import FileLock
from ccweb.db.leader_election import Lead, SessionLock

IDLE_AFTER_SECONDS = 0.1  # seconds after the last row in which the relay polls instead of going to sleep
POLL_INTERVAL_SECONDS = (
    0.04  # seconds between two polls, in which a batch gathers: small ones cost as much as large ones
)
recorded_here = threading.Event()


def _renew() -> None:
    """A thread that the fork did not copy may have held the event's lock."""
    global recorded_here
    recorded_here = threading.Event()


os.register_at_fork(after_in_child=_renew)


@receiver(actions_recorded)
def note_recorded_actions(**kwargs: Any) -> None:
    """Wake a relay thread of this process."""
    recorded_here.set()


class OutboxListener(Protocol):
    """What the relay rests on."""

    def rows_found(self) -> None:
        """There were rows: more may follow at once."""

    def wait(self) -> None:
        """Wait for rows, or for long enough to look again; at most 0.4 s."""


def listener_for(lead: Lead) -> OutboxListener:
    """The bell that goes with the kind of the lead's lock."""
    return NotifyListener(lead.lock) if isinstance(lead.lock, SessionLock) else PollingListener(lead.lock)


class NotifyListener:
    """LISTEN on the lead's session. NOTIFY makes commits queue up, so writers send it only to a relay that sleeps.

    Writers take RELAY_IDLE_LOCK shared for their transaction, the sleeping relay exclusively. It gets it when no write
    is in flight, then reads the outbox once more before it waits: whoever writes after that finds it taken and rings.
    """

    def __init__(self, lock: SessionLock) -> None:
        self._lock = lock
        self._session: object = None  # the one on which it listens
        self._asleep = False
        self._last_rows = time.monotonic()

    def rows_found(self) -> None:
        self._last_rows = time.monotonic()
        if self._asleep:
            self._execute(f"SELECT pg_advisory_unlock({RELAY_IDLE_LOCK})")
            self._asleep = False

    def wait(self) -> None:
        if self._session is not self._lock.session:
            self._session, self._asleep = self._lock.session, False
            self._execute(f"LISTEN {CHANNEL}")
        if self._asleep and self._lock.session is not None:
            for _ in self._lock.session.notifies(timeout=0.4, stop_after=1):
                pass
        elif time.monotonic() - self._last_rows < IDLE_AFTER_SECONDS:
            time.sleep(POLL_INTERVAL_SECONDS)
        else:
            self._asleep = self._execute(f"SELECT pg_try_advisory_lock({RELAY_IDLE_LOCK})")
            time.sleep(0 if self._asleep else 0.02)

    def _execute(self, query: str) -> bool:
        """The first column of the answer, if any."""
        if self._lock.session is None:
            return False
        cursor = self._lock.session.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return bool(row and row[0])


class PollingListener:
    """Rung by writers of this process; those of others are noticed by looking, ever less often while idle."""

    SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.25  # seconds

    def __init__(self, lock: FileLock) -> None:
        self._pause = self.SHORTEST_PAUSE_SECONDS

    def rows_found(self) -> None:
        self._pause = POLL_INTERVAL_SECONDS

    def wait(self) -> None:
        recorded_here.wait(self._pause)
        recorded_here.clear()
        self._pause = min(max(self._pause * 1.5, self.SHORTEST_PAUSE_SECONDS), self.LONGEST_PAUSE_SECONDS)
