"""Where one user stands, by one SQL read."""

from typing import NamedTuple

from django.db import connection

from ccweb.api.prepared import fetch
from segments.models import RiskProfile
from segments.streaks.days import Run, as_run, clause, parameters

SEGMENT = "SELECT rfm_group, risk_profile FROM user_segments WHERE user_id = %s"
WITH_RUN = """WITH {run} SELECT s.rfm_group, s.risk_profile, r.day, r.days FROM (SELECT 1) AS one
    LEFT JOIN user_segments s ON s.user_id = %s
    LEFT JOIN (SELECT max(day) AS day, max(days) AS days FROM run) r ON 1 = 1"""


class Standing(NamedTuple):
    """Group and risk profile; who has no segment counts as Low / Unknown."""

    rfm_group: str
    risk_profile: str


NO_SEGMENT = Standing("Low", RiskProfile.UNKNOWN.value)


def standing(user_id: int) -> Standing:
    """Without an ORM object: this is most of what a recommendation costs."""
    rows = fetch(SEGMENT, [user_id])
    return Standing(str(rows[0][0]), str(rows[0][1])) if rows else NO_SEGMENT


def standing_with_run(user_id: int) -> tuple[Standing, Run | None]:
    """The same and the streak as user_actions tells it, None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(WITH_RUN.format(run=clause(some=True)), [*parameters([user_id]), user_id])
        group, risk_profile, day, days = cursor.fetchone()
    known = NO_SEGMENT if group is None else Standing(group, risk_profile)
    return known, as_run((user_id, day, days))[1] if day else None
