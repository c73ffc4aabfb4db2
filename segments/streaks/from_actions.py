"""Streaks as user_actions tells them, one statement for one user, some or all.

From the last day on, each step looks one day further back in the index (user_id, action_timestamp): the cost of a
streak is its length, whatever else the user did. Days are UTC, numbered as date.toordinal() does.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from ccweb.api.instants import CLOCK_SKEW
from segments.rules.rewards import MAX_STREAK

CHUNK = 200  # users in one step: more would keep Redis from its other clients for too long

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
# LIMIT 1 keeps the planner to the index: it would scan the table once for each day of the longest streak.
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
    """The streaks of these users; who has none is missing."""
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {clause(some=True)} {SUMS}", parameters(user_ids))
        return dict(map(as_run, cursor.fetchall()))


def all_runs() -> Iterator[list[tuple[int, Run]]]:
    """The streaks of all users, some at a time, from one statement in bounded memory."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"WITH {clause(some=False)} {SUMS}", _bounds())
        while rows := cursor.fetchmany(CHUNK):
            yield [as_run(row) for row in rows]


def clause(*, some: bool) -> str:
    """The common table expression `run(user_id, day, days)`, to follow WITH; its parameters are `parameters`."""
    dialect = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
    last = (LAST_OF_SOME if some else LAST_OF_ALL).format(**dialect)
    return RUN.format(**dialect, last=last, most=MAX_STREAK)


def parameters(user_ids: Collection[int]) -> list[Any]:
    """For clause(some=True)."""
    return [*_bounds(), listed(user_ids)]


def listed(user_ids: Collection[int]) -> Any:
    """User ids as one parameter: an array, on SQLite the JSON of one."""
    return list(user_ids) if connection.vendor == "postgresql" else str(list(user_ids))


def _bounds() -> list[Any]:
    """The start of yesterday, and the five minutes ahead that the API lets a client's clock be."""
    now = timezone.now().astimezone(UTC)
    yesterday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return [connection.ops.adapt_datetimefield_value(instant) for instant in (yesterday, now + CLOCK_SKEW)]


def as_run(row: tuple[int, datetime | str, int]) -> tuple[int, Run]:
    """A row (user_id, day, days) of either database."""
    user_id, day, days = row
    last = date.fromisoformat(day) if isinstance(day, str) else day.astimezone(UTC)
    return user_id, Run(last.toordinal(), days)
