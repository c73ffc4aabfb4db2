"""The relay against a topic that takes 4,000 bytes at a time, far less than a batch, and with a message too large."""

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from django.db import connections

from actions.kafka.producer import TransactionalProducer
from actions.models import OutboxMessage
from actions.relay import relay as relay_module
from actions.relay.relay import Relay
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = 4000
POISON = "x" * (2 * LIMIT)
ROWS = [f"{n:03} {'.' * 300}" for n in range(600)]


@pytest.fixture
def small_topic(kafka_broker: str, topic: str) -> str:
    """A topic with the limit that message.max.bytes would set for all topics of a broker."""
    admin = AdminClient({"bootstrap.servers": kafka_broker})
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": str(LIMIT)})])[topic].result()
    return topic


@pytest.fixture
def relays() -> Iterator[list[Relay]]:
    """Two of them run, each in a thread."""
    relays = [Relay(), Relay()]
    threads = [threading.Thread(target=lambda relay=relay: (relay.run(), connections.close_all())) for relay in relays]
    for thread in threads:
        thread.start()
    yield relays
    for relay in relays:
        relay.stop.set()
    for thread in threads:
        thread.join(60)


def queue(topic: str, payloads: list[str]) -> None:
    OutboxMessage.objects.bulk_create(OutboxMessage(topic=topic, key="7", payload=payload) for payload in payloads)


def values(broker: str, topic: str) -> list[str]:
    return [(message.value() or b"").decode() for message in read_topic(broker, topic)]


@pytest.mark.long
def test_one_of_two_relays_delivers_all_without_losing_the_lead_and_sets_the_poison_aside(
    kafka_broker: str, small_topic: str, relays: list[Relay]
) -> None:
    wait_for(lambda: sum(relay.lead.terms for relay in relays) == 1, "a relay to lead")
    queue(small_topic, [*ROWS[:300], POISON, *ROWS[300:]])
    wait_for(lambda: sum(relay.delivered + relay.quarantined for relay in relays) == 601, "the delivery")
    assert sum(relay.lead.terms for relay in relays) == 1
    assert values(kafka_broker, small_topic) == ROWS
    assert [row.payload for row in OutboxMessage.objects.all()] == [POISON]


def test_the_size_that_the_topic_takes_is_found_once(
    kafka_broker: str, small_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[int] = []

    def counted(producer: TransactionalProducer, batch: list[object]) -> None:
        published.append(len(batch))
        publish(producer, batch)  # type: ignore[arg-type]

    publish = TransactionalProducer.publish
    monkeypatch.setattr(TransactionalProducer, "publish", counted)
    relay = Relay()
    queue(small_topic, ROWS)
    assert [relay.step(), relay.step(), relay.step()] == [200, 200, 200]
    relay.close()
    assert len(published) < 20, published
    assert published[-2:] == [200, 200]


def test_a_batch_is_bounded_by_bytes(kafka_broker: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "TRANSACTION_BYTES", 1000)
    relay = Relay()
    queue(topic, ["a" * 600, "b" * 300, "c" * 600, "d" * 2000, "e"])
    assert [relay.step() for _ in range(5)] == [2, 1, 1, 1, 0]
    relay.close()
    assert [value[0] for value in values(kafka_broker, topic)] == ["a", "b", "c", "d", "e"]
