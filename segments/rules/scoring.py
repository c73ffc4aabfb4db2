"""RFM scores and groups of one user in plain Python; segments/rfm/sql.py computes the same in SQL for all users.

Score = 1 + the number of the cut points reached. The first rule whose conditions are met gives the group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from segments.rules.counting import DAY, Counting


class Scores(NamedTuple):
    """Recency, frequency and monetary scores, each from 1 (worst) to the number of bins."""

    recency: int
    frequency: int
    monetary: int


class Lifetime(NamedTuple):
    """A user's whole history up to as_of: actions, value, whole days since the last action (None: no action)."""

    actions: int = 0
    value: Decimal = Decimal(0)
    gone_days: int | None = None


LOWEST = Scores(1, 1, 1)
NO_HISTORY = Lifetime()


@dataclass(frozen=True)
class Rule:
    """A group, its least scores, and what its users' whole history must have at least; None requires nothing."""

    name: str
    recency: int
    frequency: int
    monetary: int
    lifetime_actions: int | None = None
    lifetime_value: Decimal | None = None
    gone_days: int | None = None
    color: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Rule":
        """Parse an item of RfmPolicy.rules, whose sum is text."""
        value = data.get("lifetime_value")
        return cls(**{**data, "lifetime_value": None if value is None else Decimal(value)})

    def matches(self, scores: Scores, lifetime: Lifetime = NO_HISTORY) -> bool:
        """Whether all conditions are met."""
        reached = all(got >= least for got, least in zip(scores, self.least, strict=True))
        return reached and all(
            least is None or (got is not None and got >= least)
            for got, least in zip(lifetime, self.least_lifetime, strict=True)
        )

    def shadows(self, later: "Rule") -> bool:
        """Whether every user who meets the later rule's conditions meets these."""
        scores = all(mine <= other for mine, other in zip(self.least, later.least, strict=True))
        pairs = zip(self.least_lifetime, later.least_lifetime, strict=True)
        return scores and all(mine is None or (other is not None and mine <= other) for mine, other in pairs)

    @property
    def least(self) -> Scores:
        """The three least scores."""
        return Scores(self.recency, self.frequency, self.monetary)

    @property
    def least_lifetime(self) -> tuple[int | None, Decimal | None, int | None]:
        """The least of each field of Lifetime."""
        return self.lifetime_actions, self.lifetime_value, self.gone_days

    @property
    def asks_history(self) -> bool:
        """Whether it has a condition on the whole history."""
        return self.least_lifetime != (None, None, None)


@dataclass(frozen=True)
class CutPoints:
    """Cut points a dimension: days at most, actions at least, value at least; None is never reached."""

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
        """The scores of a user with at least one counted action in the window."""
        return Scores(
            1 + sum(cut is not None and recency_days <= cut for cut in self.recency),
            1 + sum(cut is not None and frequency >= cut for cut in self.frequency),
            1 + sum(cut is not None and monetary >= cut for cut in self.monetary),
        )


@dataclass(frozen=True)
class Scoring:
    """What counts, cut points and rules, best group first; the last rule matches all users."""

    cuts: CutPoints
    rules: Sequence[Rule]
    counting: Counting = field(default_factory=Counting)

    def group(self, scores: Scores, lifetime: Lifetime = NO_HISTORY) -> str:
        """The group of the first rule that matches."""
        return next(rule.name for rule in self.rules if rule.matches(scores, lifetime))

    def classify(
        self, recency_days: int | None, frequency: int, monetary: Decimal, lifetime: Lifetime = NO_HISTORY
    ) -> tuple[Scores, str]:
        """Scores and group; recency_days is None for a user without a counted action in the window."""
        scores = LOWEST if recency_days is None else self.cuts.scores(recency_days, frequency, monetary)
        return scores, self.group(scores, lifetime)

    @property
    def groups(self) -> list[str]:
        """Group names, best first."""
        return [rule.name for rule in self.rules]

    @property
    def lapsed_group(self) -> str:
        """The last group: that of users about whom nothing is known."""
        return self.rules[-1].name

    @property
    def asks_history(self) -> bool:
        """Whether a rule has a condition on the whole history."""
        return any(rule.asks_history for rule in self.rules)


def recency_days(last_action_at: datetime, as_of: datetime) -> int:
    """Whole days from the last action to as_of, rounded down."""
    return (as_of - last_action_at) // DAY
