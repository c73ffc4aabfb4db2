"""The SQL of the RFM batch, the same text for PostgreSQL and SQLite (3.39 or newer).

The cut-off instants are parameters, so the SQL has no date arithmetic. The rows that would change are gathered in a
temporary table first: a dry run counts them, a run writes them. Its user_id is cast, and without ranges user_segments
is joined directly: SQLite joins a column without a declared type, or a subquery, row by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from segments.rfm.counted import ALWAYS, Counted, Parameters, Value, all_adapted, both, is_postgresql, money
from segments.rfm.scored import group_of, score
from segments.rules.counting import DAY
from segments.rules.scoring import Scoring

ALL_USERS = ALWAYS
OLDER = "action_timestamp < %(since)s"
INSIDE = "action_timestamp >= %(since)s"
ACTIVITY = """
    SELECT user_id, MIN(action_timestamp) AS first_action_at, {last} AS last_action_at, {actions} AS actions,
        {all_total} AS all_total, {frequency} AS frequency, {total} AS total
    FROM user_actions WHERE {where} GROUP BY user_id"""
DIFFERENCE = "CREATE TEMPORARY TABLE rfm_difference AS {parts}"
PART = """
WITH activity AS ({activity}
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, {lifetime},
        {removed} AS removed, {read}, {old}
    FROM activity FULL JOIN {segments} old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, {monetary} AS monetary, {recency_score} AS recency_score, {frequency_score} AS frequency_score,
        {monetary_score} AS monetary_score
    FROM users
), classified AS (
    SELECT *, {group} AS rfm_group FROM scored
)
SELECT user_id, {classified}, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE {differs}"""
# From the rows of the last run: what is older than its window has not changed, what is younger was read again.
LIFETIME_GOES_ON = """COALESCE(old.lifetime_actions - old.frequency, 0) + COALESCE(activity.actions, 0)
            AS lifetime_actions, {lifetime_value} AS lifetime_value,
        CASE WHEN activity.first_action_at < old.first_action_at OR old.first_action_at IS NULL
            THEN activity.first_action_at ELSE old.first_action_at END AS first_action_at,
        COALESCE(activity.last_action_at, old.last_action_at) AS last_action_at"""
LIFETIME_ANEW = """COALESCE(activity.actions, 0) AS lifetime_actions, {lifetime_value} AS lifetime_value,
        activity.first_action_at, activity.last_action_at"""
# The user was known to a run as of a later time only. Whose risk profile is known keeps a row.
REMOVED = "(old.first_action_at > %(as_of)s AND activity.user_id IS NULL AND old.risk_profile = 'Unknown')"
# Users of actions that arrived since the last run and are older than its window: their rows are computed anew.
LATE = """
CREATE TEMPORARY TABLE rfm_late AS SELECT DISTINCT user_id FROM user_actions
WHERE id > %(seen)s AND action_timestamp < %(from)s"""
OF_LATE_USERS = "user_id IN (SELECT user_id FROM rfm_late)"
COUNT_LATE = "SELECT COUNT(*) FROM rfm_late"
WITHOUT_LATE = f"DELETE FROM rfm_difference WHERE {OF_LATE_USERS}"
AGAIN = "INSERT INTO rfm_difference {part}"
MOVES = """
SELECT from_group, old_recency_score, old_frequency_score, removed, rfm_group, recency_score, frequency_score,
    COUNT(*), COUNT(CASE WHEN frequency > 0 THEN 1 END) - COUNT(CASE WHEN old_frequency > 0 THEN 1 END),
    COUNT(CASE WHEN frequency = 0 AND old_frequency > 0 THEN 1 END)
FROM rfm_difference GROUP BY 1, 2, 3, 4, 5, 6, 7"""
CURRENT_COUNTS = """
SELECT rfm_group, recency_score, frequency_score, COUNT(*), COUNT(CASE WHEN frequency > 0 THEN 1 END)
FROM user_segments GROUP BY 1, 2, 3"""
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
FROM (SELECT * FROM rfm_difference WHERE from_group IS NOT NULL AND NOT removed ORDER BY user_id) AS new
WHERE user_segments.user_id = new.user_id"""
REMOVE = """
DELETE FROM user_segments
WHERE risk_profile = 'Unknown' AND user_id IN (SELECT user_id FROM rfm_difference WHERE removed)"""
DROP = "DROP TABLE rfm_difference"
DROP_LATE = "DROP TABLE IF EXISTS rfm_late"
CLASSIFIED = (
    "rfm_group",
    "recency_score",
    "frequency_score",
    "monetary_score",
    "frequency",
    "monetary",
    "lifetime_actions",
    "lifetime_value",
    "first_action_at",
    "last_action_at",
)


# What a user of whom nothing was read keeps, and what follows from these columns, is not compared.
COMPARED = tuple(c for c in CLASSIFIED if c not in ("lifetime_actions", "lifetime_value", "first_action_at"))
READ = ("actions", "all_total", "first_action_at")


@dataclass(frozen=True)
class Reading:
    """Which actions a run reads: all up to as_of, or, going on from the last run, those since its window began.

    That begin is the parameter `from`. `older` tells whether some of them lie before this run's own window.
    """

    goes_on: bool = False
    older: bool = True


EVERYTHING = Reading()


def activity(counted: Counted, reading: Reading = EVERYTHING, users: str = ALL_USERS) -> str:
    """The aggregate by user: first_action_at, last_action_at, actions and all_total (cents) of what is read, and of
    the window frequency and total (cents). `users` is an SQL condition. The first action may be one that counts for
    nothing: every user with an action has a row.
    """
    period = both("action_timestamp >= %(from)s" if reading.goes_on else ALWAYS, "action_timestamp <= %(as_of)s")
    frequency, total = counted.actions(INSIDE), counted.total(INSIDE)
    if reading.goes_on:  # most of what is read lies in the window: less is counted to be subtracted
        frequency, total = counted.actions(), counted.total()
        if reading.older:
            frequency, total = f"{frequency} - {counted.actions(OLDER)}", f"{total} - {counted.total(OLDER)}"
    return ACTIVITY.format(
        last=counted.last(),
        actions=counted.actions(),
        all_total=counted.total(),
        frequency=frequency,
        total=total,
        where=both(period, users),
    )


def difference(scoring: Scoring, reading: Reading, ranges: Sequence[str]) -> str:
    """The statement that gathers the rows a run would write; those of late users are wrong if the reading goes on.

    `ranges` are SQL conditions of which every user meets one: PostgreSQL scores several ranges in parallel.
    """
    parts = [_part(scoring, reading, users) for users in ranges]
    return DIFFERENCE.format(parts=f"({') UNION ALL ('.join(parts)})" if parts[1:] else parts[0])


def again(scoring: Scoring) -> str:
    """The statement that gathers the rows of late users from their whole history."""
    return AGAIN.format(part=_part(scoring, EVERYTHING, OF_LATE_USERS))


def _part(scoring: Scoring, reading: Reading, users: str) -> str:
    cuts = scoring.cuts
    return PART.format(
        activity=activity(Counted(scoring.counting), reading, users),
        segments="user_segments" if users == ALL_USERS else f"(SELECT * FROM user_segments WHERE {users})",
        lifetime=_lifetime(reading),
        removed="FALSE" if reading.goes_on else REMOVED,
        read=", ".join(f"activity.{column} AS read_{column}" for column in READ),
        monetary=money("total"),
        recency_score=score("last_action_at > ", "recency", len(cuts.recency)),
        frequency_score=score("frequency >= ", "frequency", len(cuts.frequency)),
        monetary_score=score("total >= ", "monetary", len(cuts.monetary)),
        group=group_of(scoring.rules),
        classified=", ".join(CLASSIFIED),
        old=", ".join(f"old.{column} AS old_{column}" for column in CLASSIFIED),
        differs=_differs(scoring, reading),
    )


def _differs(scoring: Scoring, reading: Reading) -> str:
    """The condition that a row is to be written. The figures of the history are costly to compute for every user."""
    columns = COMPARED if reading.goes_on else CLASSIFIED
    differs = f"({', '.join(columns)}) IS DISTINCT FROM ({', '.join(f'old_{column}' for column in columns)})"
    if not reading.goes_on:
        return differs
    first = "read_first_action_at < old_first_action_at OR (old_first_action_at IS NULL AND read_actions IS NOT NULL)"
    # What left the window is in the history from now on, though as much may have come into it.
    left = "read_actions > frequency" if reading.older else "FALSE"
    if reading.older and not Counted(scoring.counting).counts_all:
        left += " OR read_all_total <> total"
    return f"{differs} OR {first} OR {left}"


def _lifetime(reading: Reading) -> str:
    read = "COALESCE(activity.all_total, 0)"
    if not reading.goes_on:
        return LIFETIME_ANEW.format(lifetime_value=money(read))
    if is_postgresql():
        sums = f"COALESCE(old.lifetime_value - old.monetary, 0) + {money(read)}"
        return LIFETIME_GOES_ON.format(lifetime_value=sums)
    older = "COALESCE(CAST(ROUND(old.lifetime_value * 100) - ROUND(old.monetary * 100) AS bigint), 0)"
    return LIFETIME_GOES_ON.format(lifetime_value=money(f"({older} + {read})"))


def insert() -> str:
    """Inserts the gathered rows of new users, in half the time of upsert(). Fails when one of them has a row."""
    return INSERT.format(classified=", ".join(CLASSIFIED), rows="from_group IS NULL")


def update() -> str:
    """Updates the gathered rows of users who had a row; risk profiles are unchanged."""
    return UPDATE.format(updates=", ".join(f"{column} = new.{column}" for column in CLASSIFIED))


def upsert() -> str:
    """Inserts or updates all gathered rows; risk profiles are unchanged."""
    updates = ", ".join(f"{column} = excluded.{column}" for column in CLASSIFIED)
    return INSERT.format(classified=", ".join(CLASSIFIED), rows="NOT removed") + UPSERT.format(updates=updates)


def parameters(scoring: Scoring, as_of: datetime) -> Parameters:
    """The parameters of the statements, from the scoring and as_of (UTC); `from` is the begin of this window."""
    cuts = scoring.cuts
    since = as_of - scoring.counting.window
    values: dict[str, Value] = {"since": since, "from": since, "as_of": as_of, "lapsed_group": scoring.lapsed_group}
    for number, days in enumerate(cuts.recency):
        # At most d whole days ago means later than d + 1 days ago.
        values[f"recency{number}"] = None if days is None else as_of - (days + 1) * DAY
    values |= {f"frequency{number}": cut for number, cut in enumerate(cuts.frequency)}
    values |= {f"monetary{number}": cut for number, cut in enumerate(cuts.monetary)}
    for number, rule in enumerate(scoring.rules):
        values[f"group{number}"] = rule.name
        values[f"lifetime_value{number}"] = rule.lifetime_value
        # At least d whole days ago.
        values[f"gone{number}"] = None if rule.gone_days is None else as_of - rule.gone_days * DAY
    return all_adapted(values) | Counted(scoring.counting).parameters
