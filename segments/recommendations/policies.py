"""Publishing a recommendation policy."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from segments.models import RecommendationPolicy
from segments.recommendations.population import Cohort, CohortKey, population
from segments.recommendations.recommend import ACTIVE_POLICY
from segments.rules.reward_safety import REWARDS


def publish_recommendation_policy(*, created_by: str, **content: Any) -> RecommendationPolicy:
    """Add a policy revision and put it in force on all workers within 1 s; fields as in RecommendationPolicy.

    Raises ValidationError with what is malformed, or with users whom the policy would answer wrongly; then nothing has
    changed.
    """
    draft = RecommendationPolicy(**content)
    draft.clean_fields()
    draft.clean()
    check_rewards(draft)
    policy = RecommendationPolicy.objects.publish(created_by=created_by, **content)
    ACTIVE_POLICY.clear()
    return policy


def check_rewards(draft: RecommendationPolicy) -> None:
    """ValidationError when a draft promises today's users more rewards a day than its invariants allow."""
    limits = [invariant["at_most"] for invariant in draft.invariants if invariant["kind"] == REWARDS]
    if not limits:
        return
    cohorts = population()
    rewards = {key: draft.reward_rules.answer(*key).probability * cohort.users for key, cohort in cohorts.items()}
    total = sum(rewards.values(), Decimal(0))
    if total > min(limits):
        key = max(rewards, key=lambda key: rewards[key])
        raise ValidationError({NON_FIELD_ERRORS: [_too_many(draft, total, min(limits), key, cohorts[key])]})


def _too_many(draft: RecommendationPolicy, total: Decimal, limit: int, key: CohortKey, cohort: Cohort) -> str:
    answer = draft.reward_rules.answer(*key)
    return (
        f"{total:.1f} rewards a day are to be expected from today's users, the invariant allows {limit}. Most of them "
        f"go to {cohort.users} users in group {key.group}, {key.risk_profile}, with a streak of {key.streak} days, "
        f"who get {answer.probability} by {f'rule {answer.rule}' if answer.rule else 'the default'}, "
        f"such as user {cohort.examples[0]}."
    )
