"""/metrics and /healthz of the relay and the scheduler on METRICS_PORT."""

import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.management import CommandError
from pytest_django import Settings

from actions.relay.relay import Relay, Stopped
from ccweb.db.leader_election import Lead
from ccweb.server.process_endpoint import STUCK_AFTER_SECONDS, Endpoint, listen
from segments.schedule.scheduler import Scheduler
from tests.support.deployment import Answer, call


class Loop:
    """A loop that turned just now, until a test says otherwise."""

    def __init__(self) -> None:
        self.turned_at = time.monotonic()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def endpoint(loop: Loop) -> Iterator[Endpoint]:
    with listen("127.0.0.1", 0, lambda: loop.turned_at) as endpoint:
        yield endpoint
        endpoint.shutdown()


def get(endpoint: Endpoint, path: str) -> Answer:
    return call(f"127.0.0.1:{endpoint.server_port}", "GET", path)


def test_a_loop_that_makes_no_progress_is_503(endpoint: Endpoint, loop: Loop) -> None:
    answer = get(endpoint, "/healthz")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    loop.turned_at -= STUCK_AFTER_SECONDS + 1
    answer = get(endpoint, "/healthz")
    assert (answer.status, answer.json()["status"]) == (503, "stuck")
    assert answer.json()["last_round_seconds_ago"] > STUCK_AFTER_SECONDS
    loop.turned_at = time.monotonic()
    assert get(endpoint, "/healthz").status == 200


def test_the_metrics_are_those_of_the_process(endpoint: Endpoint) -> None:
    text = get(endpoint, "/metrics").body.decode()
    for name in ("ccweb_build_info{", "process_resident_memory_bytes ", "ccweb_relay_delivered_total "):
        assert f"\n{name}" in text
    assert "ccweb_database_up" not in text  # the web servers say that


def test_nothing_else_is_there(endpoint: Endpoint) -> None:
    assert {get(endpoint, path).status for path in ("/", "/admin/", "/api/actions", "/metrics/x")} == {404}


class FromAfar(Endpoint):
    """Its clients are on another machine."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        super().finish_request(request, ("203.0.113.9", 50000))


def test_only_those_whom_metrics_allowed_names_see_metrics(settings: Settings) -> None:
    with FromAfar("127.0.0.1", 0, time.monotonic) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        assert get(endpoint, "/metrics").status == 404
        assert get(endpoint, "/healthz").status == 200
        settings.METRICS_ALLOWED = [ip_network("203.0.113.0/24")]
        assert get(endpoint, "/metrics").status == 200
        endpoint.shutdown()


def test_a_port_that_is_taken_stops_the_start_with_one_line(endpoint: Endpoint) -> None:
    with pytest.raises(CommandError, match=rf"METRICS_PORT, 127.0.0.1 and {endpoint.server_port}, cannot be used"):
        listen("127.0.0.1", endpoint.server_port, time.monotonic)


@pytest.mark.django_db
def test_a_round_of_the_relay_and_of_the_scheduler_is_progress() -> None:
    for loop, leader in ((Relay(), Lead("relay")), (Scheduler(), Lead("scheduler"))):
        begun, loop.turned_at = time.monotonic(), 0.0
        assert leader.hold()
        loop.step()  # of a standby
        assert loop.turned_at >= begun
        leader.release()


@pytest.mark.django_db
def test_waiting_for_kafka_to_confirm_is_progress_too() -> None:
    relay = Relay()
    begun, relay.turned_at = time.monotonic(), 0.0
    with pytest.raises(Stopped):  # the producer calls it all the time; here the relay is told to stop
        relay.stop.set()
        relay._heartbeat()
    assert relay.turned_at >= begun
    relay.close()
