"""The short way through ccweb.server.fast_path answers as Django does, or leaves the request to Django untouched."""

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from actions.fast_path import record_route
from ccweb.api.models import create_key
from ccweb.events.erasure import mark_erased
from ccweb.server.fast_path import FastPath
from ccweb.server.request_metrics import EVENTS, REQUESTS
from segments.recommendations.fast_path import recommendation_route
from tests.support.deployment import Answer
from tests.support.secret_scanner import LineRecorder

pytestmark = pytest.mark.django_db
ID = "0192f0c4-6c2a-7a31-8f00-0123456789ab"
NOW = datetime.now(UTC).isoformat()
ACTION = {"user_id": 7, "action_type": "purchase", "value": "19.99", "event_id": ID, "action_timestamp": NOW}
OF_USER = "/api/user-segments/7/recommendation"
OF_TIME = ("RateLimit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-ID")
Environ = dict[str, Any]


def environ(method: str, path: str, body: Any = None, **more: str) -> Environ:
    """A request as granian and ccweb.server.request_body leave it."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(raw))} if raw else {}
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(raw),
        **sent,
        **more,
    }


class Watched:
    """Django's handler, and the requests it was given as they were then."""

    def __init__(self) -> None:
        self.handler, self.given = WSGIHandler(), []

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> HttpResponse:
        self.given.append(environ | {"wsgi.input": environ["wsgi.input"].getvalue()})
        return self.handler(environ, start_response)


class Client:
    """Sends to a FastPath that has learnt what it can."""

    def __init__(self) -> None:
        self.django = Watched()
        self.express = FastPath(self.django, [record_route(), recommendation_route()])
        for request in self.first():
            self.send(request)
        self.django.given.clear()

    def first(self) -> list[Environ]:
        return [environ("GET", OF_USER), environ("POST", "/api/actions", {"user_id": 1, "action_type": "x"})]

    def send(self, request: Environ, application: Any = None) -> Answer:
        told: list[Any] = []
        answer = (application or self.express)(request, lambda status, headers: told.extend([status, headers]))
        content = b"".join(answer)
        assert int(dict(told[1]).get("Content-Length", len(content))) == len(content)
        return Answer(int(told[0].split()[0]), dict(sorted(told[1])), content)


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a request would close the connection of a test, which runs inside a transaction."""
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: None)


@pytest.fixture
def client(redis_client: redis.Redis) -> Client:
    return Client()


def lasting(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What two answers to the same request have in common."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_TIME}
    return answer.status, headers, answer.json()


def stored_as(status: str) -> None:
    """Bring about the verdict on ACTION."""
    if status == "erased":
        mark_erased(7)
    elif status != "accepted":
        Client().send(environ("POST", "/api/actions", ACTION if status == "duplicate" else ACTION | {"value": "1.00"}))


@pytest.mark.parametrize(
    ("verdict", "status"), [("accepted", 201), ("duplicate", 200), ("conflict", 409), ("erased", 410)]
)
def test_an_action_is_answered_as_by_django(client: Client, verdict: str, status: int) -> None:
    stored_as(verdict)
    quick = client.send(environ("POST", "/api/actions", ACTION))
    assert not client.django.given
    assert quick.status == status
    if verdict == "accepted":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM user_actions WHERE user_id = 7")
    assert lasting(quick) == lasting(client.send(environ("POST", "/api/actions", ACTION), client.django))


def test_a_recommendation_is_answered_as_by_django(client: Client) -> None:
    quick = client.send(environ("GET", OF_USER))
    assert not client.django.given
    assert lasting(quick) == lasting(client.send(environ("GET", OF_USER), client.django))


@pytest.mark.parametrize(
    ("streak", "days", "degraded"),
    [(None, 0, []), (b"3", 3, []), (b"junk", 0, ["streak"]), ([b"a list"], 0, ["streak"])],
)
def test_a_streak_that_is_read_along_with_the_limits_is_read_as_by_django(
    client: Client, redis_client: redis.Redis, streak: Any, days: int, degraded: list[str]
) -> None:
    if isinstance(streak, list):
        redis_client.rpush("user:7:streak_count", *streak)
    elif streak:
        redis_client.set("user:7:streak_count", streak)
    quick = client.send(environ("GET", OF_USER))
    assert not client.django.given
    assert (quick.json()["streak_count"], quick.json()["degraded"]) == (days, degraded)
    assert lasting(quick) == lasting(client.send(environ("GET", OF_USER), client.django))


def test_without_redis_the_answer_is_degraded_and_still_not_djangos(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    quick = client.send(environ("GET", OF_USER))
    assert (quick.status, quick.json()["degraded"], quick.headers["RateLimit-Local"]) == (200, ["streak"], "?1")
    assert not client.django.given


@pytest.mark.parametrize(
    "request_",
    [
        environ("GET", "/api/user-segments/0/recommendation"),
        environ("GET", f"/api/user-segments/{2**63}/recommendation"),
        environ("GET", OF_USER, QUERY_STRING="a=1"),
        environ("GET", OF_USER, HTTP_ACCEPT="application/xml"),
        environ("GET", OF_USER, HTTP_HOST="evil.com"),
        environ("GET", OF_USER, HTTP_AUTHORIZATION="Api-Key abcdefgh.wrong"),
        environ("GET", OF_USER, REMOTE_ADDR="10.0.0.1"),
        environ("GET", OF_USER, HTTP_X_FORWARDED_FOR="10.0.0.1"),
        environ("HEAD", OF_USER),
        environ("GET", OF_USER, {"large": "x" * 2_000_000}),
        environ("POST", "/api/actions", b'{"user_id": 1, "action_type": "x", "value": 1e99999999999999999999}'),
        environ("DELETE", "/api/actions"),
        environ("POST", "/api/actions"),
        environ("POST", "/api/actions", [ACTION]),
        environ("POST", "/api/actions", ACTION | {"value": "x"}),
        environ("POST", "/api/actions", b'{"user_id": 1, "user_id": 2, "action_type": "x"}'),
        environ("POST", "/api/actions", ACTION, CONTENT_LENGTH="1000"),
        environ("POST", "/api/actions", ACTION, CONTENT_TYPE="text/plain"),
        environ("POST", "/api/actions", ACTION, HTTP_CONTENT_ENCODING="gzip"),
        environ("POST", "/api/actions", ACTION, HTTP_TRANSFER_ENCODING="chunked"),
        environ("POST", "/api/actions/", ACTION),
        environ("POST", "/api/actions", b" " + json.dumps(ACTION).encode()),
        environ("POST", "/api/actions", {**ACTION, "note": "x" * 70_000}),
    ],
    ids=lambda request: f"{request['REQUEST_METHOD']} {request['PATH_INFO'][:50]}",
)
def test_what_is_odd_is_left_to_django_as_it_came(client: Client, request_: Environ) -> None:
    before = request_ | {"wsgi.input": request_["wsgi.input"].getvalue()}
    client.send(request_)
    assert client.django.given == [before]


@pytest.mark.usefixtures("fixed_clock")
def test_each_request_counts_once_in_the_limits_whichever_way_it_goes(client: Client, settings: Settings) -> None:
    settings.THROTTLE_ADDRESS = 6  # two are used up
    requests = [
        environ("GET", OF_USER),
        environ("GET", "/api/user-segments"),
        environ("GET", OF_USER, QUERY_STRING="a=1"),
    ]
    left = [client.send(request).headers["RateLimit-Remaining"] for request in requests]
    assert left == ["3", "2", "1"]
    assert [client.send(environ("GET", OF_USER)).status for _ in range(3)] == [200, 429, 429]


@pytest.mark.parametrize(("scope", "status"), [("actions:write", 201), ("actions:read", 403)])
def test_a_key_may_what_its_scope_says(client: Client, settings: Settings, scope: str, status: int) -> None:
    settings.API_IS_OPEN = False
    _, key = create_key(name="web", scopes=[scope])
    request = environ("POST", "/api/actions", ACTION, HTTP_AUTHORIZATION=f"Api-Key {key}")
    assert client.send(request).status == status  # Django looks the key up
    client.django.given.clear()
    assert client.send(request).status == (200 if status == 201 else status)
    assert len(client.django.given) == (status == 403)
    assert client.send(environ("POST", "/api/actions", ACTION)).status == 401


@pytest.mark.usefixtures("fixed_clock")
def test_a_client_that_guesses_keys_beyond_its_limit_costs_no_query(client: Client, settings: Settings) -> None:
    settings.THROTTLE_ADDRESS, settings.API_IS_OPEN = 2, False
    with CaptureQueriesContext(connection) as captured:
        answer = client.send(environ("GET", OF_USER, HTTP_AUTHORIZATION=f"Api-Key {'a' * 8}.{'b' * 43}"))
    assert (answer.status, len(captured)) == (429, 0)


def test_plain_http_is_redirected_in_production(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    client.express = FastPath(
        WSGIHandler(), [record_route(), recommendation_route()]
    )  # Django's middleware reads the setting when it is made
    secure = {"HTTP_X_FORWARDED_PROTO": "https"}
    assert client.send(environ("GET", OF_USER)).status == 301
    first, second = (client.send(environ("GET", OF_USER, **secure)) for _ in range(2))
    assert lasting(first) == lasting(second)
    assert client.send(environ("GET", OF_USER, REMOTE_ADDR="10.0.0.1", **secure)).status == 403


def test_a_database_that_is_away_is_503_and_nothing_is_tried_twice(client: Client) -> None:
    tried = []

    def refuse(*arguments: Any) -> None:
        tried.append(arguments[1])
        raise OperationalError("the server closed the connection unexpectedly")

    with connection.execute_wrapper(refuse):
        answer = client.send(environ("POST", "/api/actions", ACTION))
    assert (answer.status, answer.headers["Retry-After"], answer.json()["status"]) == (503, "2", 503)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(tried) == 1
    assert not client.django.given


def test_it_is_counted_and_logged_like_any_other(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    requests, events = REQUESTS.labels("POST", "api/actions", 201), EVENTS.labels("actions", "accepted")
    before = requests._value.get(), events._value.get()
    lines = LineRecorder()
    caplog.set_level(logging.INFO, "ccweb.requests")
    logging.getLogger("ccweb.requests").addHandler(lines)
    try:
        answer = client.send(environ("POST", "/api/actions", ACTION, HTTP_X_REQUEST_ID="web-42"))
    finally:
        logging.getLogger("ccweb.requests").removeHandler(lines)
    assert (requests._value.get(), events._value.get()) == (before[0] + 1, before[1] + 1)
    [line] = map(json.loads, lines.text)
    assert (line["message"], line["request_id"]) == ("POST /api/actions 201", "web-42")
    assert answer.headers["X-Request-ID"] == "web-42"
