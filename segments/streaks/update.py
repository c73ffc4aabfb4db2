"""Update of streaks after actions are committed; users whose streak could not be written are pending repairs."""

import logging
import threading
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from django.db import DatabaseError
from prometheus_client import Gauge

from ccweb.db.steps import Blocking, Scripts, Steps
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments.streaks import store
from segments.streaks.from_actions import CHUNK, runs
from segments.streaks.redis_connection import CommandRefused

logger = logging.getLogger(__name__)
PENDING = Gauge(
    "ccweb_streaks_owed", "Users whose streak could not be written and will be.", multiprocess_mode="livesum"
)
MAX_TRIES = 5
FAILURES = (DependencyUnavailable, CommandRefused, DatabaseError)


def update_steps(actions: Iterable[dict[str, Any]]) -> Steps[None]:
    """Count committed actions. Never raises: users whose streak could not be written are added to PENDING_REPAIRS."""
    days = _days_of(actions)
    users = list(days)
    chunks = [users[start : start + CHUNK] for start in range(0, len(users), CHUNK)]
    try:
        replies = yield Scripts([store.count_call({user_id: days[user_id] for user_id in some}) for some in chunks])
    except FAILURES as error:
        PENDING_REPAIRS.add(users, error)
        return
    for some, reply in zip(chunks, replies, strict=True):
        try:
            if notes := store.undecided(some, reply):
                yield Blocking(partial(write_if_unchanged, notes))
        except FAILURES as error:
            PENDING_REPAIRS.add(some, error)


def _days_of(actions: Iterable[dict[str, Any]]) -> dict[int, set[int]]:
    """The days (ordinals, UTC) on which each user acted."""
    days: dict[int, set[int]] = {}
    ordinals: dict[datetime, int] = {}  # actions of a list that were sent without a time have the same one
    for action in actions:
        at = action["action_timestamp"]
        ordinal = ordinals.get(at) or ordinals.setdefault(at, at.astimezone(UTC).toordinal())
        days.setdefault(action["user_id"], set()).add(ordinal)
    return days


def recompute(user_ids: Collection[int]) -> None:
    """Write the streaks of these users from the database. Raises one of FAILURES."""
    if user_ids:
        write_if_unchanged(store.read_notes(user_ids))


def write_if_unchanged(notes: store.Notes) -> None:
    """Query the database and write the streaks; repeated for users whose note another process changed in between.

    Notes are compared so that a query from before the commit of an action never overwrites one from after it.
    """
    for _ in range(MAX_TRIES):
        if not notes:
            return
        notes = store.write_if_unchanged(notes, runs(notes))
    PENDING_REPAIRS.add(notes, RuntimeError(f"other processes wrote {MAX_TRIES} times in between"))


class PendingRepairs:
    """Users whose streak this process still has to write; beyond MAX_USERS all streaks are marked incomplete."""

    MAX_USERS = 50_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._user_ids: dict[int, int] = {}  # to the number of the call that added the user last
        self._calls = 0
        self._all_users = False

    def __bool__(self) -> bool:
        return self._all_users or bool(self._user_ids)

    def number(self, user_id: int) -> int:
        """Which call to `add` has made the repair necessary; 0 when none is pending."""
        return self._user_ids.get(user_id, 0)

    def add(self, user_ids: Iterable[int], error: Exception | None = None) -> None:
        """Add users. The error is logged only when no repair was pending before."""
        if error and not self:
            logger.error("streaks could not be written and will be repaired: %s", error)
        with self._lock:
            self._calls += 1
            self._user_ids.update(dict.fromkeys(user_ids, self._calls))
            if len(self._user_ids) > self.MAX_USERS:
                self._user_ids.clear()
                self._all_users = True
            PENDING.set(len(self._user_ids))

    def discard(self, user_id: int, number: int | None = None) -> None:
        """Remove a user whose streak was written, unless added again since `number`, before the database was read."""
        with self._lock:
            if number is None or number == self._user_ids.get(user_id):
                self._user_ids.pop(user_id, None)
                PENDING.set(len(self._user_ids))

    def clear(self) -> None:
        """Remove all users, as in a new process."""
        with self._lock:
            self._user_ids.clear()
            self._all_users = False
            PENDING.set(0)

    def repair_some(self) -> None:
        """Write the streaks of up to CHUNK users. Raises one of FAILURES; then these users are still pending."""
        if self._all_users:
            self._mark_incomplete()
        with self._lock:
            some = dict(islice(self._user_ids.items(), CHUNK))
        recompute(some)
        for user_id, number in some.items():
            self.discard(user_id, number)

    def _mark_incomplete(self) -> None:
        self._all_users = False  # first: too many users may be added again before Redis answers
        try:
            store.mark_incomplete()
        except FAILURES:
            self._all_users = True
            raise


PENDING_REPAIRS = PendingRepairs()
