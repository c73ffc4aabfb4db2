"""The one write door: an action and its outbox row are committed together, or not at all."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache, partial
from itertools import repeat

from django.db import connection, transaction
from django.utils import timezone

from actions.models import CHANNEL, RELAY_IDLE_LOCK, TOPIC, OutboxMessage, UserAction
from actions.signals import actions_recorded
from ccweb.api.instants import format_instant
from ccweb.events.event_ids import new_event_id
from ccweb.events.idempotency import Event, Verdict, record_once
from ccweb.events.insert import PostgreSQLInsert, sqlite_insert
from ccweb.request.request_id import request_id

COLUMNS = ("event_id", "user_id", "action_type", "value", "action_timestamp")
COMMON = ("received_at",)
ZERO = Decimal("0.00")
QUEUE = """, queued AS (
    INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    SELECT %s, user_id::text, payload, headers::jsonb, %s, ''
    FROM {new} ORDER BY n)"""
# The relay holds this lock exclusively while it sleeps; NOTIFY serialises commits, so a busy relay gets none.
WAKE = f"(SELECT CASE WHEN NOT pg_try_advisory_xact_lock_shared({RELAY_IDLE_LOCK}) THEN pg_notify('{CHANNEL}', '') END)"


def record_actions(*, actions: Sequence[Event], origins: Sequence[str] = ()) -> list[Verdict]:
    """Store and queue the actions that are new, in order; one verdict each.

    An action is a dict of cleaned fields; user_id and action_type are required. `origins` are the ids of the requests
    that they came with, by default the current one for all. Raises DatabaseError (nothing is known to be stored; a
    retry with the same event_ids is safe).
    """
    defaults = _defaults(timezone.now(), origins or repeat(request_id.get()))
    return record_once(model=UserAction, sent=actions, defaults=defaults.__next__, insert=_insert)


def announce(actions: list[Event]) -> None:
    """Tell the listeners (relay, streaks) once the actions are committed."""
    if actions:
        transaction.on_commit(partial(actions_recorded.send_robust, sender=UserAction, actions=actions))


def queue_messages(actions: Iterable[Event]) -> None:
    """Write the outbox rows of stored actions; call it in the transaction that stores them."""
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


def wake_relay() -> None:
    """Tell a sleeping relay of another process, when this transaction commits, that something waits."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {WAKE}")


def payload_of(action: Event) -> str:
    """The message value: JSON with user_id, action_type, action_timestamp, event_id, value."""
    # By hand: json.dumps takes several times as long. Only the type could hold something to escape, if a caller let it.
    return (
        f'{{"user_id": {action["user_id"]:d}, "action_type": {_quoted(action["action_type"])}, '
        f'"action_timestamp": "{format_instant(action["action_timestamp"])}", '
        f'"event_id": "{action["event_id"]}", "value": "{action["value"]:.2f}"}}'
    )


def headers_of(action: Event) -> str:
    """The headers of the message as JSON: event_id, and request_id when the action came with a request."""
    request = f', "request_id": {_quoted(action["origin"])}' if action["origin"] else ""
    return f'{{"event_id": "{action["event_id"]}"{request}}}'


@lru_cache(1000)
def _quoted(text: str) -> str:
    return json.dumps(text)


def _defaults(now: datetime, origins: Iterable[str]) -> Iterator[Event]:
    for origin in origins:
        yield {
            "event_id": new_event_id(),
            "value": ZERO,
            "action_timestamp": now,
            "received_at": now,
            "origin": origin,
        }


def _insert(actions: Sequence[Event], *, fresh: bool) -> dict[str, int]:
    stored = _insert_postgresql(actions, fresh) if connection.vendor == "postgresql" else _insert_sqlite(actions)
    announce([action for action in actions if action["event_id"] in stored])  # whatever becomes of the others' verdicts
    return stored


@cache
def _statement() -> PostgreSQLInsert:
    return PostgreSQLInsert(UserAction, COLUMNS, common=COMMON, extra="payload headers", then=QUEUE, also=f", {WAKE}")


def _insert_postgresql(actions: Sequence[Event], fresh: bool) -> dict[str, int]:
    messages = [[payload_of(action) for action in actions], [headers_of(action) for action in actions]]
    return _statement().run(actions, messages, [TOPIC, timezone.now()], fresh=fresh)


def _insert_sqlite(actions: Sequence[Event]) -> dict[str, int]:
    with transaction.atomic():
        stored = sqlite_insert(UserAction, COLUMNS + COMMON, actions)
        queue_messages(action for action in actions if action["event_id"] in stored)
    return stored
