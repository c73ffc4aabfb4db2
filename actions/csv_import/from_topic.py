"""The actions in Kafka's topic as rows to import: those that a restored database lacks are read back."""

import json
from collections.abc import Iterator
from typing import Any

from actions.csv_import.cells import (
    BadLine,
    action_type_of,
    event_id_of,
    instant_until,
    latest_instant,
    order_id_of,
    user_id_of,
    value_of,
)
from actions.csv_import.reader import BadRow, Row
from actions.kafka.topic_reader import Record, TopicReader

FIELDS = ("event_id", "user_id", "action_type", "value", "action_timestamp")
MAX_PARTITIONS = 1 << 16


class TopicActions:
    """The actions of a topic. The number of a row holds its offset and its partition, so that rows stay in order."""

    unit = "message"

    def __init__(self, reader: TopicReader) -> None:
        self._reader, self._latest = reader, latest_instant()

    def __iter__(self) -> Iterator[Row | BadRow]:
        """The rows, and what cannot be read as one. Raises TopicUnreadable."""
        for record in self._reader:
            line = record.offset * MAX_PARTITIONS + record.partition
            try:
                yield self._row(line, record)
            except BadLine as error:
                yield BadRow(self.place(line), str(error))

    def place(self, line: int) -> str:
        offset, partition = divmod(line, MAX_PARTITIONS)
        return f"partition {partition}, offset {offset}"

    def _row(self, line: int, record: Record) -> Row:
        fields = _fields(record.value)
        return Row(
            line,
            event_id_of(fields["event_id"]),
            user_id_of(fields["user_id"]),
            action_type_of(fields["action_type"]),
            value_of(fields["value"]),
            instant_until(self._latest, fields["action_timestamp"]),
            order_id_of(fields["order_id"]),
            given=True,
        )


def _fields(value: bytes | None) -> dict[str, str]:
    """The fields of an action as text; raises BadLine."""
    try:
        message: Any = json.loads(value or b"")
    except ValueError:
        raise BadLine("it is not JSON") from None
    if type(message) is not dict or not message.keys() >= set(FIELDS):
        raise BadLine(f"it is not a JSON object with {', '.join(FIELDS)}")
    return {name: str(message[name]) for name in FIELDS} | {"order_id": str(message.get("order_id", ""))}
