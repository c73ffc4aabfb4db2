"""Log lines and the id that ties them to a request and its messages."""

import json
import logging
import re

import pytest

from actions.models import OutboxMessage
from ccweb.api.tracing import request_id
from ccweb.logs import JSONFormatter, LineFormatter
from tests.api import get, post

KEY = "aB3dE5gH." + "k" * 43


def written(message: str, *arguments: object) -> dict:
    """A log call as its JSON line."""
    record = logging.LogRecord("ccweb", logging.ERROR, "x.py", 1, message, arguments, None)
    line = JSONFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


@pytest.mark.django_db
def test_the_clients_request_id_comes_back_and_goes_to_kafka() -> None:
    answer = post("actions", {"user_id": 7, "action_type": "login"}, **{"X-Request-ID": "web-42.a"})
    assert answer["X-Request-ID"] == "web-42.a"
    assert OutboxMessage.objects.get().headers["request_id"] == "web-42.a"
    assert request_id.get() == ""


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", '"'])
def test_a_missing_or_odd_request_id_is_replaced(given: str) -> None:
    answer = post("actions", {"user_id": 7, "action_type": "login"}, **{"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-ID"])
    assert OutboxMessage.objects.get().headers["request_id"] == answer["X-Request-ID"]


@pytest.mark.django_db
def test_a_refused_request_has_one_line_without_what_the_client_sent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        get("user-segments/4711?tell=nobody")
        post("actions", b'{"user_id": "4711", "note": "nobody"}', Authorization=f"Api-Key {KEY}")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "4711" not in caplog.text and "nobody" not in caplog.text and KEY not in caplog.text


def test_a_line_is_json_with_the_request_id_and_without_a_key() -> None:
    token = request_id.set("web-42")
    try:
        line = written("Authorization: Api-Key %s to %s", KEY, "postgres://ccweb:secret@db/ccweb")
    finally:
        request_id.reset(token)
    assert (line["level"], line["logger"], line["request_id"]) == ("ERROR", "ccweb", "web-42")
    assert line["message"] == "Authorization: Api-Key [hidden] to postgres://ccweb:[hidden]@db/ccweb"


def test_a_key_without_its_introduction_is_hidden_in_plain_lines_too() -> None:
    record = logging.LogRecord("ccweb", logging.ERROR, "x.py", 1, "no row for %s", (KEY,), None)
    assert LineFormatter().format(record).endswith("ERROR ccweb: no row for [hidden]")
