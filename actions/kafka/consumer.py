"""A Kafka consumer for the console: reads the topic as any consumer group does and prints its messages."""

import json
import re
import threading
import time
from collections.abc import Callable
from typing import TextIO

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from actions.kafka.config import CONSUMER, client, topic_in_kafka
from actions.models import TOPIC

COMMIT_EVERY = 500  # messages between two commits, at most
POLL_TIMEOUT_SECONDS = 0.5
REPORT_INTERVAL_SECONDS = 30.0  # between two reports of the same error


def print_messages(
    *,
    group: str,
    from_beginning: bool,
    limit: int | None,
    out: TextIO,
    report: Callable[[str], None],
    stop: threading.Event,
) -> int:
    """Print the messages' values, one JSON document per line, flushed, until `stop` or the limit; returns how many.

    Offsets are committed after printing; messages whose offsets a crash left uncommitted are printed again. `report`
    gets text about what blocks the consumer. Raises BrokenPipeError when the reader of `out` has closed it.
    """
    reader = Reader(topic=TOPIC, group=group, from_beginning=from_beginning, on_error=ErrorReporter(report).report)
    printed = uncommitted = 0
    try:
        while not stop.is_set() and printed != limit:
            value = reader.read(0 if uncommitted else POLL_TIMEOUT_SECONDS)
            if value is not None:
                out.write(json_line(value))
                out.flush()
                reader.store_offset()
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


class ErrorReporter:
    """Reports the errors that block the reader, each text at most twice a minute."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._reported: dict[str, float] = {}  # text without numbers to time.monotonic()

    def report(self, error: str) -> None:
        """Report an error text of the Kafka client, unless it was reported in the last REPORT_INTERVAL_SECONDS."""
        kind, now = re.sub("[0-9]+", "", error), time.monotonic()  # it holds the milliseconds of the attempt
        if now - self._reported.get(kind, -REPORT_INTERVAL_SECONDS) >= REPORT_INTERVAL_SECONDS:
            self._reported[kind] = now
            self._report(f"waiting for Kafka: {error}")


class Reader:
    """Reads a topic as a member of a consumer group; a broker or topic that does not exist yet is waited for."""

    def __init__(self, *, topic: str, group: str, from_beginning: bool, on_error: Callable[[str], None]) -> None:
        """`topic` is a name of ours, without KAFKA_TOPIC_PREFIX. `on_error` is called with the text of each error."""
        self._on_error = on_error
        self._rewind_on_assign = from_beginning
        self._consumer = Consumer(
            client(**CONSUMER) | {"group.id": group, "error_cb": lambda error: on_error(error.str())}
        )
        self._consumer.subscribe([topic_in_kafka(topic)], on_assign=self._assign)

    def read(self, seconds: float) -> bytes | None:
        """The value of the next message, or None when none arrives within `seconds`."""
        message = self._consumer.poll(seconds)
        if message is None:
            return None
        if error := message.error():
            self._on_error(error.str())
            return None
        self._last = message
        return message.value() or b""

    def store_offset(self) -> None:
        """Mark the last message as processed: the next commit includes it."""
        self._consumer.store_offsets(self._last)

    def commit(self) -> bool:
        """Commit the stored offsets; False when Kafka did not confirm, then call it again."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                self._on_error(error.args[0].str())
                return False
        return True

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._rewind_on_assign:
            self._rewind_on_assign = False
            for partition in partitions:
                partition.offset = OFFSET_BEGINNING
            consumer.assign(partitions)
