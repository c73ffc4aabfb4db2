"""Streaks computed from user_actions, by one statement for one user, some users or all.

From the last day on, each step looks one day further back in the index (user_id, action_timestamp): the cost depends on
the length of the streak, not on the number of actions. Days are UTC, numbered as by date.toordinal().
"""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from ccweb.api.instants import CLOCK_SKEW
from segments.rules.rewards import MAX_STREAK

CHUNK = 200  # users per call: with more, the script would block the other clients of Redis for too long

POSTGRESQL = {
    "day": "date_trunc('day', last, 'UTC')",
    "before": "run.day - interval '24 hours'",
    "users": "unnest(%s::bigint[]) AS wanted(user_id)",
}
SQLITE = {
    "day": "substr(last, 1, 10)",  # instants are stored as text in UTC
    "before": "date(run.day, '-1 day')",
    "users": "(SELECT value AS user_id FROM json_each(%s)) AS wanted",
}
RECENT = "action_timestamp >= %s AND action_timestamp <= %s"
LAST_OF_SOME = f"""SELECT user_id, (SELECT max(a.action_timestamp) FROM user_actions a
    WHERE a.user_id = wanted.user_id AND a.{RECENT.replace("AND ", "AND a.")}) AS last FROM {{users}}"""
LAST_OF_ALL = f"SELECT user_id, max(action_timestamp) AS last FROM user_actions WHERE {RECENT} GROUP BY user_id"
# Without LIMIT 1 the planner scans the table once per day of the longest streak, instead of the index.
RUN = """RECURSIVE run(user_id, day, days) AS (
    SELECT user_id, {day}, 1 FROM ({last}) AS latest
    UNION ALL
    SELECT run.user_id, {before}, run.days + 1 FROM run WHERE run.days < {most} AND (
        SELECT a.user_id FROM user_actions a
        WHERE a.user_id = run.user_id AND a.action_timestamp >= {before} AND a.action_timestamp < run.day LIMIT 1
    ) IS NOT NULL
)"""
SUMS = "SELECT user_id, max(day), max(days) FROM run WHERE day IS NOT NULL GROUP BY user_id"


class Run(NamedTuple):
    """A user's streak: its last day (ordinal) and its length in days."""

    last: int
    days: int


def today() -> int:
    """The current UTC day (ordinal)."""
    return timezone.now().astimezone(UTC).toordinal()


def runs(user_ids: Collection[int]) -> dict[int, Run]:
    """The streaks of these users; users without one are missing."""
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {clause(some=True)} {SUMS}", parameters(user_ids))
        return dict(map(as_run, cursor.fetchall()))


def all_runs() -> Iterator[list[tuple[int, Run]]]:
    """The streaks of all users in batches, from one statement in bounded memory."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"WITH {clause(some=False)} {SUMS}", _bounds())
        while rows := cursor.fetchmany(CHUNK):
            yield [as_run(row) for row in rows]


def clause(*, some: bool) -> str:
    """The common table expression `run(user_id, day, days)`, to follow WITH; its parameters are `parameters()`."""
    dialect = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
    last = (LAST_OF_SOME if some else LAST_OF_ALL).format(**dialect)
    return RUN.format(**dialect, last=last, most=MAX_STREAK)


def parameters(user_ids: Collection[int]) -> list[Any]:
    """The parameters of clause(some=True)."""
    return [*_bounds(), listed(user_ids)]


def listed(user_ids: Collection[int]) -> Any:
    """User ids as one parameter: an array, on SQLite a JSON array."""
    return list(user_ids) if connection.vendor == "postgresql" else str(list(user_ids))


def _bounds() -> list[Any]:
    """The start of yesterday, and now plus the clock skew (5 minutes) that the API accepts."""
    now = timezone.now().astimezone(UTC)
    yesterday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return [connection.ops.adapt_datetimefield_value(instant) for instant in (yesterday, now + CLOCK_SKEW)]


def as_run(row: tuple[int, datetime | str, int]) -> tuple[int, Run]:
    """Convert a row (user_id, day, days) of either database."""
    user_id, day, days = row
    last = date.fromisoformat(day) if isinstance(day, str) else day.astimezone(UTC)
    return user_id, Run(last.toordinal(), days)
