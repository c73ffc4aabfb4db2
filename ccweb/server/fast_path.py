"""The fast path: what is decided about the two most frequent routes, without waiting for anything.

`decide` says whether a request may be answered by the event loop itself; `serve` are the steps that answer a batch of
such requests. Both use the functions of the views and middlewares. Every other request goes to Django unchanged: query
strings, keys that are not in the key cache, invalid bodies, headers by which an answer may vary. What must be the same
as in Django's answers is in tests/ccweb/server/test_fast_path.py.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DataError, IntegrityError
from django.http.request import split_domain_port, validate_host

from ccweb.api.authentication import KEY_CACHE, Grant, PresentedKey, presented_key
from ccweb.api.problems import problem, problem_response
from ccweb.api.rate_counters import Limit, LimitStatus, consume_steps
from ccweb.api.rate_limits import limits_of, rate_limit_headers, too_many
from ccweb.api.renderers import ANY
from ccweb.db.errors import sqlstate
from ccweb.db.steps import Steps
from ccweb.request import deadline
from ccweb.request.client_address import is_loopback, resolve_client
from ccweb.request.origin import Origin
from ccweb.server.common_headers import CommonHeaders, Shared
from ccweb.server.fast_route import Batch, FastAnswer, FastRequest, FastRoute, NotEligible, PendingRequest

LOCK_NOT_AVAILABLE = "55P03"  # an SQLSTATE
# The headers that decide what a request may do, with their names in a WSGI environment.
DECISIVE = {
    "host": "HTTP_HOST",
    "accept": "HTTP_ACCEPT",
    "authorization": "HTTP_AUTHORIZATION",
    "x-forwarded-for": "HTTP_X_FORWARDED_FOR",
    "x-forwarded-proto": "HTTP_X_FORWARDED_PROTO",
}
UNUSUAL = ("origin", "cookie", "content-encoding", "transfer-encoding", "expect")
PERMISSION_SECONDS = 0.5
ALONE_SECONDS = 0.5
MAX_PERMISSIONS = 1000


class Permission(NamedTuple):
    """What requests with the same decisive headers may do, until a moment of time.monotonic()."""

    until: float
    limits: Sequence[Limit]
    shared: Shared
    sender: Origin


class FastPath:
    """The decisions about requests to the fast routes of one web worker."""

    def __init__(self, routes: Sequence[FastRoute], refresh_key: Callable[[PresentedKey], None]) -> None:
        """`refresh_key` looks a key up again, whose entry in the cache has expired; it must not wait."""
        self.routes, self._refresh_key = routes, refresh_key
        self._common = CommonHeaders()
        self._permissions: dict[tuple[Any, ...], Permission] = {}

    def route_for(self, method: str, path: str) -> tuple[FastRoute, Mapping[str, Any]] | None:
        """The fast route of a request and the variables in its path; None if there is none."""
        for route in self.routes:
            if route.method == method and (found := route.path.match(path[1:])):
                return route, found[2]
        return None

    def decide(
        self, route: FastRoute, variables: Mapping[str, Any], request: FastRequest, origin: Origin, until: float
    ) -> tuple[str, PendingRequest, Permission]:
        """The queue of a request and what it waits for; raises NotEligible when Django has to answer it.

        It stores and counts nothing.
        """
        headers = request.headers
        if request.query or any(name in headers for name in UNUSUAL):
            raise NotEligible
        permission = self._permission(route, request)
        if any(name in headers for name in permission.shared.varying):  # Django's answer may be another
            raise NotEligible
        queue, argument, events = route.parse(request, **variables)
        origin = origin.sent_by(permission.sender)
        return queue, PendingRequest(argument, events, permission.limits, origin, until), permission

    def _permission(self, route: FastRoute, request: FastRequest) -> Permission:
        """What the request may do, by the decisive headers; asked again after PERMISSION_SECONDS at the latest."""
        key = (route.route, request.peer, *map(request.headers.get, DECISIVE))
        permission, now = self._permissions.get(key), time.monotonic()
        if permission is None or now >= permission.until:
            if len(self._permissions) >= MAX_PERMISSIONS:
                self._permissions.clear()
            permission = self._permissions[key] = self._look(route, request, now + PERMISSION_SECONDS)
        return permission

    def _look(self, route: FastRoute, request: FastRequest, until: float) -> Permission:
        headers = request.headers
        meta = {name: headers[header] for header, name in DECISIVE.items() if header in headers}
        meta["REMOTE_ADDR"] = request.peer
        resolve_client(meta)
        is_https = meta.get("HTTP_X_FORWARDED_PROTO") == "https"
        if meta.get("HTTP_ACCEPT", "") not in ANY or not (is_https or not settings.SECURE_SSL_REDIRECT):
            raise NotEligible
        if not _is_served(meta.get("HTTP_HOST", "")):
            raise NotEligible
        allowed_until, grant = self._allowed(route.scope, meta)
        until = min(until, allowed_until)
        return Permission(until, limits_of(meta), self._common.of(route, is_https), _sender(meta["REMOTE_ADDR"], grant))

    def _allowed(self, scope: str, meta: dict[str, str]) -> tuple[float, Grant | None]:
        """Until when the key, or the open API, allows the scope without another look; else raises NotEligible."""
        if settings.API_IS_OPEN and not is_loopback(meta["REMOTE_ADDR"]):
            raise NotEligible
        key = presented_key(meta)
        if key is None:
            if not settings.API_IS_OPEN:
                raise NotEligible
            return math.inf, None
        grant, until, is_due = KEY_CACHE.cached(key)  # a new key is Django's: rate limits apply before its look-up
        if is_due:
            self._refresh_key(key)
        if grant is None or scope not in grant.scopes:
            raise NotEligible
        return until, grant


def _sender(client: str, grant: Grant | None) -> Origin:
    return Origin(client=client, key=grant.prefix, key_name=grant.name) if grant else Origin(client=client)


@lru_cache(1000)
def _is_served(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def serve(route: FastRoute, queue: str, requests: Sequence[PendingRequest]) -> Steps[list[FastAnswer]]:
    """The steps that count requests in their limits and answer those that pass; one answer each, in order."""
    calls = route.redis_calls([request.argument for request in requests])
    statuses, replies = yield from consume_steps([request.limits for request in requests], *calls)
    passed = [request for request, status in zip(requests, statuses, strict=True) if status.passed]
    # Once some are refused, the replies are not those to the others: the route asks Redis again.
    batch = Batch(queue, passed, replies if len(passed) == len(requests) else None, failed_before=False)
    answers = iter((yield from _answers(route, batch)))
    return [_with_limits(status, next(answers) if status.passed else _too_many(status)) for status in statuses]


def _answers(route: FastRoute, batch: Batch) -> Steps[list[FastAnswer]]:
    if not batch.requests:
        return []
    try:
        results = yield from route.steps(batch)
    except Exception as error:  # noqa: BLE001 - answered and logged as in the views
        if len(batch.requests) > 1 and _is_about_one(error):
            return (yield from _each_alone(route, batch))
        return [_failure(route, error)] * len(batch.requests)
    return [_render(route, batch.queue, result) for result in results]


def _each_alone(route: FastRoute, batch: Batch) -> Steps[list[FastAnswer]]:
    answers: list[FastAnswer] = []
    for request in batch.requests:
        with deadline.within(ALONE_SECONDS):  # one whose event_id is locked does not use up the time of the others
            answers += yield from _answers(route, Batch(batch.queue, [request], None, failed_before=True))
    return answers


def _render(route: FastRoute, queue: str, result: Any) -> FastAnswer:
    try:
        return route.render(queue, result)
    except Exception as error:  # noqa: BLE001 - as above; the others get their answers
        return _failure(route, error)


def _failure(route: FastRoute, error: Exception) -> FastAnswer:
    response = problem_response(error, {"view": route.route})
    headers = {name: value for name, value in response.items() if name != "Content-Type"}
    return FastAnswer(response.status_code, response.data, headers)


def _too_many(status: LimitStatus) -> FastAnswer:
    refusal = too_many(status)
    body = problem(refusal.status, refusal.detail)
    return FastAnswer(refusal.status, body, refusal.headers, by_view=False)


def _with_limits(status: LimitStatus, answer: FastAnswer) -> FastAnswer:
    return answer._replace(headers=rate_limit_headers(status) | dict(answer.headers))


def _is_about_one(error: Exception) -> bool:
    """Whether a single request made the batch fail: by its content, or by a row that another transaction has locked."""
    return isinstance(error, DataError | IntegrityError) or sqlstate(error) == LOCK_NOT_AVAILABLE
