"""The SQL of the RFM batch, the same text for PostgreSQL and SQLite (3.39 or newer).

The cut-off instants are parameters, so the SQL has no date arithmetic. The rows that would change are gathered in a
temporary table first: a dry run counts them, a run writes them. Its user_id is cast, and without ranges user_segments
is joined directly: SQLite joins a column without a declared type, or a subquery, row by row.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from actions.models import CENTS
from segments.rules.scoring import DAY, WINDOW, CutPoints, Rule, Scoring

Parameters = dict[str, Any]
Value = str | int | float | Decimal | datetime | None

TOTAL = f"SUM({CENTS})"
ACTED = f"""
    SELECT user_id, MAX(action_timestamp){{inside}} AS last_action_at, COUNT(*){{inside}} AS frequency,
        {TOTAL}{{inside}} AS total
    FROM user_actions WHERE {{where}} AND {{users}} GROUP BY user_id"""
WINDOW_ONLY = "action_timestamp >= %(since)s AND action_timestamp <= %(as_of)s"
UP_TO_AS_OF = "action_timestamp <= %(as_of)s"
INSIDE = " FILTER (WHERE action_timestamp >= %(since)s)"
ALL_USERS = "TRUE"
DIFFERENCE = "CREATE TEMPORARY TABLE rfm_difference AS {parts}"
PART = """
WITH activity AS ({activity}
), scored AS (
    SELECT user_id, last_action_at, frequency, {money} AS monetary,
        {recency_score} AS recency_score, {frequency_score} AS frequency_score, {monetary_score} AS monetary_score
    FROM activity
), classified AS (
    SELECT CAST(COALESCE(scored.user_id, old.user_id) AS bigint) AS user_id, {group} AS rfm_group,
        COALESCE(scored.recency_score, 1) AS recency_score, COALESCE(scored.frequency_score, 1) AS frequency_score,
        COALESCE(scored.monetary_score, 1) AS monetary_score, COALESCE(scored.frequency, 0) AS frequency,
        COALESCE(scored.monetary, 0) AS monetary, scored.last_action_at, {old}
    FROM scored FULL JOIN {segments} old ON old.user_id = scored.user_id
)
SELECT user_id, {classified}, old_rfm_group AS from_group, old_recency_score, old_frequency_score, old_last_action_at
FROM classified
WHERE ({classified}) IS DISTINCT FROM ({old_classified})"""
# Users first seen by an action that arrived since the last run and lies before the window.
FIRST_SEEN = """
INSERT INTO rfm_difference
    (user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary)
SELECT DISTINCT arrived.user_id, %(lapsed_group)s, 1, 1, 1, 0, 0 FROM user_actions arrived
LEFT JOIN user_segments old ON old.user_id = arrived.user_id
LEFT JOIN rfm_difference new ON new.user_id = arrived.user_id
WHERE arrived.id > %(seen)s AND arrived.action_timestamp < %(since)s AND old.user_id IS NULL AND new.user_id IS NULL"""
MOVES = """
SELECT from_group, old_recency_score, old_frequency_score, rfm_group, recency_score, frequency_score,
    COUNT(*), COUNT(last_action_at) - COUNT(old_last_action_at),
    COUNT(CASE WHEN last_action_at IS NULL THEN old_last_action_at END)
FROM rfm_difference GROUP BY 1, 2, 3, 4, 5, 6"""
CURRENT_COUNTS = """
SELECT rfm_group, recency_score, frequency_score, COUNT(*), COUNT(last_action_at) FROM user_segments GROUP BY 1, 2, 3"""
# A user whose first group is that of lapsed users is no change: a first run writes a third of the rows.
CHANGES = """
INSERT INTO segment_changes (user_id, run_id, from_group, to_group, changed_at)
SELECT user_id, %(run)s, COALESCE(from_group, ''), rfm_group, %(moment)s FROM rfm_difference
WHERE COALESCE(from_group, %(lapsed_group)s) <> rfm_group"""
# Ranges finish in any order. ORDER BY: otherwise this statement and set_risk_profile could deadlock on rows.
INSERT = """
INSERT INTO user_segments (user_id, risk_profile, {classified}, last_updated)
SELECT user_id, 'Unknown', {classified}, %(moment)s FROM rfm_difference WHERE {rows} ORDER BY user_id"""
UPSERT = """
ON CONFLICT (user_id) DO UPDATE SET {updates}, last_updated = excluded.last_updated"""
UPDATE = """
UPDATE user_segments SET {updates}, last_updated = %(moment)s
FROM (SELECT * FROM rfm_difference WHERE from_group IS NOT NULL ORDER BY user_id) AS new
WHERE user_segments.user_id = new.user_id"""
DROP = "DROP TABLE rfm_difference"
CLASSIFIED = (
    "rfm_group",
    "recency_score",
    "frequency_score",
    "monetary_score",
    "frequency",
    "monetary",
    "last_action_at",
)


def activity(*, all_users: bool = False, users: str = ALL_USERS) -> str:
    """The aggregate of the window: user_id, last_action_at, frequency, total (cents).

    With `all_users` also users whose actions are all before the window, with NULL and 0. `users` is an SQL condition.
    """
    inside, where = (INSIDE, UP_TO_AS_OF) if all_users else ("", WINDOW_ONLY)
    return ACTED.format(inside=inside, where=where, users=users)


def difference(rules: list[Rule], *, all_users: bool, ranges: Sequence[str]) -> str:
    """The statement that gathers the rows a run would write; without `all_users`, those of FIRST_SEEN are missing.

    `ranges` are SQL conditions of which every user meets one: PostgreSQL scores several ranges in parallel.
    """
    parts = [_part(rules, all_users=all_users, users=users) for users in ranges]
    return DIFFERENCE.format(parts=f"({') UNION ALL ('.join(parts)})" if parts[1:] else parts[0])


def _part(rules: list[Rule], *, all_users: bool, users: str) -> str:
    return PART.format(
        activity=activity(all_users=all_users, users=users),
        segments="user_segments" if users == ALL_USERS else f"(SELECT * FROM user_segments WHERE {users})",
        money="total * 0.01"
        if is_postgresql()
        else "total / 100.0",  # exact on PostgreSQL, the nearest float on SQLite
        recency_score=score("last_action_at > ", "recency"),
        frequency_score=score("frequency >= ", "frequency"),
        monetary_score=score("total >= ", "monetary"),
        group=_group(rules),
        classified=", ".join(CLASSIFIED),
        old=", ".join(f"old.{column} AS old_{column}" for column in CLASSIFIED),
        old_classified=", ".join(f"old_{column}" for column in CLASSIFIED),
    )


def insert() -> str:
    """Inserts the gathered rows of new users, in half the time of upsert(). Fails when one of them has a row."""
    return INSERT.format(classified=", ".join(CLASSIFIED), rows="from_group IS NULL")


def update() -> str:
    """Updates the gathered rows of users who had a row; risk profiles are unchanged."""
    return UPDATE.format(updates=", ".join(f"{column} = new.{column}" for column in CLASSIFIED))


def upsert() -> str:
    """Inserts or updates all gathered rows; risk profiles are unchanged."""
    updates = ", ".join(f"{column} = excluded.{column}" for column in CLASSIFIED)
    return INSERT.format(classified=", ".join(CLASSIFIED), rows="TRUE") + UPSERT.format(updates=updates)


def parameters(scoring: Scoring, as_of: datetime) -> Parameters:
    """The parameters of the statements, from the scoring and as_of (UTC)."""
    cuts: CutPoints = scoring.cuts
    values: dict[str, Value] = {"since": as_of - WINDOW, "as_of": as_of, "lapsed_group": scoring.lapsed_group}
    for number in range(4):
        # At most d whole days ago means later than d + 1 days ago.
        days = cuts.recency[number]
        values[f"recency{number}"] = None if days is None else as_of - (days + 1) * DAY
        values[f"frequency{number}"] = cuts.frequency[number]
        values[f"monetary{number}"] = cuts.monetary[number]
    groups: dict[str, Value] = {f"group{number}": name for number, name in enumerate(scoring.groups)}
    return {name: adapted(value) for name, value in (values | groups).items()}


def adapted(value: Value) -> Value:
    """A value as the statements compare it: money in cents, and on SQLite instants as text."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, Decimal):
        return int(value * 100)
    return value


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL; otherwise it is SQLite."""
    return connection.vendor == "postgresql"


def score(reached: str, dimension: str, batch: str = "") -> str:
    """The SQL of one dimension's score; `reached` is the condition up to the cut point, `batch` a suffix."""
    # Each cut point is at least as hard to reach as the one before.
    whens = [f"WHEN {reached}%({dimension}{number}{batch})s THEN {number + 2}" for number in (3, 2, 1, 0)]
    return f"CASE {' '.join(whens)} ELSE 1 END"


def _group(rules: list[Rule]) -> str:
    # A lapsed user's scores are NULL here, so that only the last rule matches.
    whens = [
        f"WHEN scored.recency_score >= {rule.recency:d} AND scored.frequency_score >= {rule.frequency:d} "
        f"AND scored.monetary_score >= {rule.monetary:d} THEN %(group{number})s"
        for number, rule in enumerate(rules[:-1])
    ]
    return f"CASE {' '.join(whens)} WHEN TRUE THEN %(lapsed_group)s END"
