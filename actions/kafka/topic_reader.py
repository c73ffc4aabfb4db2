"""Reads a whole topic once: from its beginning to the end that it has when the reading begins."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple, TypeVar, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from actions.kafka.config import CONSUMER, client, topic_in_kafka
from actions.kafka.errors import Complaints

CALL_TIMEOUT_SECONDS = 0.4  # no call blocks for longer, so that `heartbeat` is called often enough
SILENCE_SECONDS = 30.0  # without an answer of Kafka: then the reading fails
CHUNK = 1000  # messages per call
TRANSIENT = {  # of a broker that is away, or of a topic that was created just now
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
PAUSE_SECONDS = 0.1  # between two attempts
T = TypeVar("T")


class TopicUnreadable(Exception):
    """The topic does not exist, or Kafka did not answer; the message says which."""


class NoSuchTopic(TopicUnreadable):
    """Kafka answered, and has no such topic."""


class Record(NamedTuple):
    """A message and where it stands."""

    partition: int
    offset: int
    value: bytes | None  # None: a tombstone


class TopicReader:
    """The committed messages of a topic, those of a partition in order. It belongs to no group and commits nothing.

    `total` is the number of offsets from the beginning to the end, `done` how many of them have been read; both count
    what compaction and transactions left empty. `heartbeat` is called at least every CALL_TIMEOUT_SECONDS.
    Raises TopicUnreadable.
    """

    def __init__(self, topic: str, heartbeat: Callable[[], None] = lambda: None) -> None:
        self._topic, self._heartbeat = topic_in_kafka(topic), heartbeat
        self._complaints = Complaints()
        settings = {"group.id": "ccweb-reader", "enable.partition.eof": True, "error_cb": self._complaints}
        self._consumer = Consumer(client(**CONSUMER) | settings)
        try:
            self._ranges = {partition: self._range(partition) for partition in self._partitions()}
        except BaseException:
            self._consumer.close()
            raise
        self._at = {partition: begin for partition, (begin, _) in self._ranges.items()}

    @property
    def total(self) -> int:
        return sum(end - begin for begin, end in self._ranges.values())

    @property
    def done(self) -> int:
        return sum(self._at[partition] - begin for partition, (begin, _) in self._ranges.items())

    def __iter__(self) -> Iterator[Record]:
        with closing(self._consumer):
            self._consumer.assign([TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in self._unfinished()])
            answered = time.monotonic()
            while self._unfinished():
                messages = self._consumer.consume(CHUNK, CALL_TIMEOUT_SECONDS)
                self._heartbeat()
                if messages:
                    answered = time.monotonic()
                elif time.monotonic() - answered > SILENCE_SECONDS:
                    raise TopicUnreadable(f"Kafka stopped in the middle of {self._topic}{self._why()}")
                for message in messages:
                    yield from self._take(message)

    def _take(self, message: KafkaMessage) -> Iterator[Record]:
        partition, offset, error = cast(int, message.partition()), cast(int, message.offset()), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise TopicUnreadable(f"{self._topic}: {error.str()}")
        end = self._ranges[partition][1]
        if error is None and offset < end:
            self._at[partition] = offset + 1
            yield Record(partition, offset, message.value())
        else:
            self._at[partition] = end  # the rest are marks of transactions; or it has grown since the start

    def _unfinished(self) -> list[int]:
        return [partition for partition, (_, end) in self._ranges.items() if self._at[partition] < end]

    def _partitions(self) -> list[int]:
        topics = self._ask(lambda: self._consumer.list_topics(timeout=CALL_TIMEOUT_SECONDS)).topics
        if self._topic not in topics:
            raise NoSuchTopic(f"there is no topic {self._topic}")
        return list(topics[self._topic].partitions)

    def _range(self, partition: int) -> tuple[int, int]:
        place = TopicPartition(self._topic, partition)
        return self._ask(lambda: self._consumer.get_watermark_offsets(place, timeout=CALL_TIMEOUT_SECONDS))

    def _ask(self, question: Callable[[], T]) -> T:
        begun = time.monotonic()
        while True:
            try:
                return question()
            except KafkaException as error:
                if error.args[0].code() not in TRANSIENT:
                    raise TopicUnreadable(f"{self._topic}: {error.args[0].str()}") from error
                if time.monotonic() - begun > SILENCE_SECONDS:
                    raise TopicUnreadable(f"Kafka does not answer{self._why()}") from error
            self._heartbeat()
            self._consumer.poll(PAUSE_SECONDS)  # has the client report its errors

    def _why(self) -> str:
        return "".join(f": {error.str()}" for error in self._complaints.all())
