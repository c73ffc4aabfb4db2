"""Quintiles of the active users as cut points: cut point k is the least value with k fifths of the users below it.

Users with equal values always get equal scores, however many they are.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from segments.rfm.sql import activity, adapted
from segments.rules.scoring import DAY, WINDOW, CutPoints

FIFTHS = (1, 2, 3, 4)
DAYS = range(WINDOW.days + 1)
QUINTILES = """
WITH activity AS ({activity}
), frequencies AS (SELECT frequency AS reached, COUNT(*) AS users FROM activity GROUP BY 1
), totals AS (SELECT total AS reached, COUNT(*) AS users FROM activity GROUP BY 1)
SELECT * FROM (SELECT COUNT(*), {worse} FROM activity) AS r
CROSS JOIN ({frequency}) AS f CROSS JOIN ({monetary}) AS m"""
# The least value with at least k fifths of all users strictly below it; NULL when there is none.
CUTS = """SELECT {cuts} FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) - users AS below, SUM(users) OVER () AS all_users FROM {values}
) AS ranked_{values}"""


def quantile_cuts(as_of: datetime) -> CutPoints:
    """The quintiles of the users with an action in the window up to as_of (UTC); None for a missing cut point."""
    values: dict[str, Any] = {f"day{day}": adapted(as_of - (day + 1) * DAY) for day in DAYS}
    with connection.cursor() as cursor:
        cursor.execute(_statement(), values | {"since": adapted(as_of - WINDOW), "as_of": adapted(as_of)})
        row: Sequence[Any] = cursor.fetchone() or ()
    users, worse, rest = row[0], row[1 : 1 + len(DAYS)], row[1 + len(DAYS) :]
    return CutPoints(_recency_cuts(users, worse), list(rest[:4]), [_money(cut) for cut in rest[4:]])


def _statement() -> str:
    cuts = ", ".join(f"MIN(CASE WHEN 5 * below >= {k} * all_users THEN reached END) AS cut{k}" for k in FIFTHS)
    worse = ", ".join(f"COUNT(CASE WHEN last_action_at <= %(day{day})s THEN 1 END) AS day{day}" for day in DAYS)
    frequency, monetary = (CUTS.format(cuts=cuts, values=values) for values in ("frequencies", "totals"))
    return QUINTILES.format(activity=activity(), worse=worse, frequency=frequency, monetary=monetary)


def _recency_cuts(users: int, worse: Sequence[int]) -> list[int | None]:
    """Fewer days are better: the most days with at least k fifths of the users at more days."""
    return [max((day for day in DAYS if users and 5 * worse[day] >= k * users), default=None) for k in FIFTHS]


def _money(cut: Decimal | int | None) -> Decimal | None:
    return None if cut is None else Decimal(cut).scaleb(-2)
