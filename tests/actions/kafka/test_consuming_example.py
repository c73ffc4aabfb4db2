"""The example consumer of docs/consuming.md, run unchanged."""

import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.support.deployment import ROOT
from tests.support.manage_process import Running


@pytest.mark.stack
def test_the_documented_consumer_counts_a_repeated_message_once(kafka_broker: str, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": kafka_broker})
    for event_id, value in [("a", "1.50"), ("b", "2.25"), ("a", "1.50"), ("b", "2.25")]:
        message = {"event_id": event_id, "user_id": 7, "value": value}
        producer.produce("topic_user_actions", json.dumps(message), "7")
    producer.flush()
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/consuming.md").read_text(), re.S)
    environment = os.environ | {"KAFKA_BROKER": kafka_broker, "TOTALS": str(tmp_path / "totals.db")}
    with Running(["-c", example], environment) as consumer:
        consumer.finished()
    with sqlite3.connect(tmp_path / "totals.db") as database:
        assert database.execute("SELECT user_id, cents FROM total").fetchall() == [(7, 375)]
