"""A pending repair is done only with a write that knows of every action: what comes in between is not lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from django.db import connection

from actions.models import UserAction
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments import streaks
from segments.streaks import store
from segments.streaks.update import PENDING_REPAIRS, PendingRepairs
from tests.segments.acting import act, days_ago, kept
from tests.support.api_client import get, post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def complete_redis(redis_client: redis.Redis) -> redis.Redis:
    """Redis with all streaks; the repair of user 7 is pending."""
    post("actions", act(7, 1))
    streaks.rebuild()
    PENDING_REPAIRS.add([7])
    return redis_client


def store_without_redis(*days: int) -> None:
    """Actions of user 7 whose streak could not be written."""
    UserAction.objects.bulk_create(UserAction(user_id=7, action_type="x", action_timestamp=days_ago(d)) for d in days)
    PENDING_REPAIRS.add([7])


@contextmanager
def after_the_query(deed: Callable[[], object]) -> Iterator[None]:
    """Do something once, just after the streak was read from the database and before it is written to Redis."""
    waiting = [deed]

    def execute_and_do(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if "RECURSIVE" in sql and waiting:
            waiting.pop()()
        return result

    with connection.execute_wrapper(execute_and_do):
        yield


def read_streak() -> int:
    days: int = get("user-segments/7/recommendation").json()["streak_count"]
    return days


def test_a_lookup_that_writes_the_streak_does_the_repair(complete_redis: redis.Redis) -> None:
    assert read_streak() == 1
    assert not PENDING_REPAIRS


def test_a_repair_that_becomes_necessary_during_a_lookup_stays_pending(complete_redis: redis.Redis) -> None:
    with after_the_query(lambda: store_without_redis(0)):
        read_streak()
    assert PENDING_REPAIRS
    PENDING_REPAIRS.repair_some()
    assert kept(complete_redis, 7) == read_streak() == 2


def test_a_lookup_whose_write_was_left_out_does_no_repair(complete_redis: redis.Redis) -> None:
    """Day 2 was never written, and today's action, which counts by the note, comes between query and write."""
    store_without_redis(2)
    with after_the_query(lambda: post("actions", act(7, 0))):
        read_streak()
    assert PENDING_REPAIRS
    PENDING_REPAIRS.repair_some()
    assert kept(complete_redis, 7) == read_streak() == 3


def test_a_repair_that_becomes_necessary_during_the_repair_stays_pending(complete_redis: redis.Redis) -> None:
    with after_the_query(lambda: store_without_redis(0)):
        PENDING_REPAIRS.repair_some()
    assert PENDING_REPAIRS
    PENDING_REPAIRS.repair_some()
    assert not PENDING_REPAIRS
    assert kept(complete_redis, 7) == 2


def test_a_mark_that_could_not_be_deleted_is_deleted_later(
    complete_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    repairs = PendingRepairs()
    monkeypatch.setattr(PendingRepairs, "MAX_USERS", 1)
    repairs.add([7, 8])
    with monkeypatch.context() as away, pytest.raises(DependencyUnavailable):
        away.setattr("django.conf.settings.REDIS_URL", "redis://127.0.0.1:9/0")
        repairs.repair_some()
    assert repairs
    repairs.repair_some()
    assert not repairs
    assert not store.is_complete()
