"""Reading a topic as a member of a consumer group."""

from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from actions.kafka_settings import CONSUMER, client


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
