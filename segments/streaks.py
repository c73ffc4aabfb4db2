"""Streaks in Redis: the only module that reads and writes `user:{user_id}:streak_count`."""

import logging

from django_redis import get_redis_connection
from prometheus_client import Counter
from redis import ResponseError

from ccweb.api.breaker import REDIS, Away

log = logging.getLogger(__name__)
MAX_STREAK = 36_500  # days; more is not a streak
JUNK = Counter("ccweb_streak_junk", "Streak keys that did not hold a plain whole number of days.")


def read(user_id: int) -> int | None:
    """A user's streak in days by one Redis read; None when Redis does not answer or holds something else."""
    try:
        return _parse(user_id, REDIS.call(_get, f"user:{user_id}:streak_count"))
    except Away:
        return None


def _get(key: str) -> bytes | ResponseError | None:
    try:
        value: bytes | None = get_redis_connection("default").get(key)
    except ResponseError as error:  # another type stands there
        return error
    return value


def _parse(user_id: int, value: bytes | ResponseError | None) -> int | None:
    if value is None:
        return 0
    if isinstance(value, bytes) and value.isdigit() and len(value) <= 5 and int(value) <= MAX_STREAK:
        return int(value)
    JUNK.inc()
    log.warning("user:%d:streak_count holds no streak but %.100r: it counts as 0", user_id, value)
    return None
