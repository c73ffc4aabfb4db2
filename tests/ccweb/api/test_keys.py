"""API keys: authentication, scopes and expiry."""

import io
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from actions.models import UserAction
from ccweb.api import authentication
from ccweb.api.authentication import (
    CACHE_SECONDS,
    META_KEY,
    REFRESH_TIMEOUT_SECONDS,
    KeyCache,
    PresentedKey,
    digest,
    presented_key,
)
from ccweb.api.models import SCOPES, ApiKey, create_key

pytestmark = pytest.mark.django_db
ACTION = {"user_id": 7, "action_type": "login"}


@pytest.fixture(autouse=True)
def keys_are_on(settings: Settings) -> None:
    settings.API_IS_OPEN = False


class Clock:
    """A clock that tests advance, so that cached keys do not expire because a machine is busy."""

    def __init__(self) -> None:
        self._now = time.monotonic()

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of the key cache."""
    clock = Clock()
    monkeypatch.setattr(authentication, "time", clock)
    return clock


def key(*scopes: str, **more: Any) -> str:
    return create_key(name="test", scopes=scopes or SCOPES, **more)[1]


def call(method: str, path: str, sent: str | None, body: Any = None) -> Any:
    headers = {} if sent is None else {"Authorization": f"Api-Key {sent}"}
    data = body if body is not None else ACTION
    return Client().generic(method, path, json.dumps(data), content_type="application/json", headers=headers)


def test_a_key_with_the_scope_is_let_in() -> None:
    assert call("POST", "/api/actions", key("actions:write")).status_code == 201
    assert UserAction.objects.count() == 1


def test_the_scheme_is_read_in_any_case() -> None:
    answer = Client().get("/api/actions", headers={"Authorization": f"api-key {key('actions:read')}"})
    assert answer.status_code == 200


def test_a_key_without_the_scope_is_told_which_one_it_lacks() -> None:
    answer = call("POST", "/api/actions", key("actions:read"))
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "This needs an API key with the scope actions:write."
    assert not UserAction.objects.exists()


def refused_keys() -> dict[str, str | None]:
    revoked, expired = key(), key()
    ApiKey.objects.filter(prefix=revoked[:8]).update(revoked=True)
    ApiKey.objects.filter(prefix=expired[:8]).update(expiry_date=timezone.now() - timedelta(seconds=1))
    return {
        "none": None,
        "unknown": "abcdefgh." + "x" * 43,
        "wrong secret": key()[:8] + "." + "x" * 43,
        "revoked": revoked,
        "expired": expired,
        "empty": "",
        "a nul": "abcdefgh.\0" + "x" * 42,
        "not ascii": "abcdefgh." + "é" * 43,
    }


def test_all_invalid_keys_get_the_same_401() -> None:
    answers = {name: call("POST", "/api/actions", sent) for name, sent in refused_keys().items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert {answer["WWW-Authenticate"] for answer in answers.values()} == {"Api-Key"}
    assert {answer["Content-Type"] for answer in answers.values()} == {"application/problem+json"}
    assert len({answer.content for answer in answers.values()}) == 1
    assert not UserAction.objects.exists()


def test_a_key_in_the_query_string_is_no_key() -> None:
    assert Client().get("/api/actions", {"api_key": key()}).status_code == 401
    assert call("GET", f"/api/actions?api_key={key()}", key()).status_code == 400


def test_another_scheme_is_no_key() -> None:
    for header in (f"Bearer {key()}", "Basic dTpw", key(), "Api-Key"):
        assert Client().get("/api/actions", headers={"Authorization": header}).status_code == 401


def test_a_staff_session_is_no_key(admin_client: Client) -> None:
    answer = admin_client.post("/api/actions", ACTION, content_type="application/json")
    assert answer.status_code == 401
    assert not UserAction.objects.exists()


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs"])
def test_the_schema_needs_any_key_or_a_staff_session(path: str, admin_client: Client, client: Client) -> None:
    refused = client.get(path)
    assert refused.status_code == 401
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == 401
    assert call("GET", path, key("visits:write")).status_code == 200
    assert admin_client.get(path).status_code == 200


def test_the_schema_is_not_for_a_signed_in_user_who_is_not_staff(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("customer"))
    assert client.get("/api/schema").status_code == 401


def test_two_keys_are_valid_while_rotating() -> None:
    old, new = key(), key()
    assert [call("GET", "/api/actions", each).status_code for each in (old, new)] == [200, 200]


@pytest.mark.parametrize("change", [{"revoked": True}, {"expiry_date": timezone.now()}, {"scopes": ["visits:read"]}])
def test_a_change_of_a_key_takes_effect_within_a_second(change: dict[str, Any], clock: Clock) -> None:
    sent = key()
    assert call("GET", "/api/actions", sent).status_code == 200
    ApiKey.objects.filter(prefix=sent[:8]).update(**change)
    clock.sleep(1)
    assert call("GET", "/api/actions", sent).status_code in (401, 403)


def test_a_key_is_looked_up_once_for_many_requests(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    sent = key()
    with django_assert_num_queries(4):  # the key, its last use, and one page each
        call("GET", "/api/actions", sent)
        call("GET", "/api/actions", sent)


def test_the_last_use_is_written_at_most_once_a_minute(clock: Clock) -> None:
    sent = key()
    call("GET", "/api/actions", sent)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    clock.sleep(1)
    call("GET", "/api/actions", sent)
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    clock.sleep(1)
    call("GET", "/api/actions", sent)
    assert ApiKey.objects.get().last_used_at > first


def test_only_a_hash_is_stored() -> None:
    row, sent = create_key(name="test", scopes=["actions:read"])
    secret = sent.partition(".")[2]
    stored = " ".join(str(value) for value in ApiKey.objects.values_list().get(pk=row.pk))
    assert secret not in stored
    assert len(secret) == 43


def test_create_api_key_prints_a_key_that_works_and_nothing_else_on_stdout() -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command(
        "create_api_key", "shop", "--scope", "actions:write", "actions:read", "--days", "1", stdout=out, stderr=err
    )
    sent = out.getvalue().strip()
    assert call("POST", "/api/actions", sent).status_code == 201
    row = ApiKey.objects.get()
    assert (row.name, row.scopes) == ("shop", ["actions:read", "actions:write"])
    assert sent not in err.getvalue()
    assert "not shown again" in err.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["shop"],
        ["shop", "--scope"],
        ["shop", "--scope", "root"],
        ["shop", "--scope", "actions:read", "--days", "-1"],
        ["shop", "--scope", "actions:read", "--days", "4000000"],
        ["", "--scope", "actions:read"],
        ["  ", "--scope", "actions:read"],
        ["two\nlines", "--scope", "actions:read"],
        ["\udcff", "--scope", "actions:read"],
    ],
)
def test_create_api_key_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_key", *arguments)
    assert not ApiKey.objects.exists()


def test_processes_that_note_a_use_at_once_write_it_once() -> None:
    prefix, now = key()[:8], timezone.now()
    assert [ApiKey.objects.touch_last_used(prefix, now) for _ in range(3)] == [1, 0, 0]


def test_with_debug_on_no_key_is_needed_but_one_that_is_sent_must_be_right(settings: Settings) -> None:
    settings.API_IS_OPEN = True
    sent = {"none": None, "wrong": "abcdefgh." + "x" * 43, "narrow": key("visits:read"), "right": key("actions:read")}
    assert {name: call("GET", "/api/actions", each).status_code for name, each in sent.items()} == {
        "none": 200,
        "wrong": 401,
        "narrow": 403,
        "right": 200,
    }


def presented(key: str) -> PresentedKey:
    found = presented_key({"HTTP_AUTHORIZATION": f"Api-Key {key}"})
    assert found
    return found


def test_of_those_who_come_when_a_key_is_due_again_only_the_first_refreshes_it(clock: Clock) -> None:
    cache, sent = KeyCache(), presented(key())
    assert cache.cached(sent)[0] is None
    grant = cache.get(sent)
    assert cache.cached(sent)[0] == grant is not None
    clock.sleep(CACHE_SECONDS)
    due = [cache.cached(sent) for _ in range(3)]
    assert [(found, is_due) for found, _, is_due in due] == [(grant, True), (grant, False), (grant, False)]
    cache.refresh(sent)
    found, until, is_due = cache.cached(sent)
    assert (found, until, is_due) == (grant, clock.monotonic() + CACHE_SECONDS, False)


def test_an_entry_that_is_not_refreshed_in_time_is_used_no_more(clock: Clock) -> None:
    cache, sent = KeyCache(), presented(key())
    cache.get(sent)
    clock.sleep(CACHE_SECONDS + REFRESH_TIMEOUT_SECONDS)
    assert cache.cached(sent)[0::2] == (None, False)


def test_keys_that_are_not_valid_fill_no_memory() -> None:
    cache = KeyCache()
    for number in range(1000):
        assert cache.cached(presented(f"{number:08}.{'x' * 43}"))[0] is None
    assert not cache._refreshing


def test_a_key_is_read_and_digested_once_a_request(client: Client) -> None:
    _, key = create_key(name="shop", scopes=["actions:read"])
    answer = client.get("/api/actions", headers={"Authorization": f"Api-Key {key}"})
    assert answer.status_code == 200
    meta = answer.wsgi_request.META
    assert presented_key(meta) is meta[META_KEY]
    assert meta[META_KEY] == (key, digest(key))


@pytest.mark.parametrize("header", [None, "Basic abc", "Bearer abc"])
def test_a_request_without_a_key_is_remembered_as_such(header: str | None) -> None:
    meta = {} if header is None else {"HTTP_AUTHORIZATION": header}
    assert presented_key(meta) is None
    assert meta[META_KEY] is None
