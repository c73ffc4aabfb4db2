"""Streaks: consecutive UTC days with at least one action, the last of them today or yesterday.

The truth is in user_actions (days.py); Redis holds what can be rebuilt from it (store.py). Only this package reads
and writes `user:{user_id}:streak_count`.

keeping.py     after each commit: one atomic call, and SQL where that call cannot know
reading.py     one user for a recommendation, many for a preview
rebuilding.py  all users at once, from one statement
keeper.py      the thread of a web process that repairs what an outage left behind
"""

from segments.streaks.from_actions import Run
from segments.streaks.lookup import StreakLookup, read, read_many, write_back
from segments.streaks.rebuild import RebuildFailed, rebuild
from segments.streaks.redis_connection import CommandRefused, check_restart
from segments.streaks.store import delete, is_complete, read_call
from segments.streaks.update import recompute, update

__all__ = [
    "StreakLookup",
    "RebuildFailed",
    "CommandRefused",
    "Run",
    "check_restart",
    "delete",
    "is_complete",
    "update",
    "read_call",
    "read",
    "read_call",
    "read_many",
    "rebuild",
    "recompute",
    "write_back",
]
