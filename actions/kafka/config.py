"""Configuration of librdkafka, see https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"""

import logging
import re
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaException, Producer
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ccweb.db.identity import database_identity

PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "message.timeout.ms": 10_000,  # then the batch fails and is sent again
    "topic.metadata.propagation.max.ms": 5_000,
}
CONSUMER = {
    "session.timeout.ms": 6_000,  # the maximum of the embedded broker
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 2_000,  # how soon a new topic is found
}
# Delivery at least once, in order and by one relay depends on these, so KAFKA_OPTIONS may not name them.
FIXED = {
    *("logger", "batch.size"),  # the relay finds the size that Kafka takes
    *("bootstrap.servers", "metadata.broker.list", "transactional.id", "group.id"),
    *("enable.idempotence", "acks", "request.required.acks", "delivery.report.only.error"),
    *("auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store", "isolation.level"),
}


def client(**more: Any) -> dict[str, Any]:
    """Settings of every client of Kafka: relay, consumer, admin client and readiness probe.

    `more` are further properties of librdkafka. What the operator sets (KAFKA_SASL_..., KAFKA_SSL_..., KAFKA_OPTIONS)
    comes last and replaces them. A client reconnects within half a second after a broker is back.
    """
    return {
        "bootstrap.servers": settings.KAFKA_BROKER,
        "client.id": "ccweb",
        "socket.keepalive.enable": True,
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 500,
        "log_level": 2,  # critical: in an outage librdkafka repeats its errors, the relay logs them once a minute
        "logger": logging.getLogger("actions.kafka.client"),
        **more,
        **{name: value for name, value in settings.KAFKA_SECURITY.items() if value},
        **settings.KAFKA_OPTIONS,
    }


def topic_in_kafka(topic: str) -> str:
    """The name that a topic of ours has in Kafka: with KAFKA_TOPIC_PREFIX, which is stored nowhere.

    Rows of the outbox hold the name without it, so that a new prefix also applies to the messages that wait.
    """
    return f"{settings.KAFKA_TOPIC_PREFIX}{topic}"


def transactional_id() -> str:
    """The transactional.id of the relays of this deployment, which fence each other and nobody else's."""
    return f"ccweb-relay-{database_identity()}"


def check_settings() -> None:
    """Raise ImproperlyConfigured, in one line without secrets, if the settings of Kafka can never work.

    A producer without brokers is created and destroyed: it reads the certificates, and leaves no thread behind.
    """
    for problem in _contradictions(client()):
        raise ImproperlyConfigured(problem)
    try:
        Producer(client(**PRODUCER) | {"bootstrap.servers": ""})
    except KafkaException as error:
        problem = error.args[0].str()
    except TypeError as error:  # the name of a callback of the Python client
        problem = str(error)
    else:
        return
    raise ImproperlyConfigured(f"the KAFKA_ variables are not valid: {_redacted(problem)}")


def _contradictions(chosen: dict[str, Any]) -> Iterator[str]:
    protocol = chosen["security.protocol"].upper()
    mechanism = chosen.get("sasl.mechanisms") or chosen.get("sasl.mechanism")
    login = chosen.get("sasl.username") and chosen.get("sasl.password")
    certificate = chosen.get("ssl.certificate.location") or chosen.get("ssl.certificate.pem")
    key = chosen.get("ssl.key.location") or chosen.get("ssl.key.pem")
    if fixed := FIXED & settings.KAFKA_OPTIONS.keys():
        yield f"KAFKA_OPTIONS may not set {', '.join(sorted(fixed))}"
    if "SASL" in protocol and not mechanism:
        yield f"KAFKA_SECURITY_PROTOCOL is {protocol}, but KAFKA_SASL_MECHANISM is missing"
    if "SASL" not in protocol and any(name.startswith("sasl.") for name in chosen):
        yield f"a login is set (KAFKA_SASL_...), but KAFKA_SECURITY_PROTOCOL is {protocol}: expected SASL_SSL"
    if "SSL" not in protocol and any(name.startswith("ssl.") for name in chosen):
        yield f"TLS is configured (KAFKA_SSL_...), but KAFKA_SECURITY_PROTOCOL is {protocol}: expected SSL or SASL_SSL"
    if mechanism and mechanism != "OAUTHBEARER" and not login:
        yield f"{mechanism} needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
    if bool(certificate) != bool(key):
        yield "KAFKA_SSL_CERT and KAFKA_SSL_KEY belong together: set both or none"


def _redacted(text: str) -> str:
    """An error of librdkafka without values and without what may be a part of a value instead of a name."""
    text = re.sub(r"(?<=value ).*(?= for configuration property)", '"..."', text)
    return re.sub(r'"(?![a-z]+(\.[a-z]+)+")[^"]*"', '"..."', text).strip()
