"""Cut points from the users' own values: a cut point is the least value with a given share of the users below it.

Users with equal values always get equal scores, however many they are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import connection

from segments.rfm.counted import Counted, adapted
from segments.rfm.sql import Reading, activity
from segments.rules.counting import Counting
from segments.rules.scoring import CutPoints, recency_days

# Of a user in the window; without `older`, all that is read lies in it.
WINDOW_ONLY = Reading(goes_on=True, older=False)
VALUES = {"recency": "last_action_at", "frequency": "frequency", "monetary": "total"}
QUANTILES = """
WITH activity AS ({activity}
), {counts}
SELECT * FROM {cuts}"""
COUNTS = """{dimension} AS (
    SELECT {value} AS reached, COUNT(*) AS users FROM activity WHERE frequency > 0 GROUP BY 1)"""
# Shares are compared in whole numbers: thirds have no decimals. NULL where no value has so many users below it.
CUTS = """(SELECT {cuts} FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) {others} AS below, SUM(users) OVER () AS all_users
    FROM {dimension}) AS ranked_{dimension}) AS of_{dimension}"""


def quantile_cuts(as_of: datetime, counting: Counting, shares_below: Sequence[Fraction]) -> CutPoints:
    """The cut points of the users with activity in the window up to as_of (UTC); None for a missing one.

    `shares_below` are the shares of these users (0..1, rising) that have to be below each cut point.
    """
    counted, number = Counted(counting), len(shares_below)
    window = {"from": adapted(as_of - counting.window), "since": adapted(as_of - counting.window)}
    with connection.cursor() as cursor:
        cursor.execute(statement(counted, shares_below), window | {"as_of": adapted(as_of)} | counted.parameters)
        row: Sequence[Any] = cursor.fetchone() or ()
    recency, frequency, monetary = row[:number], row[number : 2 * number], row[2 * number :]
    return CutPoints([_days(cut, as_of) for cut in recency], list(frequency), [_money(cut) for cut in monetary])


def statement(counted: Counted, shares_below: Sequence[Fraction]) -> str:
    """The statement that finds the cut points of all dimensions."""
    counts = ", ".join(COUNTS.format(dimension=dimension, value=value) for dimension, value in VALUES.items())
    cuts = " CROSS JOIN ".join(_cuts(dimension, shares_below) for dimension in VALUES)
    return QUANTILES.format(activity=activity(counted, WINDOW_ONLY), counts=counts, cuts=cuts)


def _cuts(dimension: str, shares_below: Sequence[Fraction]) -> str:
    # More days are worse: there the cut point is the last action of the best user of those below it.
    others = "" if dimension == "recency" else "- users"
    cuts = ", ".join(
        f"MIN(CASE WHEN {share.denominator} * below >= {share.numerator} * all_users THEN reached END) AS cut{number}"
        for number, share in enumerate(shares_below)
    )
    return CUTS.format(cuts=cuts, others=others, dimension=dimension)


def _days(last_action_at: datetime | str | None, as_of: datetime) -> int | None:
    """The most days ago that are fewer than those of this user; None if that is in the future."""
    if isinstance(last_action_at, str):  # SQLite has no type of instants
        last_action_at = datetime.fromisoformat(last_action_at).replace(tzinfo=UTC)
    days = None if last_action_at is None else recency_days(last_action_at, as_of) - 1
    return None if days is None or days < 0 else days


def _money(cut: Decimal | int | None) -> Decimal | None:
    return None if cut is None else Decimal(cut).scaleb(-2)
