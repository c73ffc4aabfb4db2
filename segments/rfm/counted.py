"""The SQL of what a policy counts: aggregates of user_actions, the same text for PostgreSQL and SQLite."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from actions.models import CENTS
from segments.rules.counting import ALL_TYPES, ActionTypes, Counting

Parameters = dict[str, Any]
Value = str | int | float | Decimal | datetime | None
ALWAYS = "TRUE"


class Counted:
    """Aggregates over the actions that count. Their parameters are those of `parameters`."""

    def __init__(self, counting: Counting) -> None:
        negative = ALWAYS if counting.negative_is_activity else "value >= 0"
        self.activity = both(_of_types(counting.activity_types, "activity_type"), negative)
        self.valued = _of_types(counting.value_types, "value_type")
        self._orders = counting.orders
        types = {"activity_type": counting.activity_types, "value_type": counting.value_types}
        self.parameters: Parameters = {f"{p}{n}": t for p, these in types.items() for n, t in enumerate(these.names)}

    @property
    def counts_all(self) -> bool:
        """Whether every action counts as activity."""
        return self.activity == ALWAYS

    @property
    def where(self) -> str:
        """The condition that leaves out what counts for nothing."""
        return ALWAYS if ALWAYS in (self.activity, self.valued) else f"({self.activity} OR {self.valued})"

    def actions(self, condition: str = ALWAYS) -> str:
        """The number of actions, or of orders."""
        counted = both(self.activity, condition)
        if not self._orders:
            return filtered("COUNT(*)", counted)
        orders = filtered("COUNT(DISTINCT order_id)", counted)
        return f"{orders} + {filtered('COUNT(*)', both('order_id IS NULL', counted))}"

    def total(self, condition: str = ALWAYS) -> str:
        """The sum of the values in cents, 0 without any."""
        return f"COALESCE({filtered(f'SUM({CENTS})', both(self.valued, condition))}, 0)"

    def last(self, condition: str = ALWAYS) -> str:
        """The instant of the last activity."""
        return filtered("MAX(action_timestamp)", both(self.activity, condition))


def both(*conditions: str) -> str:
    """The conjunction of SQL conditions, without those that always hold."""
    return " AND ".join(c for c in conditions if c != ALWAYS) or ALWAYS


def filtered(aggregate: str, condition: str) -> str:
    """The aggregate over the rows that meet the condition."""
    return aggregate if condition == ALWAYS else f"{aggregate} FILTER (WHERE {condition})"


def adapted(value: Value) -> Value:
    """A value as the statements compare it: money in cents, and on SQLite instants as text."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, Decimal):
        return int(value * 100)
    return value


def all_adapted(values: Mapping[str, Value]) -> Parameters:
    """Parameters of the statements, by name."""
    return {name: adapted(value) for name, value in values.items()}


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL; otherwise it is SQLite."""
    return connection.vendor == "postgresql"


def money(cents: str) -> str:
    """The SQL of an amount: exact on PostgreSQL, the nearest float on SQLite."""
    return f"{cents} * 0.01" if is_postgresql() else f"{cents} / 100.0"


def _of_types(types: ActionTypes, parameter: str) -> str:
    if types == ALL_TYPES:
        return ALWAYS
    listed = ", ".join(f"%({parameter}{number})s" for number in range(len(types.names)))
    return f"action_type {'NOT IN' if types.excluded else 'IN'} ({listed})"
