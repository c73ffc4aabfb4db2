"""What counts for RFM: the length of the window, and which actions count as activity and by their value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True)
class ActionTypes:
    """Only these action types, or all but these."""

    names: tuple[str, ...] = ()
    excluded: bool = True

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[str]] | None) -> "ActionTypes":
        """Parse null (all), {"include": [..]} or {"exclude": [..]}."""
        ((key, names),) = (data or {"exclude": ()}).items()
        return cls(tuple(sorted(names)), key == "exclude")

    def __contains__(self, action_type: str) -> bool:
        return (action_type in self.names) != self.excluded


ALL_TYPES = ActionTypes()


@dataclass(frozen=True)
class Counting:
    """What counts: `activity_types` for recency and frequency, `value_types` for monetary.

    With `orders` the actions of a user that have the same order_id count as one for frequency.
    """

    window_days: int = 30
    activity_types: ActionTypes = ALL_TYPES
    value_types: ActionTypes = ALL_TYPES
    negative_is_activity: bool = True
    orders: bool = False

    @property
    def window(self) -> timedelta:
        """The length of the window, which ends at as_of; both ends belong to it."""
        return self.window_days * DAY
