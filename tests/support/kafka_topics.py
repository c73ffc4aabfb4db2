"""Reads a Kafka topic to its end, and deletes all topics of a broker."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.os_processes import wait_for


def read_topic(broker: str, topic: str, *, at_least: int = 0, seconds: float = 120) -> list[Message]:
    """All messages of a topic, in order within each partition, as soon as there are `at_least` that many.

    Raises TimeoutError when the topic or that many messages do not appear in time.
    """
    settings = {"group.id": "none", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
    consumer = Consumer({"bootstrap.servers": broker, **settings})
    wait_for(lambda: topic in consumer.list_topics(timeout=60).topics, f"topic {topic}", seconds)
    partitions = consumer.list_topics(timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    messages: list[Message] = []
    at_end: set[int | None] = set()
    deadline = time.monotonic() + seconds
    while len(messages) < at_least or len(at_end) < len(partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(messages)} of {at_least} messages in {topic} after {seconds:.0f} s")
        if (message := consumer.poll(0.5)) is None:
            continue
        if (error := message.error()) is None:
            messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add(message.partition())
        else:
            raise KafkaException(error)
    consumer.close()
    return messages


def empty_broker(broker: str) -> None:
    """Delete every topic except Kafka's internal ones, and wait until they are gone."""
    admin = AdminClient({"bootstrap.servers": broker})

    def ours() -> list[str]:
        return [topic for topic in admin.list_topics(timeout=30).topics if not topic.startswith("__")]

    if topics := ours():
        for deletion in admin.delete_topics(topics).values():
            deletion.result()
        wait_for(lambda: not ours(), "the topics to go")
