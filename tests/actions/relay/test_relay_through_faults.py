"""The relay against a cluster that fails on command: messages are kept, and arrive when the cluster has recovered."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from pytest_django import Settings

from actions.kafka.errors import NotAuthorized
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
    connections.close_all()  # of this thread


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


def test_a_denied_permission_pauses_the_relay_and_quarantines_nothing(cluster: MockCluster, relay: Relay) -> None:
    queue("a", "b")
    cluster.fail(PRODUCE, TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(NotAuthorized, match="TOPIC_AUTHORIZATION_FAILED"):
        relay.step()
    assert OutboxMessage.objects.waiting().count() == 2
    assert relay.step() == 2
    assert relay.quarantined == 0


def test_a_denied_permission_is_logged_as_an_error_but_not_at_every_retry(
    cluster: MockCluster, running: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 3)
    queue("a")
    wait_for(delivers(running, 1), "the delivery")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert running.errors == 3
    assert ["TOPIC_AUTHORIZATION_FAILED" in error.getMessage() for error in errors] == [True]


def test_an_error_for_one_message_quarantines_only_that_message(cluster: MockCluster, relay: Relay) -> None:
    """The broker rejects the batch; sent one by one, the first message is rejected again."""
    queue("rejected", "good")
    cluster.fail(PRODUCE, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE)
    relay.step()
    assert OutboxMessage.objects.get().payload == "rejected"
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
    queue("waiting")
    thread = threading.Thread(target=run, args=[relay])
    thread.start()
    threading.Event().wait(1)
    cluster.up()
    wait_for(delivers(relay, 1), "the delivery")
    relay.stop.set()
    thread.join(120)
    assert values(cluster) == ["waiting"]
