"""A Kafka consumer for the console: reads the topic as any consumer group does and prints its messages."""

import json
import threading
import time
from collections.abc import Callable
from typing import TextIO

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from actions.kafka.config import CONSUMER, client
from actions.models import TOPIC

COMMIT_EVERY = 500  # messages between two commits, at most
POLL_TIMEOUT_SECONDS = 0.5  # seconds


def print_messages(
    *,
    group: str,
    from_beginning: bool,
    limit: int | None,
    out: TextIO,
    say: Callable[[str], None],
    stop: threading.Event,
) -> int:
    """Print the messages' values, one JSON a line, flushed, until `stop` or the limit; returns how many.

    What is printed is committed; after a crash in between it is printed again. Raises BrokenPipeError when nobody
    reads any more.
    """
    reader = Reader(topic=TOPIC, group=group, from_beginning=from_beginning, trouble=Complaints(say).hear)
    printed = uncommitted = 0
    try:
        while not stop.is_set() and printed != limit:
            value = reader.read(0 if uncommitted else POLL_TIMEOUT_SECONDS)
            if value is not None:
                out.write(json_line(value))
                out.flush()
                reader.keep_place()
                printed, uncommitted = printed + 1, uncommitted + 1
            if uncommitted and (value is None or uncommitted >= COMMIT_EVERY) and reader.commit():
                uncommitted = 0
        return printed
    finally:
        reader.commit()
        reader.close()


def json_line(value: bytes) -> str:
    """The value as one line of JSON; what is not JSON is shown as {"not_json": text}."""
    try:
        return json.dumps(json.loads(value), ensure_ascii=False) + "\n"
    except ValueError:
        return json.dumps({"not_json": value.decode(errors="backslashreplace")}) + "\n"


class Complaints:
    """Says what keeps the reader waiting, each thing at most twice a minute."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[str, float] = {}

    def hear(self, trouble: str) -> None:
        """Trouble in the words of the Kafka client."""
        if time.monotonic() - self._said.get(trouble, -30.0) >= 30.0:
            self._said[trouble] = time.monotonic()
            self._say(f"waiting for Kafka: {trouble}")


class Reader:
    """Reads a topic as a member of a group, waiting for what is not there yet: broker, topic, message."""

    def __init__(self, *, topic: str, group: str, from_beginning: bool, trouble: Callable[[str], None]) -> None:
        """`trouble` is told in words what keeps it waiting."""
        self._trouble = trouble
        self._to_rewind = from_beginning
        self._consumer = Consumer(
            client(**CONSUMER) | {"group.id": group, "error_cb": lambda error: trouble(error.str())}
        )
        self._consumer.subscribe([topic], on_assign=self._assign)

    def read(self, seconds: float) -> bytes | None:
        """The value of the next message, or None when none came in time."""
        message = self._consumer.poll(seconds)
        if message is None:
            return None
        if error := message.error():
            self._trouble(error.str())
            return None
        self._last = message
        return message.value() or b""

    def keep_place(self) -> None:
        """The message read last is done: the next commit covers it."""
        self._consumer.store_offsets(self._last)

    def commit(self) -> bool:
        """Remember the place after the last read message; False when Kafka did not answer, then try again."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                self._trouble(error.args[0].str())
                return False
        return True

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._to_rewind:
            self._to_rewind = False
            for partition in partitions:
                partition.offset = OFFSET_BEGINNING
            consumer.assign(partitions)
