"""Users in ranges with about as many actions each, so that PostgreSQL can judge them side by side."""

from collections.abc import Iterator, Sequence

from django.db import connection

from segments.statement import EVERYBODY, is_postgresql

RANGES = 8  # more than there are processes, so that none waits long for the last: 2 take 1.25 times as long, 4 1.05
STATISTICS = """SELECT most_common_vals::text::bigint[], most_common_freqs, histogram_bounds::text::bigint[]
FROM pg_stats WHERE schemaname = ANY(current_schemas(false)) AND tablename = 'user_actions' AND attname = 'user_id'"""
Shares = list[tuple[int, float]]  # user_id and the share of all actions that end there, ascending


def user_ranges() -> list[str]:
    """Conditions on user_id, of which every user meets one; one for all where there are no statistics, as on SQLite."""
    shares = _shares() if is_postgresql() else []
    starts = list(_starts(shares))
    return [_condition(first, end) for first, end in zip([None, *starts], [*starts, None], strict=True)]


def are_known() -> bool:
    """Whether the actions were analysed once: autovacuum may not have met the first of them yet."""
    return bool(_shares())


def _shares() -> Shares:
    """By the statistics of ANALYZE: the most common values, and between two bounds as many of the rest each."""
    with connection.cursor() as cursor:
        cursor.execute(STATISTICS)
        common, frequencies, bounds = cursor.fetchone() or (None, None, None)
    shares = list(zip(common or (), frequencies or (), strict=True))
    rest = 1 - sum(share for _, share in shares)
    ends = (bounds or ())[1:]
    shares += [(end, rest / len(ends)) for end in ends]
    return sorted(shares)


def _starts(shares: Shares) -> Iterator[int]:
    """The user_id after each eighth of the actions."""
    passed, wanted = 0.0, 1
    for user_id, share in shares:
        passed += share
        if passed * RANGES >= wanted and wanted < RANGES:
            yield user_id + 1
            wanted = int(passed * RANGES) + 1


def _condition(first: int | None, end: int | None) -> str:
    parts: Sequence[str] = [
        *([f"user_id >= {first:d}"] if first is not None else []),
        *([f"user_id < {end:d}"] if end is not None else []),
    ]
    return " AND ".join(parts) or EVERYBODY
