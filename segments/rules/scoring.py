"""RFM scores and groups of one user in plain Python; segments/rfm/sql.py computes the same in SQL for all users.

Score = 1 + the number of the four cut points reached. The first rule whose three least scores are met gives the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

WINDOW = timedelta(days=30)
DAY = timedelta(days=1)


class Scores(NamedTuple):
    """Recency, frequency and monetary scores, each 1 (worst) to 5."""

    recency: int
    frequency: int
    monetary: int


@dataclass(frozen=True)
class Rule:
    """A group and its least scores."""

    name: str
    recency: int
    frequency: int
    monetary: int

    def matches(self, scores: Scores) -> bool:
        """Whether all three least scores are met."""
        return all(got >= least for got, least in zip(scores, self.least, strict=True))

    @property
    def least(self) -> Scores:
        """The three least scores."""
        return Scores(self.recency, self.frequency, self.monetary)


@dataclass(frozen=True)
class CutPoints:
    """Four cut points a dimension: days at most, actions at least, value at least; None is never reached."""

    recency: Sequence[int | None]
    frequency: Sequence[int | None]
    monetary: Sequence[Decimal | None]

    @classmethod
    def from_json(cls, data: dict[str, list[Any]]) -> "CutPoints":
        """Parse RfmRun.cuts, where money is decimal strings."""
        money = [None if cut is None else Decimal(cut) for cut in data["monetary"]]
        return cls(data["recency"], data["frequency"], money)

    def to_json(self) -> dict[str, list[Any]]:
        """The inverse of from_json."""
        money = [None if cut is None else str(cut) for cut in self.monetary]
        return {"recency": list(self.recency), "frequency": list(self.frequency), "monetary": money}

    def scores(self, recency_days: int, frequency: int, monetary: Decimal) -> Scores:
        """The scores of a user with at least one action in the window."""
        return Scores(
            1 + sum(cut is not None and recency_days <= cut for cut in self.recency),
            1 + sum(cut is not None and frequency >= cut for cut in self.frequency),
            1 + sum(cut is not None and monetary >= cut for cut in self.monetary),
        )


@dataclass(frozen=True)
class Scoring:
    """Cut points and rules, best group first; the last rule matches all users."""

    cuts: CutPoints
    rules: Sequence[Rule]

    def group(self, scores: Scores) -> str:
        """The group of the first rule that matches."""
        return next(rule.name for rule in self.rules if rule.matches(scores))

    def classify(self, recency_days: int | None, frequency: int, monetary: Decimal) -> tuple[Scores, str]:
        """Scores and group; recency_days is None for a user without an action in the window."""
        scores = Scores(1, 1, 1)
        if recency_days is not None:
            scores = self.cuts.scores(recency_days, frequency, monetary)
        return scores, self.group(scores)

    @property
    def groups(self) -> list[str]:
        """Group names, best first."""
        return [rule.name for rule in self.rules]

    @property
    def lapsed_group(self) -> str:
        """The group of users without an action in the window."""
        return self.rules[-1].name


def recency_days(last_action_at: datetime, as_of: datetime) -> int:
    """Whole days from the last action to as_of, rounded down."""
    return (as_of - last_action_at) // DAY
