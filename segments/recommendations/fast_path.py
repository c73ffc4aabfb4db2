"""The fast route of a recommendation, without Django's handler."""

from collections.abc import Sequence

from ccweb.db.steps import Steps
from ccweb.redis.client import Call
from ccweb.server.fast_route import Batch, FastAnswer, FastRequest, FastRoute, NotEligible, fast_route
from segments import streaks
from segments.recommendations.recommend import Recommendation, recommend_steps

QUEUE = "recommendation"


def recommendation_route() -> FastRoute:
    """GET /api/user-segments/{user_id}/recommendation."""
    return fast_route(
        "recommendation", "GET", queues={QUEUE: 1}, parse=_parse, steps=_steps, render=_render, redis_calls=_redis_calls
    )


def _parse(request: FastRequest, user_id: int) -> tuple[str, int, int]:
    if request.body:
        raise NotEligible
    return QUEUE, user_id, 1


def _redis_calls(user_ids: Sequence[int]) -> Sequence[Call]:
    return (streaks.read_call(user_ids),)


def _steps(batch: Batch) -> Steps[list[Recommendation]]:
    return recommend_steps([request.argument for request in batch.requests], batch.replies)


def _render(queue: str, recommendation: Recommendation) -> FastAnswer:
    return FastAnswer(200, recommendation.as_json())
