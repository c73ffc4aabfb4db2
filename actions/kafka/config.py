"""Configuration of librdkafka, see https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"""

import logging
from typing import Any

from django.conf import settings

TRANSACTIONAL_ID = "ccweb-relay"


def client(**more: Any) -> dict[str, Any]:
    """Settings of every client; it reconnects within half a second after a broker is back."""
    return {
        "bootstrap.servers": settings.KAFKA_BROKER,
        "client.id": "ccweb",
        "socket.keepalive.enable": True,
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 500,
        "log_level": 2,  # critical: in an outage librdkafka repeats its errors, the relay logs them once a minute
        "logger": logging.getLogger("actions.kafka.client"),
    } | more


PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "message.timeout.ms": 10_000,  # then the batch fails and is sent again
    "topic.metadata.propagation.max.ms": 5_000,
}
TRANSACTIONS = {"transactional.id": TRANSACTIONAL_ID, "transaction.timeout.ms": 60_000}
CONSUMER = {
    "session.timeout.ms": 6_000,  # the maximum of the embedded broker
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 2_000,  # how soon a new topic is found
}
