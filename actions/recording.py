"""Write function of actions: an action and its outbox row are committed in one transaction."""

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from itertools import groupby, repeat

from django.db import connection, transaction
from django.utils import timezone

from actions.models import TOPIC, UserAction
from actions.outbox import QUEUE, WAKE, headers_of, payload_of, queue_messages
from actions.signals import actions_recorded
from ccweb.db.steps import AfterCommit, Blocking, Steps, run
from ccweb.events.idempotency import Event, Verdict, record_once
from ccweb.events.insert import PostgreSQLInsert, sqlite_insert
from ccweb.request.origin import Origin, origin

COLUMNS = ("event_id", "user_id", "action_type", "value", "action_timestamp", "order_id", "recorded_by")
COMMON = ("received_at",)
ZERO = Decimal("0.00")
logger = logging.getLogger(__name__)


def record_actions(*, actions: Sequence[Event], origins: Sequence[Origin] = ()) -> list[Verdict]:
    """Store and queue the actions that are new, in order; one verdict each.

    An action is a dict of cleaned fields; user_id and action_type are required. `origins` are those of the requests
    that sent them, by default that of the current request for all. Raises DatabaseError: some actions may be stored,
    and a retry with the same event_ids is safe.
    """
    return run(record_steps(actions=actions, origins=origins))


def record_steps(
    *, actions: Sequence[Event], origins: Sequence[Origin] = (), fresh: bool | None = None
) -> Steps[list[Verdict]]:
    """The steps of record_actions; `fresh` actions have event_ids that the caller generated just now."""
    defaults = _defaults(timezone.now(), origins or repeat(origin.get()))
    return record_once(model=UserAction, sent=actions, defaults=defaults.__next__, insert=_insert, fresh=fresh)


def announce(actions: Sequence[Event]) -> Steps[None]:
    """Send actions_recorded to its receivers (relay, streaks) once the actions are committed."""
    if actions:
        yield AfterCommit(partial(_send, actions))


def _send(actions: Sequence[Event]) -> Steps[None]:
    """A receiver returns None, or steps. The actions are stored, so no error of a receiver is the client's."""
    for receiver, steps in actions_recorded.send_robust(sender=UserAction, actions=actions):
        try:
            if isinstance(steps, Generator):
                yield from steps
        except Exception:
            logger.exception("a receiver of actions_recorded failed: %s", receiver)


def _defaults(now: datetime, origins: Iterable[Origin]) -> Iterator[Event]:
    for sender, its_actions in groupby(origins):
        of_request = {
            "value": ZERO,
            "action_timestamp": now,
            "order_id": None,
            "received_at": now,
            "origin": sender,
            "recorded_by": sender.key or None,
        }
        yield from (of_request for _ in its_actions)


def _insert(actions: Sequence[Event], *, fresh: bool) -> Steps[dict[str, int]]:
    if connection.vendor == "postgresql":
        stored = yield from _insert_postgresql(actions, fresh)
    else:
        stored = yield Blocking(partial(_insert_sqlite, actions))
    # Announced here, because reading the verdicts of the other actions may still fail.
    yield from announce([action for action in actions if action["event_id"] in stored])
    return stored


@cache
def _statement() -> PostgreSQLInsert:
    return PostgreSQLInsert(
        UserAction,
        COLUMNS,
        common=COMMON,
        extra="payload headers",
        then=QUEUE,
        also=f", {WAKE}",
    )


def _insert_postgresql(actions: Sequence[Event], fresh: bool) -> Steps[dict[str, int]]:
    messages = [[payload_of(action) for action in actions], [headers_of(action) for action in actions]]
    return (yield from _statement().steps(actions, messages, [TOPIC, timezone.now()], fresh=fresh))


def _insert_sqlite(actions: Sequence[Event]) -> dict[str, int]:
    with transaction.atomic():
        stored = sqlite_insert(UserAction, COLUMNS + COMMON, actions)
        queue_messages(action for action in actions if action["event_id"] in stored)
    return stored
