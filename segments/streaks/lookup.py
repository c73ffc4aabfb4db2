"""Read streaks: with all that a recommendation asks for, or many at once for a preview."""

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
JUNK = Counter("ccweb_streak_junk", "Streak keys that held something other than a number of days.")


class StreakLookup(NamedTuple):
    """What Redis tells about a streak; days is None when it does not answer or holds junk.

    With ask_database it may have missed something (it was emptied, or this user's streak could not be written): what
    user_actions tells counts, and goes back to Redis with `note`; `days` only counts where user_actions tells none.
    """

    days: int | None
    ask_database: bool = False
    note: bytes = b""


def read(user_ids: Sequence[int], replies: Sequence[Any] | None = None) -> list[StreakLookup]:
    """The streak of each user by one call; never raises for what Redis does or holds.

    `asked` is what Redis said to `question(user_ids)` where that went along with another call; empty when it is away.
    """
    try:
        found = store.read(user_ids) if replies is None else store.parse_replies(replies)
    except (DependencyUnavailable, CommandRefused):
        return [StreakLookup(None)] * len(user_ids)
    return [_lookup(user_id, *said) for user_id, said in zip(user_ids, found, strict=True)]


def _lookup(user_id: int, streak: bytes | None, note: bytes | None, complete: int) -> StreakLookup:
    ours = _parse_note(note)
    is_ours = streak is None or (note is not None and streak == b"%d" % ours.days)
    days = 0 if streak is None or is_ours else _parse(user_id, streak)
    if user_id in PENDING_REPAIRS or (is_ours and not complete):
        return StreakLookup(days, ask_database=True, note=note or b"")
    if streak is not None and is_ours and ours.last >= today() - 1:
        days = ours.days
    return StreakLookup(days)


def write_back(user_id: int, note: bytes, run: Run | None) -> None:
    """Put what the database told into Redis, unless somebody wrote since the note was read."""
    try:
        if run or note:
            store.write_if_unchanged({user_id: note}, {user_id: run} if run else {})
        PENDING_REPAIRS.discard(user_id)
    except (DependencyUnavailable, CommandRefused) as error:
        PENDING_REPAIRS.add([user_id], error)


def read_many(user_ids: Sequence[int]) -> list[int]:
    """The streaks of many users by one call, junk as 0. Raises DependencyUnavailable or CommandRefused."""
    return [int(streak) if streak and _is_days(streak) else 0 for streak in store.read_streaks(user_ids)]


def _parse(user_id: int, streak: bytes) -> int | None:
    if _is_days(streak):
        return int(streak)
    JUNK.inc()
    logger.warning("%s holds no number of days but %.100r: it counts as 0", store.streak_key(user_id), streak)
    return None


def _is_days(streak: bytes) -> bool:
    return streak.isdigit() and len(streak) <= 5 and int(streak) <= MAX_STREAK


def _parse_note(note: bytes | None) -> Run:
    last, _, days = (note or b"0:0").partition(b":")
    return Run(int(last), int(days)) if last.isdigit() and days.isdigit() else store.NONE
