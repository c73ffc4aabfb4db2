"""Users' current segments by one SQL query."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.db import connection

from ccweb.db.statements import Row
from ccweb.db.steps import Query
from segments.models import RiskProfile
from segments.streaks.from_actions import Run, as_run, clause, listed, parameters

SEGMENTS = "SELECT user_id, rfm_group, risk_profile FROM user_segments WHERE user_id "
IN_LIST = {"postgresql": "= ANY(%s::bigint[])", "sqlite": "IN (SELECT value FROM json_each(%s))"}
WITH_RUN = """WITH {run} SELECT s.rfm_group, s.risk_profile, r.day, r.days FROM (SELECT 1) AS one
    LEFT JOIN user_segments s ON s.user_id = %s
    LEFT JOIN (SELECT max(day) AS day, max(days) AS days FROM run) r ON 1 = 1"""


class CurrentSegment(NamedTuple):
    """Group and risk profile."""

    rfm_group: str
    risk_profile: str = RiskProfile.UNKNOWN.value


def current_segments(user_ids: Collection[int]) -> Query:
    """The query of users' segments. Without ORM objects, which would be much of a recommendation's cost."""
    return Query(SEGMENTS + IN_LIST[connection.vendor], [listed(user_ids)])


def as_segments(rows: Sequence[Row]) -> dict[int, CurrentSegment]:
    """The segments of the users who have one, from the rows of that query."""
    return {user_id: CurrentSegment(group, risk_profile) for user_id, group, risk_profile in rows}


def segment_with_streak(user_id: int) -> tuple[CurrentSegment | None, Run | None]:
    """One user's segment, and the streak computed from user_actions; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(WITH_RUN.format(run=clause(some=True)), [*parameters([user_id]), user_id])
        group, risk_profile, day, days = cursor.fetchone()
    segment = None if group is None else CurrentSegment(group, risk_profile)
    return segment, as_run((user_id, day, days))[1] if day else None
