"""Relay.step() against a real Kafka: waiting messages arrive once and in order, or are quarantined."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from actions.kafka.errors import NotDelivered
from actions.kafka.producer import TransactionalProducer
from actions.models import TOPIC, HourlyCount, Message, OutboxMessage
from actions.relay.relay import BATCH, Relay, resend
from ccweb.db import leader_election
from tests.support.api_client import post
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Kafka, need

pytestmark = pytest.mark.django_db
TOO_LARGE = "x" * 2_000_000  # the maximum of a broker is 1 MiB


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)  # else a busy machine costs it the lead
    relay = Relay()
    yield relay
    relay.close()


def queue(topic: str, *payloads: str, key: str = "7") -> list[OutboxMessage]:
    rows = [OutboxMessage(topic=topic, key=key, payload=payload, headers={"event_id": "e"}) for payload in payloads]
    return OutboxMessage.objects.bulk_create(rows)


def messages(topic: str, *payloads: str) -> list[Message]:
    return [Message(0, topic, "7", payload, {"event_id": "e"}) for payload in payloads]


def values(broker: str, topic: str) -> list[str]:
    return [(message.value() or b"").decode() for message in read_topic(broker, topic)]


def test_a_recorded_action_arrives_with_key_headers_and_fields(kafka_broker: str, relay: Relay) -> None:
    sent = {"user_id": 7, "action_type": "login", "value": 2.5, "action_timestamp": "2026-11-01T10:00:00+02:00"}
    answer = post("actions", sent).json()
    assert relay.step() == 1
    [arrived] = [
        m for m in read_topic(kafka_broker, TOPIC) if dict(m.headers())["event_id"] == answer["event_id"].encode()
    ]
    assert arrived.key() == b"7"
    assert json.loads(arrived.value()) == {name: value for name, value in answer.items() if name != "order_id"}
    assert answer["action_timestamp"] == "2026-11-01T08:00:00.000000Z"


def test_delivered_rows_are_deleted_by_a_single_statement(topic: str) -> None:
    """A relay that freezes meanwhile blocks no other: PostgreSQL completes a single statement without its client."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, which is also the leader: --database postgresql")
    at = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
    rows = [*queue(TOPIC, "a", "b"), *queue(topic, "c"), *queue(TOPIC, "later")]
    OutboxMessage.objects.update(created_at=at)
    OutboxMessage.objects.filter(pk=rows[-1].pk).update(created_at=at + timedelta(minutes=1))
    HourlyCount.objects.create(hour=at.replace(minute=0), actions=40)
    with CaptureQueriesContext(connection) as captured:
        OutboxMessage.objects.delete_delivered([row.pk for row in rows])
    assert len(captured) == 1, [query["sql"] for query in captured]
    counts = {count.hour.hour: count.actions for count in HourlyCount.objects.all()}
    assert (counts, OutboxMessage.objects.count()) == ({23: 42, 0: 1}, 0)


def test_the_record_time_is_the_time_of_sending(kafka_broker: str, relay: Relay, topic: str) -> None:
    """With the event time Kafka's retention would delete back-fills at once."""
    queue(topic, "back-fill")
    relay.step()
    [arrived] = read_topic(kafka_broker, topic)
    at = datetime.fromtimestamp(arrived.timestamp()[1] / 1000, UTC)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_delivered_rows_are_deleted_and_counted(kafka_broker: str, relay: Relay, topic: str) -> None:
    queue(topic, "a", "b")
    assert relay.step() == 2
    assert not OutboxMessage.objects.exists()
    assert (relay.delivered, relay.quarantined, relay.errors) == (2, 0, 0)
    assert relay.step() == 0


def test_a_backlog_arrives_in_batches_and_in_order(kafka_broker: str, relay: Relay, topic: str) -> None:
    expected = [str(n) for n in range(BATCH + 50)]
    queue(topic, *expected)
    assert [relay.step(), relay.step(), relay.step()] == [BATCH, 50, 0]
    assert values(kafka_broker, topic) == expected


def test_a_rejected_message_is_quarantined_and_its_neighbours_arrive(
    kafka_broker: str, relay: Relay, topic: str
) -> None:
    queue(topic, "before", TOO_LARGE, "after")
    assert relay.step() == 3
    assert values(kafka_broker, topic) == ["before", "after"]
    [rejected] = OutboxMessage.objects.quarantined()
    assert rejected.payload == TOO_LARGE
    assert "MSG_SIZE_TOO_LARGE" in rejected.error
    assert relay.quarantined == 1


def test_a_rejected_message_that_is_erased_meanwhile_is_not_counted(
    kafka_broker: str, relay: Relay, topic: str
) -> None:
    queue(topic, TOO_LARGE)

    def erase_first(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        if sql.startswith('UPDATE "outbox"'):
            OutboxMessage.objects.all().delete()
        return execute(sql, *more)

    with connection.execute_wrapper(erase_first):
        relay.step()
    assert (relay.quarantined, OutboxMessage.objects.count()) == (0, 0)


def test_a_message_whose_headers_are_not_json_is_quarantined(kafka_broker: str, relay: Relay, topic: str) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL stores no such headers")
    queue(topic, "broken", "after")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = 1")
        cursor.execute("UPDATE outbox SET headers = '{' WHERE payload = 'broken'")
        cursor.execute("PRAGMA ignore_check_constraints = 0")
    relay.step()
    assert values(kafka_broker, topic) == ["after"]
    assert [message.payload for message in OutboxMessage.objects.quarantined().defer("headers")] == ["broken"]


@pytest.mark.parametrize("name", ["not a topic!", "a/b", ""])
def test_a_message_with_an_invalid_topic_name_is_quarantined(
    kafka_broker: str, relay: Relay, topic: str, name: str
) -> None:
    queue(name, "nowhere")
    queue(topic, "after")
    relay.step()
    assert values(kafka_broker, topic) == ["after"]
    assert OutboxMessage.objects.quarantined().count() == 1


def test_a_message_with_a_header_that_is_not_a_string_is_quarantined(
    kafka_broker: str, relay: Relay, topic: str
) -> None:
    OutboxMessage.objects.create(topic=topic, key="7", payload="{}", headers={"event_id": 5})
    queue(topic, "after")
    relay.step()
    assert values(kafka_broker, topic) == ["after"]
    assert "AttributeError" in OutboxMessage.objects.quarantined().get().error


def test_a_resent_message_waits_at_its_old_position(kafka_broker: str, relay: Relay, topic: str) -> None:
    queue(topic, TOO_LARGE)
    relay.step()
    queue(topic, "later")
    OutboxMessage.objects.quarantined().update(payload="smaller")
    assert resend(OutboxMessage.objects.all()) == 1
    relay.step()
    assert values(kafka_broker, topic) == ["smaller", "later"]


def test_only_the_leader_publishes(kafka_broker: str, relay: Relay, topic: str) -> None:
    queue(topic, "once")
    assert relay.lead.hold()
    other = Relay()
    assert other.step() == 0
    assert OutboxMessage.objects.count() == 1
    relay.close()
    assert other.step() == 1
    other.close()


def test_a_frozen_leader_that_thaws_is_fenced(kafka_broker: str, topic: str) -> None:
    """Its transactional.id belongs to the next leader, so consumers never see what it still sends."""
    frozen = TransactionalProducer(lambda: None)
    frozen.publish(messages(topic, "before"))
    successor = TransactionalProducer(lambda: None)
    successor.publish(messages(topic, "successor"))
    with pytest.raises(NotDelivered, match="FENCED"):
        frozen.publish(messages(topic, "too late"))
    successor.publish(messages(topic, "still leads"))
    assert values(kafka_broker, topic) == ["before", "successor", "still leads"]


def test_what_was_confirmed_is_not_sent_again_after_the_database_failed(
    kafka_broker: str, relay: Relay, topic: str
) -> None:
    rows = queue(topic, "once")
    relay.step()
    OutboxMessage.objects.bulk_create(rows)  # as if the delete had not been committed
    relay._confirmed = [rows[0].pk]
    relay.step()
    assert not OutboxMessage.objects.exists()
    assert values(kafka_broker, topic) == ["once"]


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_messages_are_kept_and_the_relay_stops_at_once(
    settings: Settings, relay: Relay, topic: str
) -> None:
    settings.KAFKA_BROKER = CLOSED
    queue(topic, "kept")
    thread = threading.Thread(target=lambda: (relay.run(), connections.close_all()))
    thread.start()
    wait_for(lambda: relay.lead.terms == 1, "the relay to lead")
    time.sleep(0.5)  # it is now waiting for the broker
    relay.stop.set()
    thread.join(8)
    assert not thread.is_alive()
    assert OutboxMessage.objects.waiting().count() == 1


@pytest.mark.long
def test_messages_are_published_without_transactions_to_a_broker_that_lacks_them(
    settings: Settings, relay: Relay, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka's defaults on one broker: the transaction log requires three replicas, so it is never created."""
    with need(lambda: Kafka({"transaction.state.log.replication.factor": "3"})) as kafka:
        settings.KAFKA_BROKER = kafka.address
        queue(topic, "a", "b")
        assert relay.step() == 2
        assert "transaction.state.log.replication.factor" in caplog.text
        queue(topic, "c", TOO_LARGE, "d")
        assert relay.step() == 3
        arrived = values(kafka.address, topic)  # read last: it may take so long that the relay loses leadership
        assert (arrived[:2], arrived[-2:]) == (["a", "b"], ["c", "d"])
        relay.close()
