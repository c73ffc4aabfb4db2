"""The event loop answers the fast routes as Django does, or leaves the request to Django untouched."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from pytest_django import Settings

from actions.fast_path import record_route
from actions.models import OutboxMessage, UserAction
from ccweb.api.models import create_key
from ccweb.events.erasure import mark_erased
from ccweb.server.event_loop import EventLoop
from ccweb.server.request_metrics import EVENTS, REQUESTS
from segments.recommendations.fast_path import recommendation_route
from tests.support.deployment import Answer
from tests.support.os_processes import free_port
from tests.support.rsgi import Client, Request
from tests.support.secret_scanner import LineRecorder

pytestmark = pytest.mark.django_db(transaction=True)
ID = "0192f0c4-6c2a-7a31-8f00-0123456789ab"
NOW = datetime.now(UTC).isoformat()
ACTION = {"user_id": 7, "action_type": "purchase", "value": "19.99", "event_id": ID, "action_timestamp": NOW}
OF_USER = "/api/user-segments/7/recommendation"
OF_TIME = ("RateLimit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-ID", "Content-Length")
BY_DJANGO = {"Accept": "application/json, */*;q=0.1"}  # an answer may vary by it, so Django answers


class Watched(WSGIHandler):
    """Django's handler, and the requests it was given: method, path, query, some headers, body."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Any, ...]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponse:
        names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_AUTHORIZATION", "CONTENT_LENGTH", "CONTENT_TYPE")
        self.given.append((*(environ.get(name, "") for name in names), environ["wsgi.input"].getvalue()))
        response: HttpResponse = super().__call__(environ, start_response)
        return response


class FastClient(Client):
    """Sends to an EventLoop with the product's fast routes; `django.given` is what it left to Django."""

    def __init__(self) -> None:
        self.django = Watched()
        super().__init__(EventLoop(self.django, [record_route(), recommendation_route()]))

    def one(self, *request: Any, **more: Any) -> Answer:
        (answer,) = self.send(Request(*request, **more))
        return answer


@pytest.fixture
def make_client(redis_client: redis.Redis) -> Iterator[Callable[[], FastClient]]:
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite Django answers every request")
    made: list[FastClient] = []

    def make() -> FastClient:
        made.append(FastClient())
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[[], FastClient]) -> FastClient:
    return make_client()


def lasting(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What two answers to the same request have in common."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_TIME}
    return answer.status, headers, answer.json()


def stored_as(status: str, client: FastClient) -> None:
    """Bring about the verdict on ACTION."""
    if status == "erased":
        mark_erased(7)
    elif status != "accepted":
        client.one("POST", "/api/actions", ACTION if status == "duplicate" else ACTION | {"value": "1.00"})


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    ("verdict", "status"), [("accepted", 201), ("duplicate", 200), ("conflict", 409), ("erased", 410)]
)
def test_an_action_is_answered_as_by_django(client: FastClient, verdict: str, status: int, as_list: bool) -> None:
    stored_as(verdict, client)
    body = [ACTION, ACTION] if as_list else ACTION
    quick = client.one("POST", "/api/actions", body)
    assert not client.django.given
    assert quick.status == (({200: 201, 201: 201}.get(status, 207)) if as_list else status)
    if verdict == "accepted":
        UserAction.objects.filter(user_id=7).delete()
    assert lasting(quick) == lasting(client.one("POST", "/api/actions", body, BY_DJANGO))
    assert len(client.django.given) == 1


def test_a_recommendation_is_answered_as_by_django(client: FastClient) -> None:
    quick = client.one("GET", OF_USER)
    assert not client.django.given
    assert lasting(quick) == lasting(client.one("GET", OF_USER, None, BY_DJANGO))


def test_a_list_without_ids_is_stored_and_queued_in_its_order(client: FastClient) -> None:
    actions = [{"user_id": n, "action_type": "click", "value": f"{n}.50"} for n in range(1, 301)]
    answer = client.one("POST", "/api/actions", actions)
    assert (answer.status, answer.json()["accepted"], len(client.django.given)) == (201, 300, 0)
    stored = UserAction.objects.order_by("id").values_list("event_id", "user_id")
    assert [(str(event_id), user_id) for event_id, user_id in stored] == [
        (item["event_id"], n) for n, item in enumerate(answer.json()["items"], 1)
    ]
    payloads = [
        json.loads(payload) for payload in OutboxMessage.objects.order_by("id").values_list("payload", flat=True)
    ]
    assert [(p["user_id"], p["value"]) for p in payloads] == [(n, f"{n}.50") for n in range(1, 301)]


def test_requests_at_once_share_statements_and_each_gets_its_own_answer(client: FastClient) -> None:
    lists = [Request("POST", "/api/actions", [{"user_id": n, "action_type": "a"}] * n) for n in range(1, 6)]
    singles = [Request("POST", "/api/actions", {"user_id": 100 + n, "action_type": "b"}) for n in range(20)]
    gets = [Request("GET", f"/api/user-segments/{n}/recommendation") for n in range(1, 11)]
    answers = client.send(*lists, *singles, *gets)
    assert [answer.json()["accepted"] for answer in answers[:5]] == [1, 2, 3, 4, 5]
    assert [answer.json()["user_id"] for answer in answers[5:]] == [*range(100, 120), *range(1, 11)]
    assert not client.django.given
    assert UserAction.objects.count() == OutboxMessage.objects.count() == 35


@pytest.mark.parametrize(
    ("streak", "days", "degraded"),
    [(None, 0, []), (b"3", 3, []), (b"junk", 0, ["streak"]), ([b"a list"], 0, ["streak"])],
)
def test_a_streak_that_is_read_along_with_the_limits_is_read_as_by_django(
    client: FastClient, redis_client: redis.Redis, streak: Any, days: int, degraded: list[str]
) -> None:
    if isinstance(streak, list):
        redis_client.rpush("user:7:streak_count", *streak)
    elif streak:
        redis_client.set("user:7:streak_count", streak)
    quick = client.one("GET", OF_USER)
    assert not client.django.given
    assert (quick.json()["streak_count"], quick.json()["degraded"]) == (days, degraded)
    assert lasting(quick) == lasting(client.one("GET", OF_USER, None, BY_DJANGO))


def test_without_redis_the_answer_is_degraded_and_still_not_djangos(client: FastClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    quick = client.one("GET", OF_USER)
    assert (quick.status, quick.json()["degraded"], quick.headers["RateLimit-Local"]) == (200, ["streak"], "?1")
    assert not client.django.given


def test_a_redis_that_closed_the_connection_is_asked_again(client: FastClient, redis_client: redis.Redis) -> None:
    client.one("GET", OF_USER)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    again = client.one("GET", OF_USER)
    assert (again.status, again.json()["degraded"], "RateLimit-Local" in again.headers) == (200, [], False)


def test_a_session_that_postgresql_has_ended_is_replaced(client: FastClient) -> None:
    client.one("POST", "/api/actions", {"user_id": 1, "action_type": "x"})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'WITH sent%'"
        )
        assert cursor.rowcount == 1
    assert client.one("POST", "/api/actions", {"user_id": 1, "action_type": "x"}).status == 201


ODD = [
    Request("GET", "/api/user-segments/0/recommendation"),
    Request("GET", f"/api/user-segments/{2**63}/recommendation"),
    Request("GET", OF_USER, query_string="a=1"),
    Request("GET", OF_USER, headers={"Accept": "application/xml"}),
    Request("GET", OF_USER, headers={"Host": "evil.com"}),
    Request("GET", OF_USER, headers={"Authorization": "Api-Key abcdefgh.wrong"}),
    Request("GET", OF_USER, headers={"Origin": "https://shop.example"}),
    Request("GET", OF_USER, headers={"Cookie": "a=b"}),
    Request("GET", OF_USER, headers={"Authorization": "Api-Key abcdefgh.\u00e9"}),
    Request("GET", OF_USER, more_headers=[("Accept", "application/json")]),
    Request("GET", OF_USER, client="10.0.0.1:1000"),
    Request("GET", OF_USER, headers={"X-Forwarded-For": "10.0.0.1"}),
    Request("HEAD", OF_USER),
    Request("GET", OF_USER, {"a": "body"}),
    Request("POST", "/api/actions", b'{"user_id": 1, "action_type": "x", "value": 1e99999999999999999999}'),
    Request("DELETE", "/api/actions"),
    Request("POST", "/api/actions"),
    Request("POST", "/api/actions", []),
    Request("POST", "/api/actions", [ACTION] * 1001),
    Request("POST", "/api/actions", [ACTION, ACTION | {"value": "x"}]),
    Request("POST", "/api/actions", ACTION | {"value": "x"}),
    Request("POST", "/api/actions", b'{"user_id": 1, "user_id": 2, "action_type": "x"}'),
    Request("POST", "/api/actions", ACTION, {"Content-Length": "1000"}),
    Request("POST", "/api/actions", ACTION, {"Content-Type": "text/plain"}),
    Request("POST", "/api/actions", ACTION, {"Content-Encoding": "gzip"}),
    Request("POST", "/api/actions/", ACTION),
    Request("POST", "/api/actions", b" " + json.dumps(ACTION).encode()),
    Request("POST", "/api/actions", {**ACTION, "note": "x" * 70_000}),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd.method} {odd.path[:50]}")
def test_what_is_odd_is_left_to_django_as_it_came(client: FastClient, odd: Request) -> None:
    client.send(odd)
    sent = dict(odd.scope().headers.items()) | ({"authorization": "\ufffd"} if "\u00e9" in str(odd.headers) else {})
    expected = [sent.get(name, "") for name in ("authorization", "content-length", "content-type")]
    assert client.django.given == [(odd.method, odd.path, odd.query_string, *expected, odd.raw)]


def test_a_chunked_body_is_not_read(client: FastClient) -> None:
    chunked = Request("POST", "/api/actions", ACTION, {"Transfer-Encoding": "chunked", "Content-Length": ""})
    (answer,) = client.send(chunked)
    assert (answer.status, client.django.given[0][-1]) == (411, b"")


@pytest.mark.parametrize("path", ["/api/actions", "/admin/login/"])
@pytest.mark.parametrize(
    ("size", "expect"), [(1024 * 1024 + 1, {}), (17 * 1024 * 1024, {}), (2**21, {"Expect": "100-continue"})]
)
def test_a_body_that_no_path_takes_is_413(client: FastClient, path: str, size: int, expect: dict[str, str]) -> None:
    answer = client.one("POST", path, b"[" * size, expect)
    assert (answer.status, client.django.given[0][-1]) == (413, b"")


@pytest.mark.usefixtures("fixed_clock")
def test_each_request_counts_once_in_the_limits_whichever_way_it_goes(client: FastClient, settings: Settings) -> None:
    settings.THROTTLE_ADDRESS = 4
    requests = [
        Request("GET", OF_USER),
        Request("GET", "/api/user-segments"),
        Request("GET", OF_USER, query_string="a=1"),
    ]
    left = [client.send(request)[0].headers["RateLimit-Remaining"] for request in requests]
    assert left == ["3", "2", "1"]
    assert [client.one("GET", OF_USER).status for _ in range(3)] == [200, 429, 429]
    refused = client.one("GET", OF_USER)
    assert lasting(refused) == lasting(client.one("GET", OF_USER, None, BY_DJANGO))


@pytest.mark.usefixtures("fixed_clock")
def test_of_requests_at_once_exactly_the_limit_passes(client: FastClient, settings: Settings) -> None:
    settings.THROTTLE_ADDRESS = 5
    answers = client.send(*(Request("POST", "/api/actions", {"user_id": n, "action_type": "x"}) for n in range(1, 21)))
    assert sorted(answer.status for answer in answers) == [201] * 5 + [429] * 15
    assert UserAction.objects.count() == 5


@pytest.mark.parametrize(("scope", "status"), [("actions:write", 201), ("actions:read", 403)])
def test_a_key_may_what_its_scope_says(client: FastClient, settings: Settings, scope: str, status: int) -> None:
    settings.API_IS_OPEN = False
    _, key = create_key(name="web", scopes=[scope])
    request = Request("POST", "/api/actions", ACTION, {"Authorization": f"Api-Key {key}"})
    assert client.send(request)[0].status == status  # Django looks the key up
    client.django.given.clear()
    assert client.send(request)[0].status == (200 if status == 201 else status)
    assert len(client.django.given) == (status == 403)
    assert client.one("POST", "/api/actions", ACTION).status == 401


def test_a_revoked_key_is_refused_when_its_time_in_the_cache_is_over(client: FastClient, settings: Settings) -> None:
    settings.API_IS_OPEN = False
    row, key = create_key(name="web", scopes=["segments:read"])
    request = Request("GET", OF_USER, None, {"Authorization": f"Api-Key {key}"})
    assert [client.send(request)[0].status for _ in range(2)] == [200, 200]
    row.revoked = True
    row.save()
    begun = datetime.now(UTC)
    while client.send(request)[0].status == 200:
        assert (datetime.now(UTC) - begun).total_seconds() < 1
    assert client.send(request)[0].status == 401


@pytest.mark.usefixtures("fixed_clock")
def test_a_client_that_guesses_keys_beyond_its_limit_looks_none_up(
    client: FastClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.THROTTLE_ADDRESS, settings.API_IS_OPEN = 1, False
    guesses = [{"Authorization": f"Api-Key {'a' * 8}.{str(n) * 43}"} for n in range(2)]
    assert client.one("GET", OF_USER, None, guesses[0]).status == 401
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", free_port())  # a query would be a 503
    assert client.one("GET", OF_USER, None, guesses[1]).status == 429


def test_plain_http_is_refused_in_production(settings: Settings, make_client: Callable[[], FastClient]) -> None:
    settings.SECURE_SSL_REDIRECT, settings.API_IS_OPEN = True, False
    _, key = create_key(name="test", scopes=["segments:read"])
    client = make_client()  # Django's middleware reads the setting at its start
    secure = {"X-Forwarded-Proto": "https", "Authorization": f"Api-Key {key}"}
    assert client.one("GET", OF_USER).status == 403
    client.one("GET", OF_USER, None, secure)  # from now on the key is in the cache
    client.django.given.clear()
    quick = client.one("GET", OF_USER, None, secure)
    assert not client.django.given
    assert lasting(quick) == lasting(client.one("GET", OF_USER, None, secure | BY_DJANGO))
    assert client.one("GET", OF_USER, None, secure, client="10.0.0.1:1").status == 403


class VaryingMiddleware:
    """Adds headers, one of which depends on a header of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["X-Always"], response["X-Shop-Was"] = "here", request.headers.get("X-Shop", "none")
        response["Vary"] = "X-Shop"
        return response


def test_headers_of_a_middleware_are_there_and_what_varies_is_shared_with_no_other_request(
    settings: Settings, make_client: Callable[[], FastClient]
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.VaryingMiddleware"]
    client = make_client()
    quick = client.one("GET", OF_USER)
    assert (quick.headers["X-Always"], quick.headers["X-Shop-Was"], len(client.django.given)) == ("here", "none", 0)
    for shop in ("one", "two"):
        assert client.one("GET", OF_USER, None, {"X-Shop": shop}).headers["X-Shop-Was"] == shop
    assert client.one("GET", OF_USER).headers["X-Shop-Was"] == "none"
    assert lasting(quick) == lasting(client.one("GET", OF_USER, None, BY_DJANGO))


def test_a_database_that_is_away_is_503(client: FastClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", free_port())
    answer = client.one("POST", "/api/actions", ACTION)
    assert (answer.status, answer.headers["Retry-After"], answer.json()["status"]) == (503, "2", 503)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not client.django.given


def test_a_read_only_replica_is_503(make_client: Callable[[], FastClient]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        alter = f"ALTER DATABASE {cursor.fetchone()[0]}"
        cursor.execute(f"{alter} SET default_transaction_read_only = on")
        try:
            answer = make_client().one("POST", "/api/actions", ACTION)
        finally:
            cursor.execute(f"{alter} RESET default_transaction_read_only")
    assert (answer.status, answer.json()["detail"]) == (503, "The database does not answer; try again.")


def test_it_is_counted_and_logged_like_any_other(client: FastClient, caplog: pytest.LogCaptureFixture) -> None:
    requests, events = REQUESTS.labels("POST", "api/actions", 201), EVENTS.labels("actions", "accepted")
    before = requests._value.get(), events._value.get()
    lines = LineRecorder()
    caplog.set_level(logging.INFO, "ccweb.requests")
    logging.getLogger("ccweb.requests").addHandler(lines)
    try:
        answer = client.one("POST", "/api/actions", ACTION, {"X-Request-ID": "web-42"})
        client.one("POST", "/api/actions", [{"user_id": 1, "action_type": "x"}] * 5, {"X-Request-ID": "web-43"})
    finally:
        logging.getLogger("ccweb.requests").removeHandler(lines)
    assert (requests._value.get(), events._value.get()) == (before[0] + 2, before[1] + 6)
    found = list(map(json.loads, lines.text))
    assert [(line["message"], line["request_id"]) for line in found] == [
        ("POST /api/actions 201", "web-42"),
        ("POST /api/actions 201", "web-43"),
    ]
    assert answer.headers["X-Request-ID"] == "web-42"
    assert {m.headers["request_id"] for m in OutboxMessage.objects.all()} == {"web-42", "web-43"}
