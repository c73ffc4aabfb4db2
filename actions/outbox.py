"""Transactional outbox: the message of an action is written in its transaction; the relay publishes it to Kafka."""

import json
from collections.abc import Iterable
from functools import lru_cache

from django.db import connection

from actions.models import CHANNEL, RELAY_IDLE_LOCK, TOPIC, OutboxMessage
from ccweb.api.instants import format_instant
from ccweb.events.event_ids import new_event_id
from ccweb.events.idempotency import Event
from ccweb.request.origin import Origin

QUEUE = """, queued AS (
    INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    SELECT %s, user_id::text, payload, headers::jsonb, %s, ''
    FROM {new} ORDER BY n)"""
# An idle relay holds this lock exclusively. NOTIFY serialises commits, so writers send none to a busy relay.
WAKE = f"(SELECT CASE WHEN NOT pg_try_advisory_xact_lock_shared({RELAY_IDLE_LOCK}) THEN pg_notify('{CHANNEL}', '') END)"


def queue_messages(actions: Iterable[Event]) -> None:
    """Write the outbox rows of stored actions; to be called in the transaction that stores them."""
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            topic=TOPIC,
            key=str(action["user_id"]),
            payload=payload_of(action),
            headers=json.loads(headers_of(action)),
        )
        for action in actions
    )
    wake_relay()


def queue_message(topic: str, key: str, payload: str) -> None:
    """Write the outbox row of a message that is about no action; to be called in the transaction that it tells of."""
    OutboxMessage.objects.create(topic=topic, key=key, payload=payload, headers={"event_id": new_event_id()})
    wake_relay()


def wake_relay() -> None:
    """Notify an idle relay of another process that messages are waiting, when this transaction commits."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {WAKE}")


def payload_of(action: Event) -> str:
    """The message value: JSON with user_id, action_type, action_timestamp, event_id, value, and order_id if any."""
    # Formatted by hand: json.dumps takes several times as long. Only the type and the order are text to be escaped.
    order = "" if action["order_id"] is None else f', "order_id": {json.dumps(action["order_id"])}'
    return (
        f'{{"user_id": {action["user_id"]:d}, "action_type": {_quoted(action["action_type"])}, '
        f'"action_timestamp": "{format_instant(action["action_timestamp"])}", '
        f'"event_id": "{action["event_id"]}", "value": "{action["value"]:.2f}"{order}}}'
    )


def headers_of(action: Event) -> str:
    """The headers of the message as JSON: event_id; the request_id and traceparent of the request that sent it."""
    origin: Origin = action["origin"]
    request = f', "request_id": {_quoted(origin.request_id)}' if origin.request_id else ""
    trace = f', "traceparent": "{origin.traceparent}"' if origin.traceparent else ""
    return f'{{"event_id": "{action["event_id"]}"{request}{trace}}}'


@lru_cache(1000)
def _quoted(text: str) -> str:
    return json.dumps(text)
