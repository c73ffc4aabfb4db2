"""Streaks are kept from recorded actions, visible with the answer of the POST, exact whatever the order."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from actions.recording import record_actions
from segments import streaks
from segments.streaks.keeping import DEBTS
from tests.api import get, post

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


def days_ago(days: int) -> datetime:
    """Noon of an earlier day, or now."""
    now = timezone.now().astimezone(UTC)
    return now - days * DAY if days == 0 else now.replace(hour=12) - days * DAY


def act(user_id: int, *days: int, **more: Any) -> list[dict[str, Any]]:
    return [{"user_id": user_id, "action_type": "x", "action_timestamp": days_ago(d).isoformat(), **more} for d in days]


def naive(days: Iterable[int]) -> int:
    """The contract's definition, of days ago."""
    there = set(days)
    start = 0 if 0 in there else 1
    length = 0
    while start + length in there:
        length += 1
    return length


def kept(client: redis.Redis, user_id: int) -> int:
    return int(client.get(f"user:{user_id}:streak_count") or 0)


@pytest.fixture(params=["complete", "empty"])
def any_redis(request: pytest.FixtureRequest, redis_client: redis.Redis) -> redis.Redis:
    """Redis as the keeper leaves it, and as FLUSHALL does."""
    if request.param == "complete":
        streaks.rebuild()
    return redis_client


def test_the_first_action_begins_a_streak(any_redis: redis.Redis) -> None:
    assert post("actions", {"user_id": 7, "action_type": "x"}).status_code == 201
    assert any_redis.get("user:7:streak_count") == b"1"
    assert get("user-segments/7/recommendation").json()["streak_count"] == 1


def test_it_expires_at_the_end_of_the_day_after_the_last_action(any_redis: redis.Redis) -> None:
    post("actions", act(7, 0))
    post("actions", act(8, 1))
    now = timezone.now()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for user_id, days in (7, 2), (8, 1):
        left = any_redis.pttl(f"user:{user_id}:streak_count") / 1000
        assert abs(left - (midnight + days * DAY - now).total_seconds()) < 60


ORDERS = [(0,), (1,), (2,), (0, 1, 2), (2, 1, 0), (1, 0, 2, 5), (0, 2, 1), (0, 0, 1, 1), (3, 1, 2), (2, 3, 4), (0, 2)]


@pytest.mark.parametrize("days", ORDERS)
def test_days_in_any_order_one_by_one_and_as_a_list(any_redis: redis.Redis, days: tuple[int, ...]) -> None:
    for day in days:
        post("actions", act(7, day))
    post("actions", act(8, *days))
    assert kept(any_redis, 7) == kept(any_redis, 8) == naive(days)


def test_random_sequences_equal_the_oracle_and_the_rebuild(any_redis: redis.Redis) -> None:
    check_sequences(any_redis, users=60, seed=20261122)


@pytest.mark.long
def test_ten_thousand_random_sequences(any_redis: redis.Redis) -> None:
    check_sequences(any_redis, users=10_000, seed=20261122)


def check_sequences(client: redis.Redis, users: int, seed: int) -> None:
    rng = random.Random(seed)
    happened: dict[int, list[int]] = {
        u: rng.choices(range(rng.choice([2, 4, 9])), k=rng.randint(1, 9)) for u in range(1, users + 1)
    }
    stream = [(user, day) for user, days in happened.items() for day in days]
    rng.shuffle(stream)
    while stream:
        some = [stream.pop() for _ in range(min(len(stream), rng.choice([1, 1, 1, 5, 40])))]
        record_actions(actions=[{"user_id": u, "action_type": "x", "action_timestamp": days_ago(d)} for u, d in some])
    incremental = {user: kept(client, user) for user in happened}
    assert incremental == {user: naive(days) for user, days in happened.items()}
    assert not DEBTS
    client.flushdb()
    streaks.rebuild()
    assert {user: kept(client, user) for user in happened} == incremental
