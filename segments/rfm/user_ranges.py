"""Ranges of users with about equal work, so that PostgreSQL can score them in parallel."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from django.db import connection

from segments.rfm.counted import is_postgresql
from segments.rfm.sql import ALL_USERS

RANGES = 4  # more than processes, so that none is idle for long; each takes a millisecond to plan
COST_PER_USER = 4  # of scoring a user, in actions read: users with one action each cost more than their actions
STATISTICS = """SELECT most_common_vals::text::bigint[], most_common_freqs, histogram_bounds::text::bigint[],
    (SELECT GREATEST(reltuples, 1) FROM pg_class WHERE oid = 'user_actions'::regclass)
FROM pg_stats WHERE schemaname = ANY(current_schemas(false)) AND tablename = 'user_actions' AND attname = 'user_id'"""
Work = list[tuple[int, float]]  # user_id and the cost of the users from the item before up to this one; ascending


def user_ranges() -> list[str]:
    """SQL conditions on user_id, of which every user meets one; a single one without statistics, as on SQLite."""
    starts = list(_starts(_work() if is_postgresql() else []))
    return [_condition(first, end) for first, end in zip([None, *starts], [*starts, None], strict=True)]


def are_known() -> bool:
    """Whether user_actions was ever analysed: autovacuum may not have run since its first rows."""
    return bool(_work())


def _work() -> Work:
    """By the statistics of ANALYZE: the most common users, and the histogram of the others."""
    with connection.cursor() as cursor:
        cursor.execute(STATISTICS)
        common, shares, bounds, actions = cursor.fetchone() or (None, None, None, 0)
    heavy = [
        (user_id, share * actions + COST_PER_USER) for user_id, share in zip(common or (), shares or (), strict=True)
    ]
    between = list(pairwise(bounds or ()))
    each = actions * (1 - sum(shares or ())) / max(len(between), 1)
    # The users between two bounds: at most the ids between them, and at most the actions.
    return sorted([*heavy, *((end, each + COST_PER_USER * min(each, end - start)) for start, end in between)])


def _starts(work: Work) -> Iterator[int]:
    """The user_id after each of RANGES equal parts of the work."""
    part = sum(cost for _, cost in work) / RANGES
    passed, wanted = 0.0, 1
    for user_id, cost in work[:-1]:
        passed += cost
        if passed >= wanted * part and wanted < RANGES:
            yield user_id + 1
            wanted = int(passed / part) + 1


def _condition(first: int | None, end: int | None) -> str:
    parts: Sequence[str] = [
        *([f"user_id >= {first:d}"] if first is not None else []),
        *([f"user_id < {end:d}"] if end is not None else []),
    ]
    return " AND ".join(parts) or ALL_USERS
