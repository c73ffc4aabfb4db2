"""Streaks: consecutive UTC days with at least one action, the last of them today or yesterday.

They are computed from user_actions (from_actions.py) and cached in Redis (store.py). Only this package reads and writes
`user:{user_id}:streak_count`.

update.py         after each commit: one atomic call, and SQL for users whom Redis cannot decide
lookup.py         one user for a recommendation, many for a preview
rebuild.py        all users at once, from one statement
repair_thread.py  the thread of a web process that writes what an outage left pending
"""

from segments.streaks.from_actions import Run
from segments.streaks.lookup import StreakLookup, lookups, read_many, write_back
from segments.streaks.rebuild import RebuildFailed, rebuild
from segments.streaks.redis_connection import CommandRefused, check_restart
from segments.streaks.store import delete, is_complete, read_call
from segments.streaks.update import recompute, update_steps

__all__ = [
    "StreakLookup",
    "RebuildFailed",
    "CommandRefused",
    "Run",
    "check_restart",
    "delete",
    "is_complete",
    "update_steps",
    "lookups",
    "read_call",
    "read_many",
    "rebuild",
    "recompute",
    "write_back",
]
