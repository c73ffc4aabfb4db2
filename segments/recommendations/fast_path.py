"""The fast path of a recommendation: answered without Django's request handler."""

from collections.abc import Sequence
from typing import Any

from ccweb.redis.client import Call
from ccweb.server.fast_route import Environ, FastAnswer, FastRoute, NotEligible, PendingRequest, fast_route
from segments import streaks
from segments.recommendations.recommend import recommend_each


def recommendation_route() -> FastRoute:
    """The fast route of GET /api/user-segments/{user_id}/recommendation."""
    return fast_route("recommendation", "GET", parse=_parse, answer=_answer, redis_calls=_redis_calls)


def _parse(environ: Environ, user_id: int) -> tuple[int, bool]:
    if environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
        raise NotEligible
    return user_id, False


def _redis_calls(user_ids: Sequence[int]) -> Sequence[Call]:
    return (streaks.read_call(user_ids),)


def _answer(requests: Sequence[PendingRequest], replies: Sequence[Any] | None) -> Sequence[FastAnswer]:
    return [(200, found.as_json(), {}) for found in recommend_each([r.argument for r in requests], replies)]
