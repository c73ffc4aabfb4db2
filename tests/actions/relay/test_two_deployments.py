"""Two deployments on one Kafka: neither fences the other, and with a prefix each has topics of its own."""

import os
import uuid
from collections.abc import Iterator

import pytest

from actions.models import TOPIC
from tests.actions.outbox import record
from tests.support.deployment import Stack
from tests.support.servers import beside, create_database

pytestmark = [pytest.mark.stack, pytest.mark.long]
PREFIX = "second."
ROUNDS = 10


@pytest.fixture
def second_stack(live_stack: Stack, postgresql_server: str, migrated_database: str) -> Iterator[Stack]:
    """Another database on the same server, another Redis database, the same Kafka."""
    url = create_database(postgresql_server, f"second_{uuid.uuid4().hex}", migrated_database)
    servers = {"redis_url": beside(os.environ["REDIS_URL"], 1), "kafka_broker": live_stack.kafka_broker}
    with Stack(database_url=url, **servers, KAFKA_TOPIC_PREFIX=PREFIX) as stack:
        stack.web.start()
        yield stack


def test_both_deliver_by_turns_and_none_is_fenced(live_stack: Stack, second_stack: Stack) -> None:
    first: list[str] = []
    second: list[str] = []
    for _ in range(ROUNDS):
        first += record(live_stack, 7)
        second += record(second_stack, 7)
        assert ids(live_stack, TOPIC, len(first)) == first
        assert ids(second_stack, f"{PREFIX}{TOPIC}", len(second)) == second
    for stack in (live_stack, second_stack):
        assert "the relay is blocked" not in stack.web.log.read_text()


def ids(stack: Stack, topic: str, at_least: int) -> list[str]:
    messages = stack.messages(at_least, topic)
    return [dict(message.headers() or [])["event_id"].decode() for message in messages]
