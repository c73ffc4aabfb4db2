"""Reads of streaks: for a recommendation, or of many users for a preview."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from prometheus_client import Counter

from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments.rules.rewards import MAX_STREAK
from segments.streaks import store
from segments.streaks.from_actions import Run, today
from segments.streaks.redis_connection import CommandRefused
from segments.streaks.update import PENDING_REPAIRS

logger = logging.getLogger(__name__)
INVALID = Counter("ccweb_streak_junk", "Streak keys that held something other than a number of days.")


class StreakLookup(NamedTuple):
    """A streak as read from Redis; `days` is None when Redis does not answer or holds an invalid value.

    With `ask_database` Redis may be incomplete (it was emptied, or this user's streak could not be written): the streak
    from user_actions counts and is written back with `note`; `days` counts only when user_actions has no streak.
    `repair` is the number of the pending repair, 0 for none.
    """

    days: int | None
    ask_database: bool = False
    note: bytes = b""
    repair: int = 0


def lookups(user_ids: Sequence[int], replies: Sequence[Any]) -> list[StreakLookup]:
    """The streak of each user by the reply to `read_call(user_ids)`; no reply when Redis was away.

    Errors of Redis and invalid values are not raised.
    """
    try:
        found = store.parse_replies(replies)
    except (DependencyUnavailable, CommandRefused):
        return [StreakLookup(None)] * len(user_ids)
    return [_lookup(user_id, *values) for user_id, values in zip(user_ids, found, strict=True)]


def _lookup(user_id: int, streak: bytes | None, note: bytes | None, complete: int) -> StreakLookup:
    ours = _parse_note(note)
    is_ours = streak is None or (note is not None and streak == b"%d" % ours.days)
    days = 0 if streak is None or is_ours else _parse(user_id, streak)
    repair = PENDING_REPAIRS.number(user_id)
    if repair or (is_ours and not complete):
        return StreakLookup(days, ask_database=True, note=note or b"", repair=repair)
    if streak is not None and is_ours and ours.last >= today() - 1:
        days = ours.days
    return StreakLookup(days)


def write_back(user_id: int, lookup: StreakLookup, run: Run | None) -> None:
    """Write the streak from the database to Redis, unless the note has changed since the lookup read it.

    A pending repair is done with that, unless the write was left out or the repair became necessary again meanwhile.
    """
    try:
        changed = None
        if run or lookup.note:
            changed = store.write_if_unchanged({user_id: lookup.note}, {user_id: run} if run else {})
        if lookup.repair and not changed:
            PENDING_REPAIRS.discard(user_id, lookup.repair)
    except (DependencyUnavailable, CommandRefused) as error:
        PENDING_REPAIRS.add([user_id], error)


def read_many(user_ids: Sequence[int]) -> list[int]:
    """The streaks of many users by one call, invalid values as 0. Raises DependencyUnavailable or CommandRefused."""
    return [int(streak) if streak and _is_days(streak) else 0 for streak in store.read_streaks(user_ids)]


def _parse(user_id: int, streak: bytes) -> int | None:
    if _is_days(streak):
        return int(streak)
    INVALID.inc()
    logger.warning("%s holds no number of days but %.100r, which counts as 0", store.streak_key(user_id), streak)
    return None


def _is_days(streak: bytes) -> bool:
    return streak.isdigit() and len(streak) <= 5 and int(streak) <= MAX_STREAK


def _parse_note(note: bytes | None) -> Run:
    last, _, days = (note or b"0:0").partition(b":")
    return Run(int(last), int(days)) if last.isdigit() and days.isdigit() else store.NONE
