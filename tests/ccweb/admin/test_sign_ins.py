"""Every attempt to sign in to the admin has a log line of its own."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.support.secret_scanner import LineRecorder

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "fixed_clock", "boss")]
PASSWORD = "a long enough password"


@pytest.fixture
def boss(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture
def lines() -> Iterator[LineRecorder]:
    recorder, logger = LineRecorder(), logging.getLogger("ccweb.admin.sign_ins")
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    yield recorder
    logger.removeHandler(recorder)


def sign_in(password: str, name: str = "boss") -> Client:
    client = Client(REMOTE_ADDR="203.0.113.9", headers={"X-Request-ID": "web-42"})
    client.post("/admin/login/?next=/admin/", {"username": name, "password": password})
    return client


def logged(lines: LineRecorder) -> list[tuple[Any, ...]]:
    """Level, message, account and client of each line; all are lines of this request."""
    found = [json.loads(line) for line in lines.text]
    assert {line["request_id"] for line in found} == {"web-42"}
    return [(line["level"], line["message"], line.get("staff"), line["client"]) for line in found]


@pytest.fixture(autouse=True)
def not_only_loopback(settings: Any) -> None:
    settings.DEBUG = settings.API_IS_OPEN = False


def test_a_good_sign_in_names_the_account_and_the_address(lines: LineRecorder) -> None:
    sign_in(PASSWORD)
    assert logged(lines) == [("INFO", "signed in: boss from 203.0.113.9", "boss", "203.0.113.9")]


def test_a_bad_one_names_the_account_if_there_is_one(lines: LineRecorder) -> None:
    sign_in("wrong")
    sign_in("wrong", "my secret password")
    assert logged(lines) == [
        ("WARNING", "sign-in refused: boss from 203.0.113.9", "boss", "203.0.113.9"),
        ("WARNING", "sign-in refused: unknown user from 203.0.113.9", None, "203.0.113.9"),
    ]
    assert "my secret" not in "".join(lines.text)


def test_the_right_password_of_somebody_who_is_no_staff_is_a_bad_one(
    lines: LineRecorder, django_user_model: Any
) -> None:
    django_user_model.objects.create_user("guest", password=PASSWORD)
    sign_in(PASSWORD, "guest")
    assert [line[:3] for line in logged(lines)] == [
        ("WARNING", "sign-in refused: guest from 203.0.113.9", "guest"),
    ]


def test_a_lock_out_is_told_from_a_refusal(lines: LineRecorder) -> None:
    for _ in range(11):
        sign_in("wrong")
    said = [line[1] for line in logged(lines)]
    assert said == ["sign-in refused: boss from 203.0.113.9"] * 10 + ["sign-in locked out: boss from 203.0.113.9"]
