"""The readiness probe of Kafka: what is wrong has a name, one client serves all calls, and a fork has its own."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from actions.kafka import probe
from actions.kafka.errors import NameNotResolved, NoBrokerAnswers
from actions.kafka.probe import Probe, ask_kafka
from tests.support.kafka_mock import MockCluster
from tests.support.pytest_plugin import CLOSED


@pytest.fixture
def cluster(settings: Settings) -> Iterator[MockCluster]:
    with MockCluster(1) as cluster:
        settings.KAFKA_BROKER = cluster.address
        yield cluster


def test_a_broker_without_the_topic_is_usable(cluster: MockCluster) -> None:
    ask_kafka()


def test_a_closed_port_is_named_with_the_last_complaint_of_the_client(settings: Settings) -> None:
    settings.KAFKA_BROKER = CLOSED
    begun = time.monotonic()
    with pytest.raises(NoBrokerAnswers, match=f"no Kafka broker answers, at {CLOSED}: .*Connection refused"):
        ask_kafka()
    assert time.monotonic() - begun < 0.4


def test_a_name_that_does_not_resolve_is_named(settings: Settings) -> None:
    settings.KAFKA_BROKER = "no-such-host.invalid:9092"
    with pytest.raises(NameNotResolved, match="Failed to resolve 'no-such-host.invalid:9092'"):
        ask_kafka()


def test_what_one_of_several_brokers_complains_of_is_not_hidden_by_another(settings: Settings) -> None:
    settings.KAFKA_BROKER = f"no-such-host.invalid:9092,{CLOSED}"
    with pytest.raises(NameNotResolved):
        ask_kafka()


def test_a_broker_that_is_silent_is_given_up_after_half_a_second(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.KAFKA_BROKER = f"127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(NoBrokerAnswers):
            ask_kafka()
    assert 0.4 < time.monotonic() - begun < 1


def test_a_broker_that_comes_back_is_found(cluster: MockCluster) -> None:
    ask_kafka()
    cluster.down()
    with pytest.raises(NoBrokerAnswers):
        ask_kafka()
    cluster.up()
    ask_kafka()


def test_all_calls_share_one_client(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[Probe] = []

    class Counted(Probe):
        def __init__(self) -> None:
            super().__init__()
            created.append(self)

    monkeypatch.setattr(probe, "Probe", Counted)
    ask_kafka()
    callers = [threading.Thread(target=ask_kafka) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(created) == 1


def test_a_fork_asks_with_a_client_of_its_own(cluster: MockCluster) -> None:
    ask_kafka()
    child = os.fork()
    if not child:
        status = 1
        try:
            ask_kafka()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
