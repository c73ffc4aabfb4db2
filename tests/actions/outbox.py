"""Helpers of the tests of the relay and the consumer: record actions, read the outbox and the topic."""

import contextlib
import sqlite3

import psycopg

from tests.support.deployment import Stack

COUNT_WAITING = "SELECT count(*) FROM outbox WHERE quarantined_at IS NULL"


def record(stack: Stack, *user_ids: int) -> list[str]:
    """Post an action for each user; returns the event ids."""
    answer = stack.call("POST", "/api/actions", [{"user_id": user, "action_type": "login"} for user in user_ids])
    assert answer.status == 201, answer.body
    return [item["event_id"] for item in answer.json()["items"]]


def waiting(stack: Stack) -> int:
    """The number of messages that wait in the outbox."""
    kind, _, path = stack.database_url.partition("://")
    connection = sqlite3.connect(path) if kind == "sqlite" else psycopg.connect(stack.database_url)
    with contextlib.closing(connection):
        return int(connection.execute(COUNT_WAITING).fetchone()[0])


def delivered(stack: Stack, event_ids: list[str]) -> list[str]:
    """Those of the ids that are in Kafka, in the order of arrival, duplicates included."""
    ids = [dict(message.headers() or [])["event_id"].decode() for message in stack.messages() if message.headers()]
    return [event_id for event_id in ids if event_id in event_ids]
