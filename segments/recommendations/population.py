"""Today's users, counted by all that a recommendation depends on: group, risk profile, streak."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments import streaks
from segments.models import UserSegment
from segments.streaks import from_actions

CHUNK = 1000
EXAMPLES = 5


class CohortKey(NamedTuple):
    """What users have in common who get the same answer."""

    group: str
    risk_profile: str
    streak: int


@dataclass
class Cohort:
    """How many users are in a cell, and the ids of some."""

    users: int = 0
    examples: list[int] = field(default_factory=list)

    def add(self, user_id: int) -> None:
        """Count one more."""
        self.users += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(user_id)


def population() -> dict[CohortKey, Cohort]:
    """All users with a segment by cell: one SQL pass, one Redis call for each 1,000 users; some seconds a million."""
    cohorts: dict[CohortKey, Cohort] = defaultdict(Cohort)
    rows = UserSegment.objects.order_by().values_list("user_id", "rfm_group", "risk_profile").iterator(CHUNK)
    for chunk in _chunks(rows):
        for (user_id, group, risk), streak in zip(chunk, _streaks([row[0] for row in chunk]), strict=True):
            cohorts[CohortKey(group, risk, streak)].add(user_id)
    return cohorts


def _chunks(rows: Iterator[tuple[int, str, str]]) -> Iterator[list[tuple[int, str, str]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _streaks(user_ids: Sequence[int]) -> Sequence[int]:
    """As Redis holds them; as user_actions tells them while Redis is away or incomplete."""
    try:
        if streaks.is_complete():
            return streaks.read_many(user_ids)
    except (DependencyUnavailable, streaks.CommandRefused):
        pass  # logged and counted by the breaker
    runs = from_actions.runs(user_ids)
    return [runs[user_id].days if user_id in runs else 0 for user_id in user_ids]
