"""What we tell Kafka's client, https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"""

import logging
from typing import Any

from django.conf import settings

TRANSACTIONAL_ID = "ccweb-relay"


def client(**more: Any) -> dict[str, Any]:
    """Client settings; a returning broker is noticed within half a second."""
    return {
        "bootstrap.servers": settings.KAFKA_BROKER,
        "client.id": "ccweb",
        "socket.keepalive.enable": True,
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 500,
        "log_level": 2,  # it repeats itself during an outage; the relay says it once a minute
        "logger": logging.getLogger("actions.kafka.client"),
    } | more


PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "message.timeout.ms": 10_000,  # then the batch fails, and is sent again
    "topic.metadata.propagation.max.ms": 5_000,
}
TRANSACTIONS = {"transactional.id": TRANSACTIONAL_ID, "transaction.timeout.ms": 60_000}
CONSUMER = {
    "session.timeout.ms": 6_000,  # the embedded broker takes no more
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 2_000,  # how soon a new topic is noticed
}
