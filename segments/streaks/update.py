"""Keep the streaks of those who have just done something; what fails is remembered and made good."""

import logging
import threading
from collections.abc import Collection, Iterable
from datetime import UTC
from typing import Any

from django.db import DatabaseError
from prometheus_client import Gauge

from ccweb.redis.circuit_breaker import Away
from segments.streaks import store
from segments.streaks.from_actions import CHUNK, runs
from segments.streaks.redis_connection import Refused

log = logging.getLogger(__name__)
OWED = Gauge("ccweb_streaks_owed", "Users whose streak could not be written and will be.", multiprocess_mode="livesum")
TRIES = 5
FAILURES = (Away, Refused, DatabaseError)


def keep(actions: Iterable[dict[str, Any]]) -> None:
    """Count committed actions. Never raises: users whose streak could not be written are owed it (see DEBTS)."""
    days: dict[int, set[int]] = {}
    for action in actions:
        days.setdefault(action["user_id"], set()).add(action["action_timestamp"].astimezone(UTC).toordinal())
    users = list(days)
    for start in range(0, len(users), CHUNK):
        some = {user_id: days[user_id] for user_id in users[start : start + CHUNK]}
        try:
            settle(store.count(some))
        except FAILURES as error:
            DEBTS.add(some, error)


def recompute(user_ids: Collection[int]) -> None:
    """Write what the database tells about these users. Raises Away, Refused or DatabaseError."""
    if user_ids:
        settle(store.read_notes(user_ids))


def settle(notes: store.Notes) -> None:
    """Ask the database and write, again for each user whose note somebody else changed in between.

    Notes are compared so that an answer from before another action's commit never overwrites one from after it.
    """
    for _ in range(TRIES):
        if not notes:
            return
        notes = store.settle(notes, runs(notes))
    DEBTS.add(notes, RuntimeError(f"somebody else wrote {TRIES} times in between"))


class Debts:
    """Users whose streak this process has still to write; too many to remember stand for everybody."""

    MOST = 50_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: set[int] = set()
        self._everybody = False

    def __contains__(self, user_id: int) -> bool:
        return user_id in self._owed

    def __bool__(self) -> bool:
        return self._everybody or bool(self._owed)

    def add(self, user_ids: Iterable[int], error: Exception) -> None:
        """Remember users because of an error; the first of a row of errors is logged."""
        if not self:
            log.error("streaks could not be written and will be made good: %s", error)
        self.owe(user_ids)

    def owe(self, user_ids: Iterable[int]) -> None:
        """Remember users."""
        with self._lock:
            self._owed.update(user_ids)
            if len(self._owed) > self.MOST:
                self._owed.clear()
                self._everybody = True
            OWED.set(len(self._owed))

    def forgive(self, user_id: int) -> None:
        """Forget one user, whose streak was written otherwise."""
        if user_id in self._owed:
            with self._lock:
                self._owed.discard(user_id)

    def forget(self) -> None:
        """Forget everybody, as a new process would."""
        with self._lock:
            self._owed.clear()
            self._everybody = False

    def pay(self) -> None:
        """Write the streaks of some of them. Raises Away, Refused or DatabaseError, owing as before."""
        if self._everybody:
            store.distrust()
            self._everybody = False
        with self._lock:
            some = [self._owed.pop() for _ in range(min(CHUNK, len(self._owed)))]
            OWED.set(len(self._owed))
        try:
            recompute(some)
        except FAILURES:
            self.owe(some)
            raise


DEBTS = Debts()
