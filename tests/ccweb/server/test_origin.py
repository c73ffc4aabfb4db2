"""Who sent a request: in its log line, with what it stored, and in the message; by the event loop and by Django."""

import json
import logging
from collections.abc import Iterator

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import Settings

from actions.models import OutboxMessage, UserAction
from ccweb.api.models import ApiKey, create_key
from ccweb.request.origin import Origin
from ccweb.server import request_metrics
from ccweb.server.request_metrics import BY_KEY, AnsweredRequest, count_requests
from tests.ccweb.server.test_fast_path import BY_DJANGO, FastClient
from tests.support.rsgi import Request
from tests.support.secret_scanner import LineRecorder
from visits.models import SiteVisit

pytestmark = pytest.mark.django_db(transaction=True)
ACTION = {"user_id": 7, "action_type": "login"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
CLIENT = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
WHO = ("client", "key", "refused_key", "staff", "trace_id")


@pytest.fixture(autouse=True)
def production(settings: Settings) -> None:
    settings.DEBUG = settings.API_IS_OPEN = False


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[FastClient]:
    client = FastClient()
    yield client
    client.close()


@pytest.fixture
def lines() -> Iterator[LineRecorder]:
    recorder, logger = LineRecorder(), logging.getLogger("ccweb.requests")
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    yield recorder
    logger.removeHandler(recorder)


def said(lines: LineRecorder) -> list[dict[str, str]]:
    """What each line says of who sent the request."""
    found = [json.loads(line) for line in lines.text]
    return [{name: line[name] for name in WHO if name in line} for line in found]


def new_key(name: str = "web shop") -> tuple[str, dict[str, str]]:
    """The prefix of a new key, and the header that sends it."""
    row, key = create_key(name=name, scopes=["actions:write", "visits:write"])
    return row.prefix, {"Authorization": f"Api-Key {key}"}


@pytest.mark.parametrize("by_django", [True, False])
def test_key_client_and_trace_are_in_the_line_the_row_and_the_message(
    client: FastClient, lines: LineRecorder, by_django: bool
) -> None:
    if not by_django and connection.vendor != "postgresql":
        pytest.skip("on SQLite Django answers every request")
    prefix, header = new_key()
    sent = CLIENT | header | {"traceparent": TRACEPARENT}
    client.one("POST", "/api/actions", ACTION, sent | BY_DJANGO)  # from now on the key is in the cache
    before, asked = BY_KEY.labels("web shop")._value.get(), len(client.django.given)
    answer = client.one("POST", "/api/actions", ACTION, sent | (BY_DJANGO if by_django else {}))
    assert len(client.django.given) - asked == by_django
    assert said(lines)[1] == {"client": "203.0.113.9", "key": prefix, "trace_id": TRACE}
    assert BY_KEY.labels("web shop")._value.get() == before + 1
    assert (answer.status, set(answer.json())) == (201, {*ACTION, "event_id", "value", "action_timestamp", "order_id"})
    assert UserAction.objects.latest("id").recorded_by == prefix
    assert OutboxMessage.objects.latest("id").headers["traceparent"] == TRACEPARENT


def test_requests_of_one_batch_keep_their_own_key_and_trace(client: FastClient, lines: LineRecorder) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite Django answers every request")
    keys = [new_key(name) for name in ("web shop", "app", "till")]
    for _, header in keys:
        client.one("POST", "/api/actions", ACTION, CLIENT | header | BY_DJANGO)
    lines.text.clear()
    traces = [f"{number:032x}" for number in range(1, 25)]
    requests = [
        Request(
            "POST",
            "/api/actions",
            {"user_id": 100 + n, "action_type": "login"},
            CLIENT | keys[n % 3][1] | ({"traceparent": f"00-{trace}-00f067aa0ba902b7-00"} if n % 2 else {}),
        )
        for n, trace in enumerate(traces)
    ]
    asked = len(client.django.given)
    assert {answer.status for answer in client.send(*requests)} == {201}
    assert len(client.django.given) == asked
    expected = {100 + n: (keys[n % 3][0], trace if n % 2 else "") for n, trace in enumerate(traces)}
    rows = dict(UserAction.objects.filter(user_id__gte=100).values_list("user_id", "recorded_by"))
    messages = OutboxMessage.objects.exclude(key="7").values_list("key", "headers")
    found = {int(key): (rows[int(key)], headers.get("traceparent", "")[3:35]) for key, headers in messages}
    assert found == expected
    logged = sorted((line["key"], line.get("trace_id", "")) for line in said(lines))
    assert logged == sorted(expected.values())


@pytest.mark.parametrize("path", ["/api/actions", "/healthz", "/api/nothing"])
def test_what_is_not_known_is_left_out(client: FastClient, lines: LineRecorder, path: str) -> None:
    logging.getLogger("ccweb.requests").setLevel(logging.DEBUG)
    client.one("GET", path, None, CLIENT | {"traceparent": "00-odd"})
    client.one("GET", path, None, CLIENT | {"X-Forwarded-For": "nonsense"})
    assert said(lines) == [{"client": "203.0.113.9"}, {}]


@pytest.mark.parametrize("sent", ["revoked", "unknown"])
def test_a_refused_key_is_told_from_one_that_was_used(client: FastClient, lines: LineRecorder, sent: str) -> None:
    prefix, header = new_key()
    if sent == "revoked":
        ApiKey.objects.update(revoked=True)
    else:
        header = {"Authorization": f"Api-Key {prefix}.{'x' * 43}"}
    before = BY_KEY.labels("(none)")._value.get()
    assert client.one("POST", "/api/actions", ACTION, CLIENT | header).status == 401
    assert said(lines) == [{"client": "203.0.113.9", "refused_key": prefix}]
    assert BY_KEY.labels("(none)")._value.get() == before + 1


def test_no_part_of_what_is_no_key_of_ours_is_logged(client: FastClient, lines: LineRecorder) -> None:
    header = {"Authorization": "Api-Key hunter2-hunter2"}
    assert client.one("POST", "/api/actions", ACTION, CLIENT | header).status == 401
    assert said(lines) == [{"client": "203.0.113.9"}]


def test_a_visit_has_its_key_too() -> None:
    prefix, header = new_key()
    sent = {"user_id": 7, "source": "ad"}
    answer = Client().post("/api/notify/site_visit", sent, "application/json", headers=CLIENT | header)
    assert (answer.status_code, "recorded_by" in answer.json()) == (201, False)
    assert SiteVisit.objects.get().recorded_by == prefix


def test_without_a_key_nothing_is_recorded(settings: Settings) -> None:
    settings.API_IS_OPEN, settings.SECURE_SSL_REDIRECT = True, False
    Client().post("/api/actions", ACTION, "application/json")
    assert UserAction.objects.get().recorded_by is None


def test_a_page_of_the_admin_names_its_reader(lines: LineRecorder) -> None:
    prefix, header = new_key()
    Client().post("/api/actions", ACTION, "application/json", headers=CLIENT | header)
    staff = Client(headers=CLIENT)
    staff.force_login(User.objects.create_superuser("anna"))
    action = UserAction.objects.get()
    for page in ("/admin/actions/useraction/", f"/admin/actions/useraction/{action.pk}/change/"):
        assert prefix in staff.get(page).content.decode()
    assert said(lines)[1:] == [{"client": "203.0.113.9", "staff": "anna"}] * 2


def test_many_names_of_keys_share_one_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_metrics, "MAX_KEY_NAMES", len(request_metrics._key_counters) + 1)
    before = BY_KEY.labels("(other)")._value.get()
    answered = [
        AnsweredRequest("GET", "/", "x", 200, 0.0, None, Origin(key_name=f"one of many {n}"), 0.0) for n in range(3)
    ]
    count_requests(answered)
    assert BY_KEY.labels("(other)")._value.get() == before + 2
