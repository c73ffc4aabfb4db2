"""The declaration of a route that the fast path answers instead of Django's handler."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.urls.resolvers import RoutePattern

from ccweb.api.permissions import needed_scope
from ccweb.api.rate_counters import Limit
from ccweb.api.routes import routes
from ccweb.redis.client import Call

JSON = "application/json"
Environ = dict[str, Any]
FastAnswer = tuple[int, dict[str, Any], dict[str, str]]  # status, body, headers


class NotEligible(Exception):
    """The fast path cannot answer this request; Django does."""


class PendingRequest(NamedTuple):
    """The parsed argument of one request, the rate limits it counts in, and its id."""

    argument: Any
    limits: Sequence[Limit]
    request_id: str


class FastRoute(NamedTuple):
    """One route and the functions that answer a batch of its requests.

    `parse` takes the WSGI environment and the path's variables; it returns the request's argument and whether another
    transaction may block it: such requests are batched separately, so that they delay no others. It raises
    NotEligible. `redis_calls` are sent to Redis in the same round trip as the limits; `answer` gets Redis' replies, or
    None when it has to ask Redis itself.
    """

    method: str
    route: str  # as in the URL configuration; also the label in metrics
    path: RoutePattern
    scope: str
    parse: Callable[..., tuple[Any, bool]]
    redis_calls: Callable[[Sequence[Any]], Sequence[Call]]
    answer: Callable[[Sequence[PendingRequest], Sequence[Any] | None], Sequence[FastAnswer]]


def fast_route(
    name: str,
    method: str,
    *,
    parse: Callable[..., tuple[Any, bool]],
    answer: Callable[[Sequence[PendingRequest], Sequence[Any] | None], Sequence[FastAnswer]],
    redis_calls: Callable[[Sequence[Any]], Sequence[Call]] = lambda arguments: (),
) -> FastRoute:
    """The FastRoute of a named URL pattern, with the scope that its viewset declares for the method."""
    route, view = next((path[1:], pattern.callback.cls) for path, pattern in routes() if pattern.name == name)  # type: ignore[attr-defined]
    path, scope = RoutePattern(route, is_endpoint=True), str(needed_scope(view, method))
    return FastRoute(method, route, path, scope, parse, redis_calls, answer)
