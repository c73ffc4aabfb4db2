"""The contract's RFM in naive Python: the rows that every run must have written."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from segments.models import UserSegment

DAY = timedelta(days=1)
RULES = (("Whale", 4, 4, 4), ("Medium", 3, 3, 1), ("Low", 1, 1, 1))
CUTS: tuple[Sequence[Any], ...] = ((30, 30, 7, 7), (3, 3, 10, 10), (20, 20, 100, 100))


class Action(NamedTuple):
    """The fields of an action that RFM uses."""

    user_id: int
    at: datetime
    value: Decimal


class Row(NamedTuple):
    """What user_segments must hold for one user."""

    rfm_group: str = "Low"
    recency_score: int = 1
    frequency_score: int = 1
    monetary_score: int = 1
    frequency: int = 0
    monetary: Decimal = Decimal(0)
    last_action_at: datetime | None = None


def naive_rows(actions: Iterable[Action], as_of: datetime, cuts: Sequence[Sequence[Any]] = CUTS) -> dict[int, Row]:
    """Every user with an action up to as_of."""
    by_user = defaultdict(list)
    for action in actions:
        if action.at <= as_of:
            by_user[action.user_id].append(action)
    return {user: naive_row(own, as_of, cuts) for user, own in by_user.items()}


def naive_row(actions: list[Action], as_of: datetime, cuts: Sequence[Sequence[Any]]) -> Row:
    inside = [action for action in actions if as_of - 30 * DAY <= action.at]
    if not inside:
        return Row()
    last = max(action.at for action in inside)
    days, count, money = (as_of - last).days, len(inside), sum(action.value for action in inside)
    scores = (
        1 + sum(days <= cut for cut in cuts[0] if cut is not None),
        1 + sum(count >= cut for cut in cuts[1] if cut is not None),
        1 + sum(money >= cut for cut in cuts[2] if cut is not None),
    )
    group = next(
        name for name, *least in RULES if all(s >= at_least for s, at_least in zip(scores, least, strict=True))
    )
    return Row(group, *scores, count, Decimal(money), last)


def stored_rows() -> dict[int, Row]:
    """Every user in user_segments."""
    return {user: Row(*row) for user, *row in UserSegment.objects.values_list("user_id", *Row._fields)}
