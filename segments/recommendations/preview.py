"""Whom a draft of a recommendation policy would answer otherwise, and at what expense."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from segments.models import RecommendationPolicy
from segments.recommendations.population import EXAMPLES, Cohort, CohortKey, population
from segments.rules.rewards import RewardRules


@dataclass(frozen=True)
class Change:
    """Users who get the same other answer: probability and time window before and after, and whom for example."""

    before: tuple[Decimal, str]
    after: tuple[Decimal, str]
    users: int
    examples: list[tuple[int, CohortKey]]


@dataclass
class Preview:
    """What publishing would change for today's users; rewards are expected ones a day, one offer a user."""

    users: int = 0
    changed: int = 0
    rewards_before: Decimal = Decimal(0)
    rewards_after: Decimal = Decimal(0)
    changes: list[Change] = field(default_factory=list)  # the most frequent first


def preview(draft: RecommendationPolicy) -> Preview:
    """Compare a draft with the policy in force for every user with a segment. The draft must have passed full_clean."""
    return compare(RecommendationPolicy.objects.active().reward_rules, draft.reward_rules, population())


def compare(before: RewardRules, after: RewardRules, cohorts: Mapping[CohortKey, Cohort]) -> Preview:
    """The same for any two policies and users; the cost grows with the cells, not with the users."""
    result = Preview()
    moves: dict[tuple[Any, Any], list[tuple[CohortKey, Cohort]]] = defaultdict(list)
    for key, cohort in cohorts.items():
        old, new = before.answer(*key), after.answer(*key)
        result.users += cohort.users
        result.rewards_before += old.probability * cohort.users
        result.rewards_after += new.probability * cohort.users
        move = (old.probability, old.time_window), (new.probability, new.time_window)
        if move[0] != move[1]:
            moves[move].append((key, cohort))
    for (old_answer, new_answer), keys in moves.items():
        users = sum(cohort.users for _, cohort in keys)
        examples = [(user_id, key) for key, cohort in keys for user_id in cohort.examples]
        result.changes.append(Change(old_answer, new_answer, users, examples[:EXAMPLES]))
    result.changes.sort(key=lambda change: -change.users)
    result.changed = sum(change.users for change in result.changes)
    return result
