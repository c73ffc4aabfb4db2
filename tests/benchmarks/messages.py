"""How many messages are in a topic, by reading them: offsets count the marks of transactions too."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

PATIENCE = 60.0  # seconds without a new message


def count_messages(broker: str, topic: str, expected: int) -> int:
    """All messages that a reader of committed ones sees, once there are `expected` of them or none comes any more."""
    settings = {"bootstrap.servers": broker, "group.id": "count", "enable.partition.eof": True}
    consumer = Consumer(settings | {"queued.min.messages": 100_000})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    count, deadline = 0, time.monotonic() + PATIENCE
    at_end: set[int | None] = set()
    while (count < expected or len(at_end) < len(partitions)) and time.monotonic() < deadline:
        for message in consumer.consume(10_000, timeout=0.5):
            if (error := message.error()) is None:
                count += 1
                deadline = time.monotonic() + PATIENCE
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
    consumer.close()
    return count
