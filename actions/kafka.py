"""Everything with which the relay touches Kafka's client: sending a batch, topics. Nothing connects on import.

A batch is one transaction of a fixed transactional.id: it arrives whole or not at all, and a new leader's first act
fences a frozen predecessor for good. Measured on Apache Kafka 4.3 against a plain idempotent producer: 3.2 times as
long until confirmed (median), 0.58 of the messages a second in batches of 200. Batches of up to 2,000 took 0.73 of
the CPU that those of 200 took of Kafka, under lists of 1,000; they bring their place along (see actions.places).
"""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import closing
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic  # type: ignore[attr-defined]
from django.conf import settings

from actions.kafka_errors import NO_PLACE_HERE, Placeless, Poison, Undelivered, translated
from actions.kafka_settings import CONSUMER, PLACE_GROUP, PRODUCER, TRANSACTIONAL_ID, TRANSACTIONS, client
from actions.models import TOPIC, Message
from actions.places import LARGE, SMALL, place_of

SLICE = 0.4  # seconds: no call blocks for longer, so that the caller can show signs of life
START_PATIENCE = 10.0  # seconds that a reachable cluster gets to open transactions
COMMIT_PATIENCE = 300.0  # seconds of asking for the outcome of a commit before it counts as unknown
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
NO_TRANSACTIONS = (
    "Kafka gives no transactions (%s): delivering without. After a frozen relay up to one batch may come twice or out "
    "of order. See transaction.state.log.replication.factor, and the right to the TransactionalId %s."
)
NO_PLACES = "Kafka keeps no place of the relay (%s), which delivers in small batches. See the right to the group %s."
logger = logging.getLogger(__name__)


class Courier:
    """Takes batches to Kafka in order. Made by the process that uses it, thrown away after any error.

    `alive` is called at least every SLICE seconds; what it raises ends the delivery. `largest` is how many messages a
    batch may have, `place` that of the last large one, as actions.places writes it, "" when there is none.
    """

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._topics: set[str] = set()
        self._heard: deque[KafkaError] = deque(maxlen=1)  # what the client last complained of
        self._producer = self._new_producer(**TRANSACTIONS)
        self.fenced = self._open_transactions()
        self.place, self.largest = "", SMALL
        if not self.fenced:
            self._producer = self._new_producer()
        elif self._keeps_places():
            self._find_place()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Return when Kafka has confirmed all of them; raises Poison, Forbidden, Placeless or Undelivered.

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
            while self._producer.flush(SLICE):
                self._alive()
            if len(messages) > SMALL:
                self._send_place(messages)
            if self.fenced:
                self._insist(self._producer.commit_transaction)  # also after failures: it refuses, and knows the cause
        except (KafkaException, SystemError) as error:
            # A fatal error that surfaces while the client calls us back comes wrapped by the interpreter.
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            failures.insert(0, cause.args[0])
        if failures:
            raise translated(failures, self._heard)

    def create_topic(self, topic: str) -> None:
        """Make the topic with KAFKA_PARTITIONS and KAFKA_REPLICATION when it is not there; warns where that fails."""
        if not TOPIC_NAME.fullmatch(topic):  # the client would call it a topic that is not there yet
            raise Poison(f"no topic can be named {topic!r}")
        self._topics.add(topic)
        try:
            cluster = self._producer.list_topics(timeout=SLICE)
            if topic in cluster.topics or not _has_controller(cluster):
                return
            wanted = NewTopic(topic, settings.KAFKA_PARTITIONS, settings.KAFKA_REPLICATION)
            admin = AdminClient(client())
            answer = admin.create_topics([wanted], request_timeout=START_PATIENCE)[topic]
            while not wait([answer], SLICE).done:
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
                _, topic, key, payload, headers = message
                self._producer.produce(topic, payload, key, headers=headers, on_delivery=note)
                return
            except BufferError:  # its queue is full
                self._producer.poll(SLICE)
                self._alive()
            except (TypeError, ValueError) as error:  # not text, or text that is not Unicode
                raise Poison(f"{type(error).__name__}: {error}") from error

    def _open_transactions(self) -> bool:
        """Fence every earlier courier; False when this cluster gives no transactions.

        A lone broker with Kafka's default transaction.state.log.replication.factor=3 never does.
        """
        begun, answered = time.monotonic(), 0.0
        while True:
            try:
                self._producer.init_transactions(SLICE)
                return True
            except KafkaException as error:
                problem: KafkaError = error.args[0]
            self._alive()
            if self._reachable():
                answered = answered or time.monotonic()
                if not problem.retriable() or time.monotonic() - answered > START_PATIENCE:
                    break
            elif not problem.retriable():
                raise translated([problem], self._heard)
            elif time.monotonic() - begun > START_PATIENCE:
                raise Undelivered(f"no Kafka broker answers at {settings.KAFKA_BROKER}")
        logger.warning(NO_TRANSACTIONS, problem.str(), TRANSACTIONAL_ID)
        return False

    def _reachable(self) -> bool:
        try:
            return bool(self._producer.list_topics(timeout=SLICE).brokers)
        except KafkaException:
            return False

    def _keeps_places(self) -> bool:
        try:
            return _has_controller(self._producer.list_topics(timeout=SLICE))
        except KafkaException as error:
            raise translated([error.args[0]], self._heard) from error

    def _find_place(self) -> None:
        """Read the last place, now that nobody else can write one; without an answer batches stay small."""
        begun = time.monotonic()
        with closing(Consumer(client(**CONSUMER) | {"group.id": PLACE_GROUP})) as consumer:
            problem = self._read_place(consumer)
            while problem and problem.code() not in NO_PLACE_HERE and time.monotonic() - begun < START_PATIENCE:
                problem = self._read_place(consumer)
        if problem and not self._reachable():
            raise translated([problem], self._heard)
        if problem:
            logger.warning(NO_PLACES, problem.str(), PLACE_GROUP)

    def _read_place(self, consumer: Consumer) -> KafkaError | None:
        self._alive()
        try:
            [found] = consumer.committed([TopicPartition(TOPIC, 0)], SLICE)
        except KafkaException as error:
            problem: KafkaError = error.args[0]
            return problem
        if found.error is None:
            self.place, self.largest = found.metadata or "", LARGE
            self._group = consumer.consumer_group_metadata()
        return found.error

    def _send_place(self, messages: Sequence[Message]) -> None:
        place = TopicPartition(TOPIC, 0, messages[-1].pk, place_of(messages))
        try:
            self._insist(partial(self._producer.send_offsets_to_transaction, [place], self._group))
        except KafkaException as error:
            if error.args[0].code() in NO_PLACE_HERE:
                raise Placeless(error.args[0].str()) from error
            raise

    def _insist(self, step: Callable[[float], None]) -> None:
        """A repeated step goes on where the last one stopped, so an outage leaves no doubt about its outcome."""
        deadline = time.monotonic() + COMMIT_PATIENCE
        while True:
            try:
                return step(SLICE)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            self._alive()


def _has_controller(cluster: ClusterMetadata) -> bool:
    """Not so the embedded broker, which makes a topic when somebody asks for it, and forgets places."""
    return cluster.controller_id in cluster.brokers
