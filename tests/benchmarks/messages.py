"""Counts the messages of a topic by reading them: offsets also count transaction markers."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

MESSAGE_TIMEOUT_SECONDS = 60.0


def count_messages(broker: str, topic: str, expected: int) -> int:
    """The number of messages for a consumer with read_committed, when `expected` have arrived or no more arrive."""
    settings = {"bootstrap.servers": broker, "group.id": "count", "enable.partition.eof": True}
    consumer = Consumer(settings | {"queued.min.messages": 100_000})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    count, deadline = 0, time.monotonic() + MESSAGE_TIMEOUT_SECONDS
    at_end: set[int | None] = set()
    while (count < expected or len(at_end) < len(partitions)) and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=0.5):
            if (error := message.error()) is None:
                count += 1
                deadline = time.monotonic() + MESSAGE_TIMEOUT_SECONDS
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
    consumer.close()
    return count
