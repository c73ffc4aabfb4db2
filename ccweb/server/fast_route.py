"""The declaration of a route whose requests the event loop answers itself, without Django's handler."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.urls.resolvers import RoutePattern
from rest_framework.viewsets import GenericViewSet

from ccweb.api.permissions import needed_scope
from ccweb.api.rate_counters import Limit
from ccweb.api.routes import routes
from ccweb.db.steps import Steps
from ccweb.redis.client import Call
from ccweb.request.origin import Origin


class NotEligible(Exception):
    """The event loop cannot answer this request itself; Django does."""


class FastRequest(NamedTuple):
    """A request with its whole body; header names are in lower case, and each header was sent once."""

    query: str
    headers: Mapping[str, str]
    peer: str  # the address of the connection
    body: bytes


class PendingRequest(NamedTuple):
    """The parsed argument of one request, what it waits for, and until when (time.monotonic())."""

    argument: Any
    events: int
    limits: Sequence[Limit]
    origin: Origin
    deadline: float


class Batch(NamedTuple):
    """Requests of one queue that are answered together.

    `replies` are those of Redis to the route's calls, None when it has to ask itself. `failed_before`: the statement
    for these requests has failed, and may have stored them.
    """

    queue: str
    requests: Sequence[PendingRequest]
    replies: Sequence[Any] | None
    failed_before: bool


class FastAnswer(NamedTuple):
    """The answer to one request, of a view or of a middleware; `outcomes` counts a list's events by their status."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = {}  # noqa: RUF012 - never changed
    outcomes: Mapping[str, int] | None = None
    by_view: bool = True


class FastRoute(NamedTuple):
    """One route, and the functions that answer its requests.

    `parse` gets the request and the variables of its path. It returns the queue the request waits in, its argument and
    its number of events, or raises NotEligible. Requests of different queues never wait for each other: those that
    another transaction may block have a queue of their own. `queues` says how many batches of each run at a time, each
    with connections of its own. `redis_calls` are sent in the same round trip as the limits. `steps` does the work of a
    batch and returns one result a request; `render` turns a result into the answer.
    """

    method: str
    route: str  # as in the URL configuration; also the label in metrics
    path: RoutePattern
    view: type[GenericViewSet]
    scope: str
    queues: Mapping[str, int]
    parse: Callable[..., tuple[str, Any, int]]
    redis_calls: Callable[[Sequence[Any]], Sequence[Call]]
    steps: Callable[[Batch], Steps[Sequence[Any]]]
    render: Callable[[str, Any], FastAnswer]


def fast_route(
    name: str,
    method: str,
    *,
    queues: Mapping[str, int],
    parse: Callable[..., tuple[str, Any, int]],
    steps: Callable[[Batch], Steps[Sequence[Any]]],
    render: Callable[[str, Any], FastAnswer],
    redis_calls: Callable[[Sequence[Any]], Sequence[Call]] = lambda arguments: (),
) -> FastRoute:
    """The FastRoute of a named URL pattern, with the scope that its viewset declares for the method."""
    route, view = next((path[1:], pattern.callback.cls) for path, pattern in routes() if pattern.name == name)  # type: ignore[attr-defined]
    path, scope = RoutePattern(route, is_endpoint=True), str(needed_scope(view, method))
    return FastRoute(method, route, path, view, scope, queues, parse, redis_calls, steps, render)
