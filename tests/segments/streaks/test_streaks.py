"""Streaks follow recorded actions: visible with the response to the POST, and exact in any order of actions."""

import random
import threading
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import REGISTRY

from actions.models import UserAction
from actions.recording import record_actions
from ccweb.redis.circuit_breaker import REDIS
from segments import streaks
from segments.streaks import store
from segments.streaks.from_actions import runs
from segments.streaks.update import PENDING_REPAIRS
from tests.segments.acting import DAY, act, days_ago, kept, naive
from tests.support.api_client import get, post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["complete", "empty"])
def any_redis(request: pytest.FixtureRequest, redis_client: redis.Redis) -> redis.Redis:
    """Redis with complete streaks, as the repair thread leaves it, and after FLUSHALL."""
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


@pytest.mark.parametrize("seconds", [5, 30 * 86_400, None])
def test_another_action_of_the_day_restores_an_expiry_that_another_system_changed(
    any_redis: redis.Redis, seconds: int | None
) -> None:
    post("actions", act(7, 0))
    until = any_redis.pexpiretime("user:7:streak_count")
    any_redis.set("user:7:streak_count", 1, ex=seconds)
    post("actions", act(7, 0))
    assert abs(any_redis.pexpiretime("user:7:streak_count") - until) < 60_000


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
    while PENDING_REPAIRS:  # on a busy machine Redis may not answer within 100 ms: the repair thread's work
        REDIS.reset()
        PENDING_REPAIRS.repair_some()
    incremental = {user: kept(client, user) for user in happened}
    assert incremental == {user: naive(days) for user, days in happened.items()}
    client.flushdb()
    streaks.rebuild()
    assert {user: kept(client, user) for user in happened} == incremental


def test_parallel_writers_never_leave_an_older_streak(any_redis: redis.Redis) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the tests' SQLite has one writer at a time")
    users, days = range(1, 31), range(4)
    start = threading.Barrier(len(days))

    def post_days(seed: int) -> None:
        rng = random.Random(seed)
        for user in users:
            start.wait()
            day = (seed + user + rng.randrange(2) * 2) % len(days)
            for offset in (0, 2) if day % 2 else (0,):
                record_actions(actions=[action(user, (day + offset) % len(days)), action(user, seed)])
        connection.close()

    threads = [threading.Thread(target=post_days, args=[seed]) for seed in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {user: kept(any_redis, user) for user in users} == dict.fromkeys(users, len(days))
    assert not PENDING_REPAIRS


def action(user_id: int, day: int) -> dict[str, Any]:
    return {"user_id": user_id, "action_type": "x", "action_timestamp": days_ago(day)}


def test_what_another_system_set_is_taken_until_we_record_an_action(any_redis: redis.Redis) -> None:
    for user_id, value in {7: 50, 8: 0, 9: 3}.items():
        any_redis.set(f"user:{user_id}:streak_count", value)
        assert streak_of(user_id) == (value, [])
    post("actions", act(7, 0))
    post("actions", act(8, 1, 0))
    post("actions", act(9, 5))
    assert [streak_of(user_id) for user_id in (7, 8, 9)] == [(1, []), (2, []), (0, [])]
    any_redis.set("user:7:streak_count", 60)  # and back again
    assert streak_of(7) == (60, [])


def streak_of(user_id: int) -> tuple[int, list[str]]:
    body = get(f"user-segments/{user_id}/recommendation").json()
    return body["streak_count"], body["degraded"]


@pytest.mark.parametrize("junk", ["text", "", "7.0", "-1", " 7", "1e3", "9" * 30, "36501", "\u0667", "NaN"])
def test_an_invalid_value_reads_as_0_and_is_reported(
    any_redis: redis.Redis, junk: str, caplog: pytest.LogCaptureFixture
) -> None:
    any_redis.set("user:7:streak_count", junk)
    before = counted()
    assert streak_of(7) == (0, ["streak"])
    assert counted() == before + 1
    assert "user:7:streak_count holds no number of days" in caplog.text
    post("actions", act(7, 0))
    assert streak_of(7) == (1, [])


def counted() -> float:
    return REGISTRY.get_sample_value("ccweb_streak_junk_total") or 0.0


def test_keys_of_another_type_are_invalid_too(any_redis: redis.Redis) -> None:
    any_redis.hset("user:7:streak_count", "days", 3)
    any_redis.rpush("user:8:streak_count", 3)
    assert [streak_of(7), streak_of(8)] == [(0, ["streak"])] * 2
    post("actions", [*act(7, 0), *act(8, 0)])
    assert [streak_of(7), streak_of(8)] == [(1, [])] * 2


def test_an_invalid_note_is_replaced(any_redis: redis.Redis) -> None:
    post("actions", act(7, 1))
    any_redis.delete("ccweb:streak:7")
    any_redis.hset("ccweb:streak:7", "a", 1)
    assert streak_of(7) == (1, [])
    post("actions", act(7, 0))
    assert streak_of(7) == (2, [])


def test_a_streak_ends_after_a_day_without_an_action(any_redis: redis.Redis) -> None:
    post("actions", act(7, 0, 1))
    tomorrow = timezone.now() + DAY
    with time_machine.travel(tomorrow):
        assert streak_of(7) == (2, [])
    with time_machine.travel(tomorrow + DAY):
        assert streak_of(7) == (0, [])
        post("actions", {"user_id": 7, "action_type": "x"})
        assert streak_of(7) == (1, [])


def test_an_action_that_was_refused_or_sent_twice_counts_nothing(any_redis: redis.Redis) -> None:
    body = act(7, 0)[0] | {"event_id": "018f3c5e-7a10-7cc0-8000-000000000000"}
    for _ in range(3):
        post("actions", body)
    post("actions", body | {"action_type": "y"})
    post("actions", {"user_id": 8})
    assert [streak_of(7), streak_of(8)] == [(1, []), (0, [])]


def test_a_saved_action_of_the_admin_counts(any_redis: redis.Redis) -> None:
    UserAction(user_id=7, action_type="x", action_timestamp=days_ago(1)).save()
    UserAction(user_id=7, action_type="x").save()
    assert streak_of(7) == (2, [])


def test_the_day_is_that_of_utc(any_redis: redis.Redis) -> None:
    last_night = days_ago(1).replace(hour=23, minute=30)
    far_east = timezone.get_fixed_timezone(timedelta(hours=14))
    body = {"user_id": 7, "action_type": "x", "action_timestamp": last_night.astimezone(far_east).isoformat()}
    post("actions", body)
    post("actions", act(7, 2))
    assert streak_of(7) == (2, [])


def test_a_post_costs_no_query_for_the_streak_once_redis_is_complete(
    redis_client: redis.Redis,
) -> None:
    streaks.rebuild()
    for day in (1, 0, 0, 9):
        with CaptureQueriesContext(connection) as queries:
            record_actions(actions=[action(7, day)])
        asked = [query for query in queries.captured_queries if "RECURSIVE" in query["sql"]]
        assert len(asked) == (1 if day == 1 else 0)  # yesterday's may continue a streak that Redis has dropped


def test_an_import_counts_too(redis_client: redis.Redis, tmp_path: Path) -> None:
    streaks.rebuild()
    lines = [f"7,{days_ago(day).isoformat()},1.00,x" for day in (0, 1, 2)]
    (tmp_path / "a.csv").write_text("\n".join(["user_id,action_timestamp,value,action_type", *lines]))
    call_command("import_actions", str(tmp_path / "a.csv"))
    assert streak_of(7) == (3, [])


def test_an_answer_from_before_another_commit_is_not_written(any_redis: redis.Redis) -> None:
    post("actions", act(7, 1))
    notes, before = store.read_notes([7]), runs([7])
    post("actions", act(7, 0))
    changed = store.write_if_unchanged(notes, before)
    assert list(changed) == [7] and changed != notes
    assert kept(any_redis, 7) == 2


def test_the_metric_of_pending_repairs_follows_every_way_out(redis_client: redis.Redis) -> None:
    def gauge() -> float | None:
        return REGISTRY.get_sample_value("ccweb_streaks_owed")

    PENDING_REPAIRS.add([7, 8])
    assert gauge() == 2
    PENDING_REPAIRS.discard(7)
    assert gauge() == 1
    PENDING_REPAIRS.clear()
    assert gauge() == 0
