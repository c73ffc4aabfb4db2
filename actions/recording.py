"""The one write door: an action and its outbox row are committed together, or not at all."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache, partial
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from actions.models import CHANNEL, RELAY_IDLE_LOCK, TOPIC, OutboxMessage, UserAction
from actions.signals import actions_recorded
from ccweb.api.fields import format_instant
from ccweb.api.idempotency import Event, Verdict, record_once
from ccweb.api.identity import new_event_id
from ccweb.api.inserting import arrays, postgresql_insert, run, run_single, scalars, sqlite_insert
from ccweb.api.tracing import request_id

COLUMNS = ("event_id", "user_id", "action_type", "value", "action_timestamp", "received_at")
ZERO = Decimal("0.00")
QUEUE = """, queued AS (
    INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    SELECT %s, user_id::text, payload, jsonb_build_object('event_id', event_id) || %s::jsonb, %s, ''
    FROM sent JOIN stored USING (event_id) ORDER BY n)"""
# The relay holds this lock exclusively while it sleeps; NOTIFY serialises commits, so a busy relay gets none.
WAKE = f"(SELECT CASE WHEN NOT pg_try_advisory_xact_lock_shared({RELAY_IDLE_LOCK}) THEN pg_notify('{CHANNEL}', '') END)"


def record_actions(*, actions: Sequence[Event]) -> list[Verdict]:
    """Store and queue the actions that are new, in order; one verdict each.

    An action is a dict of cleaned fields; user_id and action_type are required. Raises DatabaseError (nothing is known
    to be stored; a retry with the same event_ids is safe).
    """
    verdicts = record_once(model=UserAction, sent=actions, defaults=partial(_defaults, timezone.now()), insert=_insert)
    announce([verdict.event for verdict in verdicts if verdict.status == "accepted"])
    return verdicts


def announce(actions: list[Event]) -> None:
    """Tell the listeners (relay, streaks) once the actions are committed."""
    if actions:
        transaction.on_commit(partial(actions_recorded.send_robust, sender=UserAction, actions=actions))


def queue_messages(actions: Iterable[Event]) -> None:
    """Write the outbox rows of stored actions; call it in the transaction that stores them."""
    headers = _headers()
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            topic=TOPIC,
            key=str(action["user_id"]),
            payload=payload_of(action),
            headers={"event_id": str(action["event_id"])} | headers,
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


@lru_cache(1000)
def _quoted(text: str) -> str:
    return json.dumps(text)


def _defaults(now: datetime) -> Event:
    return {"event_id": new_event_id(), "value": ZERO, "action_timestamp": now, "received_at": now}


def _headers() -> dict[str, str]:
    current = request_id.get()
    return {"request_id": current} if current else {}


def _insert(actions: Sequence[Event]) -> dict[UUID, int]:
    return _insert_postgresql(actions) if connection.vendor == "postgresql" else _insert_sqlite(actions)


@cache
def _statement(*, single: bool) -> str:
    return postgresql_insert(UserAction, COLUMNS, single=single, extra="payload", then=QUEUE, also=f", {WAKE}")


def _insert_postgresql(actions: Sequence[Event]) -> dict[UUID, int]:
    queue = [TOPIC, json.dumps(_headers()), timezone.now()]
    if len(actions) == 1:
        action = actions[0]
        return run_single(_statement(single=True), action, [*scalars(action, COLUMNS), payload_of(action), *queue])
    payloads = [payload_of(action) for action in actions]
    return run(_statement(single=False), [*arrays(actions, COLUMNS), payloads, *queue])


def _insert_sqlite(actions: Sequence[Event]) -> dict[UUID, int]:
    with transaction.atomic():
        stored = sqlite_insert(UserAction, COLUMNS, actions)
        queue_messages(action for action in actions if action["event_id"] in stored)
    return stored
