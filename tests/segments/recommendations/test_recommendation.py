"""GET /api/user-segments/{user_id}/recommendation, revision 1."""

from decimal import Decimal

import pytest
import redis
from pytest_django import DjangoAssertNumQueries

from segments.models import RecommendationPolicy, RiskProfile, UserSegment
from tests.support.api_client import faults, get

pytestmark = pytest.mark.django_db


def recommendation(user_id: int) -> dict:
    response = get(f"user-segments/{user_id}/recommendation")
    assert response.status_code == 200, response.content
    return response.json()


def test_an_unknown_user_is_low_and_unknown(redis_client: redis.Redis) -> None:
    assert list(recommendation(7).items()) == [
        ("user_id", 7),
        ("rfm_group", "Low"),
        ("risk_profile", "Unknown"),
        ("streak_count", 0),
        ("recommended_reward_probability", 0.25),
        ("recommended_time_window", "next 24 hours"),
        ("reason", "base 0.2500 from rule 3 (Low, any risk) + 0.0000 for a streak of 0 days = 0.2500"),
        ("policy_revision", 1),
        ("degraded", []),
    ]


def test_a_streak_that_another_system_set_counts(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale", risk_profile=RiskProfile.HIGH)
    redis_client.set("user:7:streak_count", 7)
    body = recommendation(7)
    assert body["streak_count"] == 7
    assert body["recommended_reward_probability"] == 0.82
    assert body["reason"] == ("base 0.7500 from rule 1 (Whale, High-Risk) + 0.0700 for a streak of 7 days = 0.8200")


@pytest.mark.parametrize("query", ["a=1", "a=%00", "format=json"])
def test_an_unknown_parameter_is_refused(query: str) -> None:
    assert list(faults(get(f"user-segments/7/recommendation?{query}")).values()) == ["unknown"]


@pytest.mark.parametrize("user_id", ["0", "-1", str(2**63), "9" * 40, "abc", "%00", "%ff", "1%0d%0aFLUSHALL", "%D9%A7"])
def test_what_is_no_user_id_is_404(user_id: str) -> None:
    response = get(f"user-segments/{user_id}/recommendation")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def expected(group: str, risk: str, streak: int) -> tuple[float, str]:
    """The contract's table, written independently."""
    table = {("Whale", "High-Risk"): ("0.75", "next 2 hours"), ("Medium", "Low-Risk"): ("0.50", "next 6 hours")}
    low = ("0.25", "next 24 hours") if group == "Low" else ("0.10", "any time")
    base, window = table.get((group, risk), low)
    sum_ = Decimal(base) + Decimal("0.01") * streak
    return float(max(Decimal("0.05"), min(Decimal("0.95"), sum_))), window


def test_every_row_of_the_contract_is_answered_to_the_last_digit() -> None:
    rules = RecommendationPolicy.objects.active().reward_rules
    for group in ("Whale", "Medium", "Low", "Dolphin"):
        for risk in RiskProfile.values:
            for streak in range(101):
                answer = rules.answer(group, risk, streak)
                assert (float(answer.probability), answer.time_window) == expected(group, risk, streak)


@pytest.mark.parametrize("streak", [0, 1, 19, 20, 21, 70, 100])
@pytest.mark.parametrize(("group", "risk"), [("Whale", "High-Risk"), ("Medium", "Low-Risk"), ("Medium", "High-Risk")])
def test_the_api_answers_by_the_contracts_table(redis_client: redis.Redis, group: str, risk: str, streak: int) -> None:
    UserSegment.objects.create(user_id=7, rfm_group=group, risk_profile=risk)
    redis_client.set("user:7:streak_count", streak)
    body = recommendation(7)
    got = body["recommended_reward_probability"], body["recommended_time_window"]
    assert got == expected(group, risk, streak)


def test_it_costs_one_sql_read(redis_client: redis.Redis, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    recommendation(7)  # the policy is read at most twice a second
    with django_assert_num_queries(1):
        recommendation(8)
