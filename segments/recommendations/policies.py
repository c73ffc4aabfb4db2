"""Publishing a recommendation policy."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from segments.models import RecommendationPolicy
from segments.recommendations.population import Cohort, CohortKey, population
from segments.recommendations.preview import reward_refusals
from segments.recommendations.recommend import ACTIVE_POLICY


def publish_recommendation_policy(
    *, created_by: str, cohorts: Callable[[], Mapping[CohortKey, Cohort]] = population, **content: Any
) -> RecommendationPolicy:
    """Add a policy revision and make it active on all workers within 1 s; fields as in RecommendationPolicy.

    `cohorts` counts the users to whom a limit of the rewards applies. Raises ValidationError for malformed content, or
    with examples of users who would get an unsafe answer; then nothing has changed.
    """
    policy = RecommendationPolicy.objects.publish(
        check=partial(_check_rewards, cohorts), created_by=created_by, **content
    )
    ACTIVE_POLICY.clear()
    return policy


def _check_rewards(cohorts: Callable[[], Mapping[CohortKey, Cohort]], draft: RecommendationPolicy) -> None:
    """Counts the users only for a draft that limits the rewards."""
    if draft.reward_limits and (refusals := reward_refusals(draft, cohorts())):
        raise ValidationError({NON_FIELD_ERRORS: refusals})
