"""Today's users, counted by what a recommendation depends on: group, risk profile and streak."""

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
    """Group, risk profile and streak (days): users with the same key get the same answer.

    `next_group` is the group after an RFM policy is published, None for the same one.
    """

    group: str
    risk_profile: str
    streak: int
    next_group: str | None = None

    @property
    def now(self) -> tuple[str, str, int]:
        """What today's answer depends on."""
        return self.group, self.risk_profile, self.streak

    @property
    def afterwards(self) -> tuple[str, str, int]:
        """What the answer depends on afterwards."""
        return self.next_group or self.group, self.risk_profile, self.streak


@dataclass
class Cohort:
    """How many users have a key, and the ids of some of them."""

    users: int = 0
    examples: list[int] = field(default_factory=list)

    def add(self, user_id: int) -> None:
        self.users += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(user_id)


def population() -> dict[CohortKey, Cohort]:
    """All users with a segment by key: one SQL pass, one Redis call per 1,000 users; some seconds per million users."""
    cohorts: dict[CohortKey, Cohort] = defaultdict(Cohort)
    rows = UserSegment.objects.order_by().values_list("user_id", "rfm_group", "risk_profile").iterator(CHUNK)
    for chunk in _chunks(rows):
        for (user_id, group, risk), streak in zip(chunk, streaks_of([row[0] for row in chunk]), strict=True):
            cohorts[CohortKey(group, risk, streak)].add(user_id)
    return cohorts


def _chunks(rows: Iterator[tuple[int, str, str]]) -> Iterator[list[tuple[int, str, str]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def streaks_of(user_ids: Sequence[int]) -> Sequence[int]:
    """Streaks from Redis, or from user_actions while Redis is unavailable or incomplete."""
    try:
        if streaks.is_complete():
            return streaks.read_many(user_ids)
    except (DependencyUnavailable, streaks.CommandRefused):
        pass  # logged and counted by the circuit breaker
    runs = from_actions.runs(user_ids)
    return [runs[user_id].days if user_id in runs else 0 for user_id in user_ids]
