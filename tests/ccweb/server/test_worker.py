"""The worker processes of the web server, from the outside."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.deployment import Stack
from tests.support.os_processes import is_alive, send, wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import need


@pytest.fixture
def web(fresh_database: str) -> Iterator[Stack]:
    """The web process alone: PostgreSQL is there, Redis and Kafka are not."""
    with Stack(database_url=fresh_database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
        need(stack.web.start)
        yield stack


def requests_to_healthz(web: Stack) -> float:
    """What /metrics says, 0 when it says nothing."""
    text = web.call("GET", "/metrics").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("ccweb_requests_total{") and "healthz" in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def all_requests_to_healthz(web: Stack) -> float:
    """The same once no worker counts any more: each counts its requests every tenth of a second."""
    found = [requests_to_healthz(web)]
    while len(found) < 2 or found[-1] != found[-2]:
        time.sleep(1)
        found.append(requests_to_healthz(web))
    return found[-1]


@pytest.mark.stack
def test_metrics_are_those_of_all_workers_the_dead_ones_too(web: Stack) -> None:
    before = all_requests_to_healthz(web)
    for _ in range(30):
        web.call("GET", "/healthz")
    assert all_requests_to_healthz(web) == before + 30
    server, *workers = web.web.pids()
    assert len(workers) == 2
    # The worker that answered so far may be the only one that is ready; once it is killed, none listens.
    web.web.wait_for_workers()
    send(signal.SIGKILL, workers[:1])
    wait_for(lambda: len(web.web.pids()) == 3 and workers[0] not in web.web.pids(), "a new worker")
    wait_for(lambda: web.call("GET", "/healthz").status == 200, "an answer")
    assert requests_to_healthz(web) >= before + 30


@pytest.mark.stack
def test_a_restarted_server_begins_to_count_anew(web: Stack) -> None:
    web.call("GET", "/healthz")
    web.web.stop()
    web.web.start()
    assert requests_to_healthz(web) <= 5  # what start() itself asked


@pytest.mark.stack
def test_workers_end_with_a_killed_server(web: Stack) -> None:
    server, *workers = web.web.pids()
    send(signal.SIGKILL, [server])
    wait_for(lambda: not any(map(is_alive, workers)), "the workers to end")


@pytest.mark.stack
def test_the_server_stops_at_once_when_told(web: Stack) -> None:
    pids = web.web.pids()
    web.web.stop()
    assert not any(map(is_alive, pids))
    assert "Traceback" not in web.web.log.read_text()
