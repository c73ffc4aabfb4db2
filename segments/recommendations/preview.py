"""Preview of a draft recommendation policy: the answers it would change, and the expected rewards."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils.translation import ngettext

from segments.models import RecommendationPolicy
from segments.recommendations.population import EXAMPLES, Cohort, CohortKey, population
from segments.rules.rewards import RewardRules, days_text


@dataclass(frozen=True)
class Change:
    """Users with the same change of answer: probability and time window before and after, and examples of users."""

    before: tuple[Decimal, str]
    after: tuple[Decimal, str]
    users: int
    examples: list[tuple[int, CohortKey]]


@dataclass
class Preview:
    """What publishing would change for today's users. Rewards are expected values per day, at one offer per user."""

    users: int = 0
    changed: int = 0
    rewards_before: Decimal = Decimal(0)
    rewards_after: Decimal = Decimal(0)
    changes: list[Change] = field(default_factory=list)  # the most frequent first
    refusals: list[str] = field(default_factory=list)  # why the draft must not be published


def assess(draft: RecommendationPolicy) -> Preview:
    """What publishing a draft would change, and why it must not be published, by one pass over all users.

    Every user with a segment counts. The draft must have passed full_clean.
    """
    cohorts = population()
    result = compare(RecommendationPolicy.objects.active().reward_rules, draft.reward_rules, cohorts)
    result.refusals = reward_refusals(draft, cohorts)
    return result


def reward_refusals(draft: RecommendationPolicy, cohorts: Mapping[CohortKey, Cohort]) -> list[str]:
    """Whether these users are promised more rewards a day than the draft's own limit; empty when all is well."""
    rewards = {
        key: draft.reward_rules.answer(*key.afterwards).probability * cohort.users for key, cohort in cohorts.items()
    }
    total = sum(rewards.values(), Decimal(0))
    if not draft.reward_limits or total <= min(draft.reward_limits):
        return []
    key = max(rewards, key=lambda key: rewards[key])
    return [_too_many(draft, total, key, cohorts[key])]


def _too_many(draft: RecommendationPolicy, total: Decimal, key: CohortKey, cohort: Cohort) -> str:
    answer = draft.reward_rules.answer(*key.afterwards)
    users = ngettext("%d user", "%d users", cohort.users) % cohort.users
    return (
        f"{total:.1f} rewards a day are to be expected from today's users, the invariant allows "
        f"{min(draft.reward_limits)}. Most of them go to {users} in group {key.afterwards[0]}, "
        f"{key.risk_profile}, with a streak of {days_text(key.streak)}, who get {answer.probability} by "
        f"{f'rule {answer.rule}' if answer.rule else 'the default'}, such as user {cohort.examples[0]}."
    )


def compare(before: RewardRules, after: RewardRules, cohorts: Mapping[CohortKey, Cohort]) -> Preview:
    """The same for any two policies and users. The cost depends on the number of cohorts, not of users."""
    result = Preview()
    moves: dict[tuple[Any, Any], list[tuple[CohortKey, Cohort]]] = defaultdict(list)
    for key, cohort in cohorts.items():
        old, new = before.answer(*key.now), after.answer(*key.afterwards)
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
