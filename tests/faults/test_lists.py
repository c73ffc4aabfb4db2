"""Workers are killed while lists are on their way."""

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.deployment import Stack
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, need

pytestmark = [pytest.mark.stack, pytest.mark.long]
KILLS, BETWEEN_SECONDS = 3, 8  # granian gives up when a worker dies within 5.5 s of its start
CLIENTS, EVENTS = 6, 200


@pytest.fixture
def web() -> Iterator[Stack]:
    """The web process without Kafka: the outbox keeps every message."""
    with need(Postgres) as postgres:
        database = postgres.create_database("lists")
        with Stack(database_url=database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
            stack.manage("migrate")
            need(stack.web.start)
            stack.web.wait_for_workers()
            yield stack


def send_until(end: threading.Event, web: Stack, acknowledged: list[str]) -> None:
    """Send lists with event_ids, and each again until it is acknowledged."""
    while not end.is_set():
        event_ids = [str(uuid.uuid4()) for _ in range(EVENTS)]
        actions = [{"user_id": n + 1, "action_type": "x", "event_id": each} for n, each in enumerate(event_ids)]
        while not _is_stored(web, actions):
            time.sleep(0.1)
        acknowledged += event_ids


def _is_stored(web: Stack, actions: list[dict[str, object]]) -> bool:
    try:
        return web.call("POST", "/api/actions", actions).status == 201
    except OSError:  # the connection was cut
        return False


def test_killed_workers_lose_and_double_no_list(web: Stack) -> None:
    end, acknowledged = threading.Event(), list[str]()
    clients = [threading.Thread(target=send_until, args=[end, web, acknowledged]) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        time.sleep(BETWEEN_SECONDS)
        os.kill(random.choice(web.web.pids()[1:]), signal.SIGKILL)
    end.set()
    for client in clients:
        client.join(60)
    with psycopg.connect(web.database_url) as connection:
        rows = [str(row[0]) for row in connection.execute("SELECT event_id FROM user_actions")]
        messages = [row[0] for row in connection.execute("SELECT headers ->> 'event_id' FROM outbox")]
    print(f"{len(acknowledged):,} events acknowledged, {KILLS} workers killed")
    assert len(acknowledged) > 100 * EVENTS
    assert sorted(rows) == sorted(messages)
    assert len(set(messages)) == len(messages)
    assert set(acknowledged) <= set(rows)
