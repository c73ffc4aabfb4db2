"""Log lines and the id that ties them to a request and its messages."""

import io
import json
import logging
import multiprocessing
import os
import re
import select

import pytest

from actions.models import OutboxMessage
from ccweb.logs import Console, JSONFormatter, LineFormatter
from ccweb.request.origin import NOWHERE, Origin, origin
from tests.support.api_client import get, post
from tests.support.os_processes import wait_for

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
    assert origin.get() == NOWHERE


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", '"'])
def test_a_missing_or_odd_request_id_is_replaced(given: str) -> None:
    answer = post("actions", {"user_id": 7, "action_type": "login"}, **{"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-ID"])
    assert OutboxMessage.objects.get().headers["request_id"] == answer["X-Request-ID"]


@pytest.mark.django_db
def test_a_refused_request_has_one_line_without_what_the_client_sent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        get("user-segments/4711?secret=private")
        post("actions", b'{"user_id": "4711", "note": "private"}', Authorization=f"Api-Key {KEY}")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "4711" not in caplog.text and "private" not in caplog.text and KEY not in caplog.text


def test_a_line_is_json_with_the_request_id_and_without_a_key() -> None:
    token = origin.set(Origin("web-42"))
    try:
        line = written("Authorization: Api-Key %s to %s", KEY, "postgres://ccweb:secret@db/ccweb")
    finally:
        origin.reset(token)
    assert (line["level"], line["logger"], line["request_id"]) == ("ERROR", "ccweb", "web-42")
    assert line["message"] == "Authorization: Api-Key [hidden] to postgres://ccweb:[hidden]@db/ccweb"


def test_a_key_without_its_introduction_is_hidden_in_plain_lines_too() -> None:
    record = logging.LogRecord("ccweb", logging.ERROR, "x.py", 1, "no row for %s", (KEY,), None)
    assert LineFormatter().format(record).endswith("ERROR ccweb: no row for [hidden]")


def test_a_plain_line_about_a_request_says_who_sent_it() -> None:
    record = logging.LogRecord("ccweb.requests", logging.INFO, "x.py", 1, "GET /api/actions 200", (), None)
    record.origin = Origin("web-42", client="203.0.113.9", key="aB3dE5gH")
    assert LineFormatter().format(record).endswith("GET /api/actions 200 client=203.0.113.9 key=aB3dE5gH")


def record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("ccweb", level, "x.py", 1, message, (), None)


class Pipe(io.StringIO):
    """Records what each call wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return len(text)


@pytest.fixture
def console() -> Console:
    console = Console()
    console.setStream(Pipe())
    return console


def test_a_line_is_written_at_once_where_no_thread_gathers(console: Console) -> None:
    console.handle(record(logging.INFO, "one"))
    assert console.stream.calls == ["one\n"]


def test_gathered_lines_are_written_together_a_moment_later(console: Console) -> None:
    console.gather()
    for number in range(3):
        console.handle(record(logging.INFO, f"line {number}"))
    wait_for(lambda: bool(console.stream.calls), "the lines")
    assert "".join(console.stream.calls) == "line 0\nline 1\nline 2\n"


def test_a_warning_is_written_at_once_after_what_came_before_it(console: Console) -> None:
    console.FLUSH_INTERVAL_SECONDS = 60
    console.gather()
    console.handle(record(logging.INFO, "before"))
    assert console.stream.calls == []
    console.handle(record(logging.WARNING, "warning"))
    assert console.stream.calls == ["before\nwarning\n"]


def test_no_call_writes_more_than_a_pipe_takes_at_once_nor_half_a_line(console: Console) -> None:
    console.FLUSH_INTERVAL_SECONDS = 60
    console.gather()
    for number in range(200):
        console.handle(record(logging.INFO, f"{number} " + "\u00e9" * 100))
    console.flush()
    assert len(console.stream.calls) > 5
    assert all(len(call.encode()) <= select.PIPE_BUF and call.endswith("\n") for call in console.stream.calls)
    assert "".join(console.stream.calls).count("\n") == 200


def test_a_fork_writes_its_own_lines_and_not_its_parents(console: Console) -> None:
    console.FLUSH_INTERVAL_SECONDS = 60
    console.gather()
    console.handle(record(logging.INFO, "of the parent"))
    here, there = multiprocessing.Pipe()
    if (child := os.fork()) == 0:
        console.handle(record(logging.INFO, "of the child"))
        there.send(console.stream.calls)
        os._exit(0)
    os.waitpid(child, 0)
    assert here.poll(5)
    assert here.recv() == ["of the child\n"]
    console.flush()
    assert console.stream.calls == ["of the parent\n"]
