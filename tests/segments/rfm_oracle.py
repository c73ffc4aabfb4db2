"""The contract's RFM in naive Python: the rows that every run must have written."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from segments.models import UserSegment

DAY = timedelta(days=1)
RULES: tuple[dict[str, Any], ...] = (
    {"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4},
    {"name": "Medium", "recency": 3, "frequency": 3, "monetary": 1},
    {"name": "Low", "recency": 1, "frequency": 1, "monetary": 1},
)
CUTS: tuple[Sequence[Any], ...] = ((30, 30, 7, 7), (3, 3, 10, 10), (20, 20, 100, 100))


class Action(NamedTuple):
    """The fields of an action that RFM uses."""

    user_id: int
    at: datetime
    value: Decimal
    action_type: str = "x"
    order_id: str | None = None


@dataclass(frozen=True)
class NaivePolicy:
    """What a policy says; revision 1 without arguments."""

    cuts: Sequence[Sequence[Any]] = CUTS
    rules: Sequence[dict[str, Any]] = RULES
    window_days: int = 30
    is_activity: Callable[[Action], bool] = lambda action: True
    has_value: Callable[[Action], bool] = lambda action: True
    orders: bool = False

    def counted(self, actions: Iterable[Action]) -> int:
        """How many of one user's actions count, or how many orders."""
        active = [action for action in actions if self.is_activity(action)]
        if not self.orders:
            return len(active)
        alone = sum(action.order_id is None for action in active)
        return alone + len({action.order_id for action in active} - {None})

    def total(self, actions: Iterable[Action]) -> Decimal:
        return sum((action.value for action in actions if self.has_value(action)), Decimal(0))


class Row(NamedTuple):
    """What user_segments must hold for one user."""

    rfm_group: str = "Low"
    recency_score: int = 1
    frequency_score: int = 1
    monetary_score: int = 1
    frequency: int = 0
    monetary: Decimal = Decimal(0)
    lifetime_actions: int = 0
    lifetime_value: Decimal = Decimal(0)
    first_action_at: datetime | None = None
    last_action_at: datetime | None = None


REVISION_1 = NaivePolicy()


def naive_rows(actions: Iterable[Action], as_of: datetime, policy: NaivePolicy = REVISION_1) -> dict[int, Row]:
    """Every user with an action up to as_of."""
    by_user = defaultdict(list)
    for action in actions:
        if action.at <= as_of:
            by_user[action.user_id].append(action)
    return {user: naive_row(own, as_of, policy) for user, own in by_user.items()}


def naive_row(actions: list[Action], as_of: datetime, policy: NaivePolicy = REVISION_1) -> Row:
    inside = [action for action in actions if as_of - policy.window_days * DAY <= action.at]
    instants = [action.at for action in actions if policy.is_activity(action)]
    first, last = min(action.at for action in actions), max(instants, default=None)
    gone = None if last is None else (as_of - last).days
    count, money = policy.counted(inside), policy.total(inside)
    scores = [1, 1, 1]
    if count and gone is not None:
        scores = [
            1 + sum(gone <= cut for cut in policy.cuts[0] if cut is not None),
            1 + sum(count >= cut for cut in policy.cuts[1] if cut is not None),
            1 + sum(money >= cut for cut in policy.cuts[2] if cut is not None),
        ]
    history = {
        "lifetime_actions": policy.counted(actions),
        "lifetime_value": policy.total(actions),
        "gone_days": -1 if gone is None else gone,
    }
    group = next(rule["name"] for rule in policy.rules if _matches(rule, scores, history))
    lifetime = history["lifetime_actions"], history["lifetime_value"]
    return Row(group, *scores, count, money, *lifetime, first, last)


def _matches(rule: dict[str, Any], scores: list[int], history: dict[str, Any]) -> bool:
    least = (rule["recency"], rule["frequency"], rule["monetary"])
    reached = all(got >= at_least for got, at_least in zip(scores, least, strict=True))
    return reached and all(Decimal(history[name]) >= Decimal(rule[name]) for name in history if name in rule)


def stored_rows() -> dict[int, Row]:
    """Every user in user_segments."""
    return {user: Row(*row) for user, *row in UserSegment.objects.values_list("user_id", *Row._fields)}
