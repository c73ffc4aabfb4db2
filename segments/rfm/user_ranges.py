"""Users in ranges with about as much work each, so that PostgreSQL can judge them side by side."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from django.db import connection

from segments.rfm.sql import EVERYBODY, is_postgresql

RANGES = 4  # more than there are processes, so that none waits long for the last; each takes a millisecond to plan
A_USER = 4  # what it costs to judge a user, in actions read: tails of many users with an action each are dear
STATISTICS = """SELECT most_common_vals::text::bigint[], most_common_freqs, histogram_bounds::text::bigint[],
    (SELECT GREATEST(reltuples, 1) FROM pg_class WHERE oid = 'user_actions'::regclass)
FROM pg_stats WHERE schemaname = ANY(current_schemas(false)) AND tablename = 'user_actions' AND attname = 'user_id'"""
Work = list[tuple[int, float]]  # user_id and what those up to him cost, from the one before on; ascending


def user_ranges() -> list[str]:
    """Conditions on user_id, of which every user meets one; one for all where there are no statistics, as on SQLite."""
    starts = list(_starts(_work() if is_postgresql() else []))
    return [_condition(first, end) for first, end in zip([None, *starts], [*starts, None], strict=True)]


def are_known() -> bool:
    """Whether the actions were analysed once: autovacuum may not have met the first of them yet."""
    return bool(_work())


def _work() -> Work:
    """By the statistics of ANALYZE: the most common users, and between two bounds as many actions of the rest each."""
    with connection.cursor() as cursor:
        cursor.execute(STATISTICS)
        common, shares, bounds, actions = cursor.fetchone() or (None, None, None, 0)
    heavy = [(user_id, share * actions + A_USER) for user_id, share in zip(common or (), shares or (), strict=True)]
    between = list(pairwise(bounds or ()))
    each = actions * (1 - sum(shares or ())) / max(len(between), 1)
    # Ids without gaps would be as many users as lie between; more than there are actions they cannot be.
    return sorted([*heavy, *((end, each + A_USER * min(each, end - start)) for start, end in between)])


def _starts(work: Work) -> Iterator[int]:
    """The user_id after each equal part of the work."""
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
    return " AND ".join(parts) or EVERYBODY
