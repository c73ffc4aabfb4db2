"""The two requests that make nearly all of the traffic, answered past Django's handler when nothing about them is odd.

The functions that the views call do the work. Whatever is odd is left to Django as it came: every list, every query
string, every refusal before the work, a key that was not seen just now. What Django puts on each answer is learnt from
its own answers. What it gains stands at the end of docs/benchmarks.md; what it must not change, in
tests/ccweb/test_express.py.
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

from ccweb import slots
from ccweb.api.authentication import KEYRING, presented_key
from ccweb.api.problems import PROBLEM_JSON, problem_response
from ccweb.api.rate_counters import Verdict, take_each
from ccweb.api.rate_limits import limits_of, rate_limit_headers
from ccweb.api.renderers import ANY, as_json
from ccweb.db.errors import sqlstate
from ccweb.lines import ACTION, JSON, RECOMMENDATION, Environ, Line, Odd, Order, Outcome, line_of
from ccweb.observing import REFUSAL, note
from ccweb.request import deadline
from ccweb.request.client_address import is_loopback, resolve_client
from ccweb.request.request_id import id_of, request_id
from ccweb.together import Together, TooLate

LOCK_NOT_AVAILABLE = "55P03"  # an SQLSTATE
ODD = ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", REFUSAL)
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_AUTHORIZATION")
CHANGING = re.compile("content-(type|length)|ratelimit.*|x-request-id|idempotent-replayed", re.IGNORECASE)
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]


class Express:
    """A WSGI application around Django's: a list of bytes when it has answered, else Django's response."""

    def __init__(self, django: Callable[[Environ, StartResponse], HttpResponseBase]) -> None:
        self._django = django
        self._headers: dict[tuple[str, bool], Headers] = {}  # what Django's answers have in common, by route and HTTPS
        ways = [(ACTION, False), (ACTION, True), (RECOMMENDATION, False)]  # those that nobody can hold up, or apart
        self._together = {(line.route, apart): Together(partial(_serve, line)) for line, apart in ways}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        """The answer; nothing of the request is changed or counted before it is known not to be odd."""
        begun, line = time.perf_counter(), line_of(environ)
        if line is None:
            return self._django(environ, start_response)
        try:
            meta, secure = _usual(environ, line)
            common = self._headers.get((line.route, secure))
            if common is None:
                return self._learn(line, secure, environ, start_response)
            argument, apart = line.take(environ)
            order, flight = Order(argument, limits_of(meta), id_of(environ)), deadline.current()
            patience = slots.patience(flight) if flight else slots.PATIENCE
            served = self._together[line.route, apart](order, patience)
            if served is None:
                raise Odd
        except (Odd, TooLate):
            return self._django(environ, start_response)
        verdict, (status, body, headers) = served
        content = as_json(body)
        named = rate_limit_headers(verdict) | headers | {"X-Request-ID": order.origin}
        named["Content-Length"] = str(len(content))
        token = request_id.set(order.origin)
        try:
            seconds = time.perf_counter() - begun
            note(method=line.method, path=environ["PATH_INFO"], route=line.route, status=status, seconds=seconds)
        finally:
            request_id.reset(token)
        kind = ("Content-Type", JSON if status < 400 else PROBLEM_JSON)
        start_response(f"{status} {HTTPStatus(status).phrase}", [kind, *common, *named.items()])
        return [content]

    def _learn(self, line: Line, secure: bool, environ: Environ, start_response: StartResponse) -> HttpResponseBase:
        response = self._django(environ, start_response)
        if response.status_code in (200, 201) and not response.cookies:
            self._headers[line.route, secure] = [item for item in response.items() if not CHANGING.fullmatch(item[0])]
        return response


def _usual(environ: Environ, line: Line) -> tuple[Environ, bool]:
    """The client as ClientAddress and the limits want it, and whether he speaks HTTPS; raises Odd."""
    if environ.get("QUERY_STRING") or environ.get("HTTP_ACCEPT", "") not in ANY or any(n in environ for n in ODD):
        raise Odd
    meta = {name: environ[name] for name in FORWARDED if name in environ} | {"REMOTE_ADDR": environ["REMOTE_ADDR"]}
    resolve_client(meta)
    secure = meta.get("HTTP_X_FORWARDED_PROTO") == "https"
    if not (secure or not settings.SECURE_SSL_REDIRECT) or not _is_served(environ.get("HTTP_HOST", "")):
        raise Odd
    if not _may(line.scope, meta):
        raise Odd
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
    grant = KEYRING.known(key)  # Django's limits come before its look-up
    return grant is not None and scope in grant.scopes


def _serve(line: Line, orders: Sequence[Order]) -> Sequence[tuple[Verdict, Outcome] | None]:
    """For each order where its limits stand and its outcome, None where it may not pass or no slot was free."""
    flight = deadline.current()
    if flight and not slots.enter(flight):
        return [None] * len(orders)
    try:
        arguments = [order.argument for order in orders]
        verdicts, asked = take_each([order.limits for order in orders], *line.questions(arguments))
        passed = [order for order, verdict in zip(orders, verdicts, strict=True) if verdict.passed]
        outcomes = iter(_work(line, passed, asked if len(passed) == len(orders) else None))
        return [(verdict, next(outcomes)) if verdict.passed else None for verdict in verdicts]
    finally:
        if flight:
            slots.leave(flight)


def _work(line: Line, orders: Sequence[Order], asked: Sequence[Any] | None) -> Sequence[Outcome]:
    """The outcome of each; what is logged meanwhile carries the ids of all."""
    token = request_id.set(",".join(order.origin for order in orders))
    try:
        return line.work(orders, asked) if orders else []
    except Exception as error:  # noqa: BLE001 - answered and logged as the views do
        if line is ACTION and len(orders) > 1 and _is_about_one(error):
            return [outcome for order in orders for outcome in _work(line, [order], None)]
        response = problem_response(error, {"view": line.route})
        outcome = response.status_code, response.data, {k: v for k, v in response.items() if k != "Content-Type"}
        return [outcome] * len(orders)
    finally:  # as Django does when a request ends, and with DEBUG when one begins
        request_id.reset(token)
        database = connections[DEFAULT_DB_ALIAS]
        database.close_if_unusable_or_obsolete()
        database.queries_log.clear()


def _is_about_one(error: Exception) -> bool:
    """Whether nothing was stored because of one of the orders: its content, or somebody else's row in the way."""
    return isinstance(error, DataError | IntegrityError) or sqlstate(error) == LOCK_NOT_AVAILABLE
