"""The relay against a cluster that fails on command: everything is kept, and arrives when the cluster is well."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from pytest_django import Settings

from actions.kafka.producer import NotAuthorized
from actions.models import OutboxMessage
from actions.relay.relay import Relay
from ccweb.db import leader_election
from tests.support.kafka_mock import (
    COORDINATOR_NOT_AVAILABLE,
    END_TXN,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    PRODUCE,
    REQUEST_TIMED_OUT,
    TOPIC_AUTHORIZATION_FAILED,
    MockCluster,
)
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
TOPIC = "failing"


@pytest.fixture
def cluster(settings: Settings) -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        cluster.create_topic(TOPIC)
        settings.KAFKA_BROKER = cluster.address
        yield cluster


@pytest.fixture
def relay(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)  # else a busy machine costs it the lead
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture
def running(relay: Relay) -> Iterator[Relay]:
    thread = threading.Thread(target=run, args=[relay])
    thread.start()
    yield relay
    relay.stop.set()
    thread.join(120)
    assert not thread.is_alive()


def run(relay: Relay) -> None:
    relay.run()
    connections.close_all()  # this thread's


def queue(*payloads: str) -> None:
    OutboxMessage.objects.bulk_create(OutboxMessage(topic=TOPIC, key="7", payload=payload) for payload in payloads)


def values(cluster: MockCluster) -> list[str]:
    return [(message.value() or b"").decode() for message in read_topic(cluster.address, TOPIC)]


def delivers(relay: Relay, count: int) -> Callable[[], bool]:
    return lambda: relay.delivered == count


def test_transient_errors_are_retried_and_cause_no_duplicate(cluster: MockCluster, relay: Relay) -> None:
    queue("a", "b")
    cluster.fail(PRODUCE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT)
    cluster.fail(END_TXN, COORDINATOR_NOT_AVAILABLE)
    assert relay.step() == 2
    assert values(cluster) == ["a", "b"]
    assert relay.errors == 0


def test_a_refused_permission_pauses_the_relay_and_sets_nothing_aside(cluster: MockCluster, relay: Relay) -> None:
    queue("a", "b")
    cluster.fail(PRODUCE, TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(NotAuthorized, match="TOPIC_AUTHORIZATION_FAILED"):
        relay.step()
    assert OutboxMessage.objects.waiting().count() == 2
    assert relay.step() == 2
    assert relay.quarantined == 0


def test_a_refused_permission_is_an_alarm_in_the_log_but_not_at_every_try(
    cluster: MockCluster, running: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 3)
    queue("a")
    wait_for(delivers(running, 1), "the delivery")
    alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert running.errors == 3
    assert ["TOPIC_AUTHORIZATION_FAILED" in alarm.getMessage() for alarm in alarms] == [True]


def test_an_error_for_one_message_costs_only_that_message(cluster: MockCluster, relay: Relay) -> None:
    """The broker blames the batch; alone, the second of two refused tries is the culprit's."""
    queue("poison", "good")
    cluster.fail(PRODUCE, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE)
    relay.step()
    assert OutboxMessage.objects.get().payload == "poison"
    assert OutboxMessage.objects.get().quarantined_at is not None
    assert values(cluster)[-1] == "good"


def test_an_outage_delays_and_loses_nothing(cluster: MockCluster, running: Relay) -> None:
    queue("before")
    wait_for(delivers(running, 1), "the first delivery")
    cluster.down()
    queue("during", "the", "outage")
    threading.Event().wait(1)
    assert running.delivered == 1
    cluster.up()
    wait_for(delivers(running, 4), "the delivery after the outage")
    assert values(cluster) == ["before", "during", "the", "outage"]


def test_a_cluster_that_is_down_at_the_start_is_waited_for(cluster: MockCluster, relay: Relay) -> None:
    cluster.down()
    queue("patience")
    thread = threading.Thread(target=run, args=[relay])
    thread.start()
    threading.Event().wait(1)
    cluster.up()
    wait_for(delivers(relay, 1), "the delivery")
    relay.stop.set()
    thread.join(120)
    assert values(cluster) == ["patience"]
