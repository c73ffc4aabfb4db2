"""Publishing a recommendation policy."""

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from segments.models import RecommendationPolicy
from segments.recommendations.population import population
from segments.recommendations.preview import reward_refusals
from segments.recommendations.recommend import ACTIVE_POLICY


def publish_recommendation_policy(*, created_by: str, **content: Any) -> RecommendationPolicy:
    """Add a policy revision and make it active on all workers within 1 s; fields as in RecommendationPolicy.

    Raises ValidationError for malformed content, or with examples of users who would get an unsafe answer; then nothing
    has changed.
    """
    policy = RecommendationPolicy.objects.publish(check=_check_rewards, created_by=created_by, **content)
    ACTIVE_POLICY.clear()
    return policy


def _check_rewards(draft: RecommendationPolicy) -> None:
    """Counts today's users only for a draft that limits the rewards."""
    if draft.reward_limits and (refusals := reward_refusals(draft, population())):
        raise ValidationError({NON_FIELD_ERRORS: refusals})
