"""The deployed system, from an HTTP request to the message in Apache Kafka."""

import http.client
import json
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import psycopg
import pytest

from tests.support.deployment import Stack

pytestmark = pytest.mark.stack


def test_an_action_goes_from_the_request_to_the_table_and_the_topic(live_stack: Stack) -> None:
    event_id = str(uuid.uuid4())
    action = {"event_id": event_id, "user_id": 7, "action_type": "purchase", "value": "19.99"}
    answer = live_stack.call("POST", "/api/actions", action)
    assert (answer.status, answer.json()["event_id"]) == (201, event_id)
    with psycopg.connect(live_stack.database_url) as connection:
        stored = connection.execute("SELECT user_id, value::text FROM user_actions").fetchall()
    assert stored == [(7, "19.99")]
    (message,) = live_stack.messages(at_least=1)
    assert (message.key(), dict(message.headers() or [])["event_id"]) == (b"7", event_id.encode())
    assert json.loads(message.value() or b"")["event_id"] == event_id


def test_every_live_stack_begins_empty(live_stack: Stack) -> None:
    assert live_stack.call("GET", "/api/actions").json()["results"] == []
    live_stack.call("POST", "/api/actions", {"user_id": 8, "action_type": "login"})
    assert [message.key() for message in live_stack.messages(at_least=1)] == [b"8"]


def test_a_command_runs_against_the_live_stack(live_stack: Stack) -> None:
    live_stack.manage("migrate", "--check")
    refused = live_stack.manage("migrate", "--no-such-option", check=False)
    assert refused.returncode == 2 and "no-such-option" in refused.stderr


def test_a_request_that_a_lock_blocks_is_503_and_no_other_waits_for_it(live_stack: Stack) -> None:
    action = {"user_id": 9, "action_type": "login"}
    with psycopg.connect(live_stack.database_url) as connection:
        connection.execute("LOCK TABLE user_actions IN SHARE MODE")  # writers wait, readers do not
        blocked = live_stack.call("POST", "/api/actions", action)
        assert (blocked.status, blocked.headers["Retry-After"]) == (503, "2")
        assert live_stack.call("GET", "/healthz").status == 200
        assert live_stack.call("GET", "/api/user-segments/9/recommendation").status == 200
        connection.rollback()
    assert live_stack.call("POST", "/api/actions", action).status == 201


def test_a_worker_is_ready_at_its_first_probe(live_stack: Stack) -> None:
    """Its thread for probes opens its connection within the half second that a check may take."""
    for _ in range(8):
        answer = live_stack.call("GET", "/readyz")
        assert (answer.status, answer.json()["database"]["status"]) == (200, "ok")


def test_a_stopped_web_process_lets_its_relay_finish(live_stack: Stack) -> None:
    live_stack.call("POST", "/api/actions", [{"user_id": n, "action_type": "login"} for n in range(1, 301)])
    live_stack.messages(at_least=300)
    live_stack.web.wait_for_workers()  # one that is still loading has no relay to finish
    live_stack.web.stop()
    log = live_stack.web.log.read_text()
    assert log.count("the relay thread has finished") == 2, "one a worker"
    assert "300 messages delivered" in log


PAUSE_SECONDS = 0.1  # between two requests on a connection, which is idle for most of the time


class KeepingClient(threading.Thread):
    """Sends one action after another on a connection that it keeps, as proxies do, until nobody listens.

    `broken` are errors of its connections, but for a new one that was reset when the server stopped listening: the
    kernel had accepted it and no worker yet, so its request was not taken, as if it had been refused.
    """

    def __init__(self, address: str, stopping: threading.Event) -> None:
        super().__init__()
        self._address, self._stopping = address, stopping
        self.answered, self.broken = Counter[int](), list[Exception]()
        self.begun = threading.Event()

    def run(self) -> None:
        while True:
            connection = http.client.HTTPConnection(self._address, timeout=30)
            with closing(connection), suppress(ConnectionRefusedError):
                connection.connect()
                self._use(connection)
                continue
            return

    def _use(self, connection: http.client.HTTPConnection) -> None:
        is_kept = False
        try:
            while True:
                body = json.dumps({"user_id": 1, "action_type": "load"})
                connection.request("POST", "/api/actions", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.answered[answer.status] += 1
                is_kept = True
                self.begun.set()
                if answer.getheader("Connection") == "close":
                    return
                time.sleep(PAUSE_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            if is_kept or not self._stopping.is_set():
                self.broken.append(error)


def test_a_stop_under_load_breaks_no_request(live_stack: Stack) -> None:
    live_stack.web.wait_for_workers()
    stopping = threading.Event()
    clients = [KeepingClient(live_stack.web.address, stopping) for _ in range(16)]
    for client in clients:
        client.start()
    assert all(client.begun.wait(60) for client in clients)
    stopping.set()
    live_stack.web.stop()
    for client in clients:
        client.join(60)
    assert not [error for client in clients for error in client.broken]
    answered = sum((client.answered for client in clients), Counter[int]())
    with psycopg.connect(live_stack.database_url) as connection:
        stored = connection.execute("SELECT count(*) FROM user_actions WHERE action_type = 'load'").fetchone()
    assert (set(answered), stored) == ({201}, (answered[201],))


def test_many_first_requests_get_the_same_schema(live_stack: Stack) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: live_stack.call("GET", "/api/schema"), range(32)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
