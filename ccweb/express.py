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
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, connections
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException

from actions.recording import record_actions
from actions.views import ActionViewSet
from ccweb import slots
from ccweb.api import deadlines
from ccweb.api.addresses import is_loopback
from ccweb.api.auth import KEYRING, presented_key
from ccweb.api.errors import PROBLEM_JSON, problem_response, sqlstate
from ccweb.api.identity import MAX_USER_ID, new_event_id
from ccweb.api.limits import limits_of, rate_limit_headers
from ccweb.api.negotiation import ANY
from ccweb.api.parsing import MAX_OBJECT_BYTES, parse_json
from ccweb.api.proxies import resolve_client
from ccweb.api.redis_calls import Call
from ccweb.api.rendering import as_json
from ccweb.api.throttling import Limit, Verdict, take_each
from ccweb.api.tracing import request_id
from ccweb.observing import REFUSAL, id_of, note
from ccweb.together import Together, TooLate
from segments import streaks
from segments.recommendations import recommend_each

JSON = "application/json"
LOCK_NOT_AVAILABLE = "55P03"  # an SQLSTATE
ODD = ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", REFUSAL)
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_AUTHORIZATION")
CHANGING = re.compile("content-(type|length)|ratelimit.*|x-request-id|idempotent-replayed", re.IGNORECASE)
USER = re.compile("/api/user-segments/([1-9][0-9]{0,18})/recommendation")
Headers = list[tuple[str, str]]
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Outcome = tuple[int, dict[str, Any], dict[str, str]]  # status, body, headers


class Odd(Exception):
    """This request is Django's."""


class Order(NamedTuple):
    """What one request asks for, when nothing about it is odd."""

    argument: Any
    limits: Sequence[Limit]
    origin: str  # its request id


class Line(NamedTuple):
    """One kind of request: its method and route, its key's scope, what is taken from it (raises Odd) and the work.

    `take` also says whether somebody else's transaction may hold the request up: such ones are served apart, so that
    they hold up nobody else. `questions` about the arguments of several requests go to Redis along with their limits;
    the work gets the answers.
    """

    method: str
    route: str
    scope: str
    take: Callable[[Environ], tuple[Any, bool]]
    questions: Callable[[Sequence[Any]], Sequence[Call]]
    work: Callable[[Sequence[Order], Sequence[Any] | None], Sequence[Outcome]]


def _action(environ: Environ) -> tuple[dict[str, Any], bool]:
    """The cleaned fields of one action, and whether its event_id is the client's, which others may be storing too.

    Without one it gets its event_id here: what is tried again must not be stored as another action.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if environ.get("CONTENT_TYPE") != JSON or not (length.isdecimal() and 0 < int(length) <= MAX_OBJECT_BYTES):
        raise Odd
    body = environ["wsgi.input"].getvalue()  # in memory (ccweb.bodies); Django can still read it
    if len(body) < int(length) or not body.startswith(b"{"):
        raise Odd
    try:
        action = ActionViewSet().clean(parse_json(body))
    except APIException:
        raise Odd from None
    return {"event_id": new_event_id()} | action, "event_id" in action


def _user_id(environ: Environ) -> tuple[int, bool]:
    found = USER.fullmatch(environ["PATH_INFO"])
    if found is None or int(found[1]) > MAX_USER_ID or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
        raise Odd
    return int(found[1]), False


def _record(orders: Sequence[Order], asked: Sequence[Any] | None) -> Sequence[Outcome]:
    actions, origins = [order.argument for order in orders], [order.origin for order in orders]
    return list(map(ActionViewSet().outcome, record_actions(actions=actions, origins=origins)))


def _recommend(orders: Sequence[Order], asked: Sequence[Any] | None) -> Sequence[Outcome]:
    return [(200, found.as_json(), {}) for found in recommend_each([order.argument for order in orders], asked)]


ACTION = Line("POST", "api/actions", ActionViewSet.scopes["POST"], _action, lambda actions: (), _record)
RECOMMENDATION = Line(
    "GET",
    "api/user-segments/<user_id:user_id>/recommendation",
    "segments:read",
    _user_id,
    lambda user_ids: (streaks.question(user_ids),),
    _recommend,
)


class Express:
    """A WSGI application around Django's: a list of bytes when it has answered, else Django's response."""

    def __init__(self, django: Callable[[Environ, StartResponse], HttpResponseBase]) -> None:
        self._django = django
        self._headers: dict[tuple[str, bool], Headers] = {}  # what Django's answers have in common, by route and HTTPS
        ways = [(line, apart) for line in (ACTION, RECOMMENDATION) for apart in (False, True)]
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
            order, flight = Order(argument, limits_of(meta), id_of(environ)), deadlines.current()
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


def line_of(environ: Environ) -> Line | None:
    """Which line a request may take."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if method == "POST" and path == "/api/actions":
        return ACTION
    return RECOMMENDATION if method == "GET" and path.endswith("/recommendation") else None


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
    flight = deadlines.current()
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
