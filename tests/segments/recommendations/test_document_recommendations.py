"""The examples of recommendations and streaks in docs/02_data_personalization_en.md, executed."""

import pytest
import redis

from actions.recording import record_actions
from segments.models import RecommendationPolicy, UserSegment
from segments.rules.reward_safety import NEVER_LOWER, counter_examples
from tests.segments.acting import days_ago, kept
from tests.segments.test_document import fenced, table
from tests.support.api_client import get

pytestmark = pytest.mark.django_db(transaction=True)


def test_revision_1_is_the_one_in_the_table() -> None:
    policy = RecommendationPolicy.objects.get(revision=1)
    rows = [
        [str(number), rule["group"] or "any", rule["risk_profile"] or "any", rule["probability"], rule["time_window"]]
        for number, rule in enumerate(policy.rules, 1)
    ]
    default = ["default", "", "", f"{policy.default_probability:.2f}", policy.default_time_window]
    assert [*rows, default] == table("Recommendations: how a probability is computed")


def test_the_examples_of_recommendations(redis_client: redis.Redis) -> None:
    for user_id, (group, risk, streak, probability, window, reason) in enumerate(table("Example: recommendations"), 1):
        UserSegment.objects.create(user_id=user_id, rfm_group=group, risk_profile=risk)
        redis_client.set(f"user:{user_id}:streak_count", streak)
        body = get(f"user-segments/{user_id}/recommendation").json()
        assert str(body["recommended_reward_probability"]) == probability
        assert (body["recommended_time_window"], body["reason"]) == (window, reason)


def test_the_example_of_a_refusal() -> None:
    policy = RecommendationPolicy.objects.get(revision=1)
    found = counter_examples(policy.reward_rules, [{"kind": NEVER_LOWER}], policy.known_groups())
    assert [str(example) for example in found] == [fenced("Example: a refusal", "text").strip()]


def test_the_examples_of_streaks(redis_client: redis.Redis) -> None:
    for user_id, (days, streak) in enumerate(table("Example: streaks"), 1):
        for day in days.split(", "):
            action = {"user_id": user_id, "action_type": "x", "action_timestamp": days_ago(int(day))}
            record_actions(actions=[action])
        assert kept(redis_client, user_id) == int(streak), days
