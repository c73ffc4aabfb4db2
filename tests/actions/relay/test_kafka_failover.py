"""Kafka comes back at another address: relay, consumer and probe find it by themselves within 30 s."""

import contextlib
import threading
import time

import pytest
from django.db import connections
from pytest_django import Settings

from actions.kafka.consumer import Reader
from actions.kafka.errors import NotDelivered
from actions.kafka.probe import ask_kafka
from actions.models import OutboxMessage
from actions.relay.relay import Relay
from tests.support.os_processes import free_port, wait_for
from tests.support.servers import Kafka, need

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
RECOVERY_SECONDS = 30


def run(relay: Relay) -> None:
    relay.run()
    connections.close_all()  # of this thread


def queue(topic: str, payload: str) -> None:
    OutboxMessage.objects.create(topic=topic, key="7", payload=payload)


def answers() -> bool:
    with contextlib.suppress(NotDelivered):
        ask_kafka()
        return True
    return False


def test_a_broker_that_moves_is_found(settings: Settings, topic: str) -> None:
    relay, values = Relay(), []
    thread = threading.Thread(target=run, args=[relay])
    with need(Kafka) as kafka:
        new_port = free_port()
        settings.KAFKA_BROKER = f"{kafka.address},127.0.0.1:{new_port}"
        reader = Reader(topic=topic, group="ccweb-test", from_beginning=True, on_error=lambda text: None)

        def arrives(payload: str) -> bool:
            values.append(reader.read(0.2))
            return payload.encode() in values

        thread.start()
        queue(topic, "before")
        wait_for(lambda: arrives("before") and answers(), "the first message")
        kafka.kill()
        queue(topic, "during the failover")
        kafka.move(new_port)
        kafka.start()
        begun = time.monotonic()
        wait_for(lambda: relay.delivered == 2, "the relay", RECOVERY_SECONDS)
        wait_for(answers, "the probe", RECOVERY_SECONDS)
        wait_for(lambda: arrives("during the failover"), "the consumer", RECOVERY_SECONDS)
        assert time.monotonic() - begun < RECOVERY_SECONDS
        reader.close()
        relay.stop.set()
        thread.join(60)
    assert not thread.is_alive()
