"""Actions of past days, and the streak that they give by the contract."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.utils import timezone

DAY = timedelta(days=1)


def days_ago(days: int) -> datetime:
    """Noon of an earlier day, or now."""
    now = timezone.now().astimezone(UTC)
    return now.replace(hour=12) - days * DAY if days else now


def act(user_id: int, *days: int) -> list[dict[str, Any]]:
    """The body of a POST: an action on each of these days ago."""
    return [{"user_id": user_id, "action_type": "x", "action_timestamp": days_ago(day).isoformat()} for day in days]


def naive(days: Iterable[int]) -> int:
    """Consecutive days with an action, today (0 days ago) or yesterday the last."""
    there = set(days)
    first = 0 if 0 in there else 1
    length = 0
    while first + length in there:
        length += 1
    return length


def kept(client: redis.Redis, user_id: int) -> int:
    """The streak that another system reads in Redis."""
    return int(client.get(f"user:{user_id}:streak_count") or 0)
