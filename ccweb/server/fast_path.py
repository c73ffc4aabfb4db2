"""The fast path: the two most frequent requests are answered without Django's handler.

It calls the same functions as the views. Every other request goes to Django unchanged: lists, query strings, requests
that are refused before any work, keys that are not in the key cache. The headers that Django adds to every response
are learnt from its own responses. Measured: 1.4 times the POSTs and 1.5 times the GETs a second (docs/benchmarks.md).
What must be the same as in Django's answers is in tests/ccweb/server/test_fast_path.py.
"""

import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, connections
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase

from ccweb.api.authentication import KEY_CACHE, presented_key
from ccweb.api.problems import PROBLEM_JSON, problem_response
from ccweb.api.rate_counters import LimitStatus, consume_each
from ccweb.api.rate_limits import limits_of, rate_limit_headers
from ccweb.api.renderers import ANY, as_json
from ccweb.db.errors import sqlstate
from ccweb.request import deadline
from ccweb.request.client_address import is_loopback, resolve_client
from ccweb.request.request_id import request_id, request_id_of
from ccweb.server import concurrency
from ccweb.server.batching import Batcher, QueueTimeout
from ccweb.server.fast_route import JSON, Environ, FastAnswer, FastRoute, NotEligible, PendingRequest
from ccweb.server.request_log import EARLY_STATUS, log_request

LOCK_NOT_AVAILABLE = "55P03"  # an SQLSTATE
UNUSUAL = ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", EARLY_STATUS)
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_AUTHORIZATION")
CHANGING = re.compile("content-(type|length)|ratelimit.*|x-request-id|idempotent-replayed", re.IGNORECASE)
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]


class FastPath:
    """A WSGI application around Django's: returns a list of bytes when it answered itself, else Django's response."""

    def __init__(
        self, django: Callable[[Environ, StartResponse], HttpResponseBase], routes: Sequence[FastRoute]
    ) -> None:
        self._django, self._routes = django, routes
        # the headers that all of Django's answers share, by route and HTTPS
        self._headers: dict[tuple[str, bool], Headers] = {}
        # Requests that another transaction may block are batched separately from those that none can block.
        ways = [(route, may_block) for route in routes for may_block in (False, True)]
        self._batchers = {(route.route, may_block): Batcher(partial(_serve, route)) for route, may_block in ways}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        """Answer the request; nothing is changed or counted before it is known to be eligible."""
        begun, (route, variables) = time.perf_counter(), self._route_for(environ)
        if route is None:
            return self._django(environ, start_response)
        try:
            meta, secure = _usual(environ, route)
            common = self._headers.get((route.route, secure))
            if common is None:
                return self._learn(route, secure, environ, start_response)
            argument, may_block = route.parse(environ, **variables)
            request, current = PendingRequest(argument, limits_of(meta), request_id_of(environ)), deadline.current()
            timeout = concurrency.seconds_left_to_start(current) if current else concurrency.QUEUE_TIMEOUT_SECONDS
            served = self._batchers[route.route, may_block](request, timeout)
            if served is None:
                raise NotEligible
        except (NotEligible, QueueTimeout):
            return self._django(environ, start_response)
        limit_status, (status, body, headers) = served
        content = as_json(body)
        named = rate_limit_headers(limit_status) | headers | {"X-Request-ID": request.request_id}
        named["Content-Length"] = str(len(content))
        token = request_id.set(request.request_id)
        try:
            seconds = time.perf_counter() - begun
            log_request(
                method=route.method, path=environ["PATH_INFO"], route=route.route, status=status, seconds=seconds
            )
        finally:
            request_id.reset(token)
        kind = ("Content-Type", JSON if status < 400 else PROBLEM_JSON)
        start_response(f"{status} {HTTPStatus(status).phrase}", [kind, *common, *named.items()])
        return [content]

    def _route_for(self, environ: Environ) -> tuple[FastRoute | None, dict[str, Any]]:
        """The fast route of a request, None if there is none, and the variables in its path."""
        for route in self._routes:
            if route.method == environ["REQUEST_METHOD"] and (found := route.path.match(environ["PATH_INFO"][1:])):
                return route, found[2]
        return None, {}

    def _learn(
        self, route: FastRoute, secure: bool, environ: Environ, start_response: StartResponse
    ) -> HttpResponseBase:
        response = self._django(environ, start_response)
        if response.status_code in (200, 201) and not response.cookies:
            self._headers[route.route, secure] = [item for item in response.items() if not CHANGING.fullmatch(item[0])]
        return response


def _usual(environ: Environ, route: FastRoute) -> tuple[Environ, bool]:
    """The environment that ClientAddress and the limits read, and whether the request is HTTPS; raises NotEligible."""
    if environ.get("QUERY_STRING") or environ.get("HTTP_ACCEPT", "") not in ANY or any(n in environ for n in UNUSUAL):
        raise NotEligible
    meta = {name: environ[name] for name in FORWARDED if name in environ} | {"REMOTE_ADDR": environ["REMOTE_ADDR"]}
    resolve_client(meta)
    secure = meta.get("HTTP_X_FORWARDED_PROTO") == "https"
    if not (secure or not settings.SECURE_SSL_REDIRECT) or not _is_served(environ.get("HTTP_HOST", "")):
        raise NotEligible
    if not _may(route.scope, meta):
        raise NotEligible
    return meta, secure


@lru_cache(1000)
def _is_served(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _may(scope: str, meta: Environ) -> bool:
    if settings.API_IS_OPEN and not is_loopback(meta["REMOTE_ADDR"]):
        return False
    key = presented_key(meta)
    if key is None:
        return bool(settings.API_IS_OPEN)
    grant = KEY_CACHE.cached(key)  # not looked up here: with Django, rate limits apply before the look-up
    return grant is not None and scope in grant.scopes


def _serve(route: FastRoute, requests: Sequence[PendingRequest]) -> Sequence[tuple[LimitStatus, FastAnswer] | None]:
    """For each request its LimitStatus and answer; None where a limit is exceeded or no slot was free."""
    current = deadline.current()
    if current and not concurrency.enter(current):
        return [None] * len(requests)
    try:
        calls = route.redis_calls([request.argument for request in requests])
        limits, replies = consume_each([request.limits for request in requests], *calls)
        passed = [request for request, limit in zip(requests, limits, strict=True) if limit.passed]
        answers = iter(_answer(route, passed, replies if len(passed) == len(requests) else None))
        return [(limit, next(answers)) if limit.passed else None for limit in limits]
    finally:
        if current:
            concurrency.leave(current)


def _answer(
    route: FastRoute, requests: Sequence[PendingRequest], replies: Sequence[Any] | None
) -> Sequence[FastAnswer]:
    """The answers to a batch; log lines written meanwhile carry the ids of all its requests."""
    token = request_id.set(",".join(request.request_id for request in requests))
    try:
        return route.answer(requests, replies) if requests else []
    except Exception as error:  # noqa: BLE001 - answered and logged as in the views
        if len(requests) > 1 and _is_about_one(error):
            return [answer for request in requests for answer in _answer(route, [request], None)]
        response = problem_response(error, {"view": route.route})
        answer = response.status_code, response.data, {k: v for k, v in response.items() if k != "Content-Type"}
        return [answer] * len(requests)
    finally:  # as Django does at the end of a request, and with DEBUG at its start
        request_id.reset(token)
        database = connections[DEFAULT_DB_ALIAS]
        database.close_if_unusable_or_obsolete()
        database.queries_log.clear()


def _is_about_one(error: Exception) -> bool:
    """Whether a single request made the batch fail: by its content, or by a row that another transaction has locked."""
    return isinstance(error, DataError | IntegrityError) or sqlstate(error) == LOCK_NOT_AVAILABLE
