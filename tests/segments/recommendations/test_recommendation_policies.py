"""An unsafe policy cannot be published; a preview shows what would change."""

import random
import re
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, assume, event, given, settings

from segments import streaks
from segments.models import KillSwitch, RecommendationPolicy, RfmPolicy, RiskProfile, UserSegment
from segments.recommendations import recommend as recommend_module
from segments.recommendations.kill_switch import engage_kill_switch, release_kill_switch
from segments.recommendations.policies import publish_recommendation_policy
from segments.recommendations.preview import assess
from segments.recommendations.recommend import ActivePolicyCache, recommend
from segments.rfm.policies import publish_rfm_policy
from segments.rules.reward_safety import REWARDS, CounterExample, counter_examples
from tests.segments import reward_oracle as oracle
from tests.support.api_client import get

CDNOW = Path(__file__).parents[2] / "data/cdnow.csv"
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def rule(group: str | None, risk: str | None, probability: str, window: str = "any time", *streak: Any) -> dict:
    first, last = streak or (0, None)
    return {
        "group": group, "risk_profile": risk, "streak_from": first, "streak_to": last,
        "probability": probability, "time_window": window,
    }  # fmt: skip


def publish(**content: Any) -> RecommendationPolicy:
    return publish_recommendation_policy(created_by="alice", **{"rules": [rule("Whale", None, "0.5")]} | content)


def refusal(**content: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        publish(**content)
    assert RecommendationPolicy.objects.active().revision == 1
    return " ".join(refused.value.messages)


def answer_of(user_id: int) -> tuple[float, str, int]:
    body = get(f"user-segments/{user_id}/recommendation").json()
    return body["recommended_reward_probability"], body["recommended_time_window"], body["policy_revision"]


# --- What cannot be published ---------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"rules": [rule("Low", None, "0.3"), rule(None, None, "0.2"), rule("Low", "High-Risk", "0.9")]},
            "A user in group Low, High-Risk, with a streak of 0 days, gets 0.3000 by rule 1: rule 3 (Low, High-Risk) "
            "matches this user, but an earlier rule always applies first.",
        ),
        (
            {"cap": "1.2"},
            "A user in group Whale, High-Risk, with a streak of 36500 days, gets 1.2000 by rule 1: a probability lies "
            "between 0 and 1.",
        ),
        (
            {"floor": "-0.1", "streak_step": "-0.02", "rules": [rule("Whale", None, "0.5", "any time", 0, 1)]},
            "A user in group Whale, High-Risk, with a streak of 36500 days, gets -0.1000 by the default: a probability "
            "lies between 0 and 1.",
        ),
        (
            {"floor": "0.6", "cap": "0.5"},
            "A user in group Whale, High-Risk, with a streak of 0 days, gets 0.5000 by rule 1: the floor is 0.6, the "
            "cap 0.5.",
        ),
        (
            {"invariants": [{"kind": "at_most", "risk_profile": "High-Risk", "probability": "0.7"}]},
            "A user in group Whale, High-Risk, with a streak of 36500 days, gets 0.9500 by rule 1: High-Risk may get "
            "at most 0.7.",
        ),
        (
            {
                "rules": [rule("Whale", None, "0.5"), rule("Low", "Unknown", "0.2", "any time", 3, 9)],
                "invariants": [{"kind": "never_lower_for_a_better_group"}],
            },
            "A user in group Medium, Unknown, with a streak of 3 days, gets 0.1300 by the default: in the worse group "
            "Low they would get 0.2300.",
        ),
        ({"rules": [rule("Whal", None, "0.5")]}, "one of Whale, Medium, Low, not 'Whal'"),
        ({"rules": [rule("Low", "High", "0.5")]}, "Rule 1: the risk profile must be null (any) or one of High-Risk"),
        ({"rules": [rule("Low", None, "1.01")]}, 'Rule 1: the probability must be text from "0" to "1"'),
        ({"rules": [rule("Low", None, 0.5)]}, 'Rule 1: the probability must be text from "0" to "1"'),
        ({"rules": [rule("Low", None, "0.5", "")]}, "Rule 1: the time window must be 1 to 64 characters"),
        ({"rules": [rule("Low", None, "0.5", "now", 5, 3)]}, "Rule 1 never answers: its streak goes from 5 to 3 days."),
        ({"rules": [rule("Low", None, "0.5", "now", -1, 3)]}, "streak_from must be a whole number of days from 0"),
        ({"rules": [{"group": "Low"}]}, "Rule 1 must have exactly: group, risk_profile, streak_from"),
        ({"rules": {}}, "A list of rules is needed"),
        ({"invariants": [{"kind": "fair"}]}, "Invariant 1: the kind must be one of never_lower_for_a_better_group"),
        ({"invariants": [{"kind": "at_most"}]}, "Invariant 1 (at_most) must have exactly: kind, probability, risk"),
        ({"streak_step": "0.0000001"}, "no more than 6 decimal places"),
        ({"default_time_window": "a\nb"}, "It must be 1 to 64 printable characters."),
    ],
)
def test_an_unsafe_policy_is_refused_with_a_user_who_would_get_a_wrong_answer(
    content: dict[str, Any], message: str
) -> None:
    assert message in refusal(**content)


@pytest.mark.django_db
def test_too_many_rewards_for_todays_users_are_refused(redis_client: redis.Redis) -> None:
    UserSegment.objects.bulk_create(UserSegment(user_id=u, rfm_group="Whale") for u in range(1, 101))
    UserSegment.objects.create(user_id=101)
    text, _, example = refusal(invariants=[{"kind": "expected_rewards_a_day", "at_most": 50}]).rpartition(" user ")
    assert int(example.rstrip(".")) in range(1, 101)  # whichever the database reads first
    assert text == (
        "50.1 rewards a day are to be expected from today's users, the invariant allows 50. Most of them go to 100 "
        "users in group Whale, Unknown, with a streak of 0 days, who get 0.5000 by rule 1, such as"
    )
    assert publish(invariants=[{"kind": "expected_rewards_a_day", "at_most": 51}]).active


def is_real(example: CounterExample, policy: oracle.Policy) -> bool:
    """Whether the oracle gives the user of a counter-example the same answer, and it is wrong."""
    streak = min(example.streak, oracle.STREAKS[-1])
    case = example.group, example.risk_profile, streak
    got = oracle.probability(policy, *case)
    assert (oracle.rule_of(policy, *case), Decimal(got) / 10_000) == (example.rule, example.probability)
    if named := re.match(r"rule (\d+) ", example.why):
        one = policy | {"rules": [policy["rules"][int(named[1]) - 1]]}
        return oracle.rule_of(one, *case) == 1 and example.rule != int(named[1])
    if named := re.search(r"worse group (\w+)", example.why):
        return got < oracle.probability(policy, named[1], example.risk_profile, streak)
    if named := re.search(r"at most ([\d.]+)$", example.why):
        return got * 10_000 > oracle.units(named[1])
    low, high = (int(Decimal(policy[name]) * 10_000) for name in ("floor", "cap"))
    return not 0 <= got <= 10_000 or not low <= got <= high


def check_faulty(policy: oracle.Policy) -> None:
    expected = list(oracle.faults(policy))
    assume(expected)
    for field_error in expected:
        event(field_error.split()[0])
    found = counter_examples(draft(policy).reward_rules, policy["invariants"], oracle.GROUPS)
    assert found, expected
    assert all(is_real(example, policy) for example in found)


def check_valid(policy: oracle.Policy) -> None:
    assume(not list(oracle.faults(policy)))
    assert counter_examples(draft(policy).reward_rules, policy["invariants"], oracle.GROUPS) == []


def draft(policy: oracle.Policy) -> RecommendationPolicy:
    made = RecommendationPolicy(**policy)
    made.clean_fields()
    return made


@given(oracle.policies)
@settings(max_examples=60, derandomize=True, suppress_health_check=SLOW)
def test_faulty_policies_are_refused_with_a_real_counter_example(policy: oracle.Policy) -> None:
    check_faulty(policy)


@given(oracle.policies)
@settings(max_examples=60, derandomize=True, suppress_health_check=SLOW)
def test_valid_policies_are_accepted(policy: oracle.Policy) -> None:
    check_valid(policy)


@pytest.mark.long
@given(oracle.policies)
@settings(max_examples=500, derandomize=True, suppress_health_check=SLOW)
def test_500_faulty_policies_are_refused_with_a_real_counter_example(policy: oracle.Policy) -> None:
    check_faulty(policy)


@pytest.mark.long
@given(oracle.policies)
@settings(max_examples=500, derandomize=True, suppress_health_check=SLOW)
def test_500_valid_policies_are_accepted(policy: oracle.Policy) -> None:
    check_valid(policy)


# --- What is published ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_published_revision_answers_and_names_itself(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale")
    assert answer_of(7) == (0.1, "any time", 1)
    policy = publish(rules=[rule("Whale", None, "0.123456", "tonight", 0, 1)], note="a try")
    assert answer_of(7) == (0.1235, "tonight", policy.revision)
    redis_client.set("user:7:streak_count", 2)
    assert answer_of(7) == (0.12, "any time", policy.revision)
    first = RecommendationPolicy.objects.get(revision=1)
    assert (first.active, policy.active, policy.created_by) == (False, True, "alice")


@pytest.mark.django_db
def test_the_terms_of_every_reason_add_up(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale")
    publish(
        rules=[rule("Whale", None, "0.123456", "tonight", 1, 1), rule("Whale", None, "0.9", "tonight", 2, None)],
        floor="0.11", streak_step="0.0333",
    )  # fmt: skip
    reasons = {}
    for streak in (0, 1, 2, 30, "junk"):
        redis_client.set("user:7:streak_count", streak)
        reasons[streak] = recommend(7).answer.reason
        *terms, total = re.findall(r"(-?) ?\b(\d+\.\d+)\b", reasons[streak])
        assert sum(Decimal(sign + amount) for sign, amount in terms) == Decimal(total[1]), reasons[streak]
    assert reasons == {
        0: "base 0.1000 by default (no rule is about Whale, Unknown) + 0.0000 for a streak of 0 days + 0.0100 by the "
        "floor = 0.1100",
        1: "base 0.123456 from rule 1 (Whale, any risk, streak of 1 day) + 0.0333 for a streak of 1 day + 0.000044 by "
        "rounding = 0.1568",
        2: "base 0.9000 from rule 2 (Whale, any risk, streak of 2 days or more) + 0.0666 for a streak of 2 days - "
        "0.0166 by the cap = 0.9500",
        30: "base 0.9000 from rule 2 (Whale, any risk, streak of 2 days or more) + 0.9990 for a streak of 30 days - "
        "0.9490 by the cap = 0.9500",
        "junk": "base 0.1000 by default (no rule is about Whale, Unknown) + 0.0000 for a streak of 0 days (not known, "
        "so it counts as none) + 0.0100 by the floor = 0.1100",
    }


@pytest.mark.django_db
def test_other_workers_answer_by_the_new_revision_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(start=1000.0)
    monkeypatch.setattr(recommend_module, "time", SimpleNamespace(monotonic=seconds.__next__))  # a second each time
    other = ActivePolicyCache()
    assert other.get().policy.revision == 1
    policy = publish()
    assert other.get().policy == policy
    engage_kill_switch(by="bob")
    assert other.get().switch is not None
    release_kill_switch(by="bob")
    assert other.get().switch is None


@pytest.mark.django_db
def test_the_kill_switch_answers_for_all_users_and_back(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale", risk_profile=RiskProfile.HIGH)
    engage_kill_switch(by="bob", note="fraud")
    assert answer_of(7) == answer_of(8) == (0.1, "any time", 1)
    switch = KillSwitch.objects.get()
    expected = f"base 0.1000 by the kill switch, engaged {switch.engaged_at:%Y-%m-%d %H:%M} UTC by bob = 0.1000"
    assert recommend(7).answer.reason == expected
    with pytest.raises(ValidationError, match="engaged already"):
        engage_kill_switch(by="eve", probability="0.2")
    assert release_kill_switch(by="alice")
    assert not release_kill_switch(by="alice")
    assert answer_of(7) == (0.75, "next 2 hours", 1)
    assert KillSwitch.objects.values_list("engaged", "engaged_by", "released_by").get() == (False, "bob", "alice")
    with pytest.raises(ValidationError):
        engage_kill_switch(by="eve", probability="1.5")


@pytest.mark.django_db
def test_a_group_that_the_rfm_policy_does_not_know_cannot_be_named(redis_client: redis.Redis) -> None:
    publish_rfm_policy(
        rules=[
            {"name": "Dolphin", "recency": 3, "frequency": 3, "monetary": 3},
            {"name": "Rest", "recency": 1, "frequency": 1, "monetary": 1},
        ],
        recency_cuts=[30, 30, 7, 7], frequency_cuts=[3, 3, 10, 10], monetary_cuts=["20", "20", "100", "100"],
    )  # fmt: skip
    assert [r.name for r in RfmPolicy.objects.active().group_rules] == ["Dolphin", "Rest"]
    assert "one of Dolphin, Rest, not 'Whale'" in refusal()
    assert publish(rules=[rule("Dolphin", None, "0.5"), rule("Rest", None, "0.2")]).active


# --- What publishing would change -------------------------------------------------------------------


@pytest.mark.django_db
def test_the_preview_equals_a_comparison_of_every_cdnow_user(redis_client: redis.Redis) -> None:
    columns = ["--user-column", "customer_id", "--time-column", "date", "--value-column", "amount"]
    call_command("import_actions", str(CDNOW), *columns, "--action-type", "purchase")
    call_command("compute_rfm", "--as-of", "1997-04-01T02:00:00Z")
    rng = random.Random(20261122)
    for profile in RiskProfile.values:
        some = rng.sample(range(1, 23_571), 6_000)
        UserSegment.objects.filter(user_id__in=some).update(risk_profile=profile)
    streaks.rebuild()
    redis_client.mset({f"user:{u}:streak_count": rng.choice([1, 2, 3, 80, 90, "junk"]) for u in range(1, 23_571, 3)})
    policy = {
        "rules": [rule("Medium", "Low-Risk", "0.5", "next 6 hours"), rule("Low", None, "0.25", "tonight", 3, None)],
        "streak_step": "0.01", "floor": "0.05", "cap": "0.95", "default_probability": "0.25",
        "default_time_window": "next 24 hours", "invariants": [],
    }  # fmt: skip
    seen = assess(draft(policy))
    after = draft(policy).reward_rules
    before = RecommendationPolicy.objects.active().reward_rules
    expected: dict[Any, set[int]] = {}
    for user_id, group, risk in UserSegment.objects.values_list("user_id", "rfm_group", "risk_profile"):
        raw = redis_client.get(f"user:{user_id}:streak_count") or b"0"
        streak = int(raw) if raw != b"junk" else 0
        old, new = (rules.answer(group, risk, streak) for rules in (before, after))
        if (old.probability, old.time_window) != (new.probability, new.time_window):
            move = (old.probability, old.time_window), (new.probability, new.time_window)
            expected.setdefault(move, set()).add(user_id)
    assert (seen.users, seen.changed) == (23_570, sum(map(len, expected.values())))
    assert {(c.before, c.after): c.users for c in seen.changes} == {
        move: len(users) for move, users in expected.items()
    }
    for change in seen.changes:
        assert {user_id for user_id, _ in change.examples} <= expected[change.before, change.after]
    assert RecommendationPolicy.objects.active().revision == 1


@pytest.mark.django_db
def test_the_preview_counts_streaks_also_while_redis_is_incomplete(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7)
    assert assess(draft({"rules": [rule(None, None, "0.25", "next 24 hours", 1, None)]})).changed == 1


@pytest.mark.django_db
def test_a_draft_is_assessed_by_one_pass_over_the_users(redis_client: redis.Redis) -> None:
    UserSegment.objects.create(user_id=7)
    limited = draft({"rules": [], "default_probability": "0.9", "invariants": [{"kind": REWARDS, "at_most": 0}]})
    with CaptureQueriesContext(connection) as queries:
        seen = assess(limited)
    assert sum("user_segments" in query["sql"] for query in queries) == 1
    assert (seen.users, seen.changed, len(seen.refusals)) == (1, 1, 1)
    assert "such as user 7" in seen.refusals[0]
