"""Idempotent recording: an event is stored once per event_id, and each event that was sent gets a verdict."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from django.db import OperationalError, connection, models

from ccweb.db.errors import sqlstate
from ccweb.db.steps import Blocking, Steps
from ccweb.events.erasure import erased_among
from ccweb.events.event_ids import new_event_id

Event = dict[str, Any]  # event_id is text: a UUID in its canonical form
Status = Literal["accepted", "duplicate", "conflict", "erased"]
MAX_TRIES = 3
DEADLOCK = "40P01"  # SQLSTATE deadlock_detected


class Insert(Protocol):
    """The steps that store events; `fresh` has no effect on SQLite."""

    def __call__(self, events: Sequence[Event], /, *, fresh: bool) -> Steps[dict[str, int]]:
        """Store, in order, events whose event_id is new and whose user is not erased; returns row ids by event_id.

        The event_ids of fresh events were generated just now.
        """


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one event; `event` holds its stored fields when it was accepted or is a duplicate."""

    status: Status
    event: Event


def record_once(
    *,
    model: type[models.Model],
    sent: Sequence[Event],
    defaults: Callable[[], Event],
    insert: Insert,
    fresh: bool | None = None,
) -> Steps[list[Verdict]]:
    """The steps that store the events that are new; their result is the verdicts of all, in order.

    `sent` holds the cleaned fields that the client sent; `defaults()` returns the others but the event_id. An event is
    a duplicate when every field that was sent equals the stored one. `fresh`: the caller generated the event_ids just
    now. Raises DatabaseError when nothing is known to be stored.
    """
    if fresh is None:
        fresh = not any("event_id" in fields for fields in sent)
    events = [_complete(fields, defaults) for fields in sent]
    stored: dict[str, Event] = {}  # by this call
    erased: set[int] = set()
    store = partial(insert, fresh=fresh)
    for _ in range(MAX_TRIES):
        first = _first(e for e in events if e["event_id"] not in stored and e["user_id"] not in erased)
        new = (yield from _with_retries(store, list(first.values()))) if first else {}
        for key, row_id in new.items():
            first[key]["id"] = row_id
            stored[key] = first[key]
        if len(stored) == len(sent):
            return [Verdict("accepted", event) for event in events]
        if fresh:  # no row was there before, so only those of erased users are missing
            erased = {event["user_id"] for event in events if event["event_id"] not in stored}
            return _verdicts(sent, events, stored, set(stored), erased)
        # Read by a second statement: ON CONFLICT DO NOTHING does not return the row of a concurrent transaction.
        event_ids, user_ids = {event["event_id"] for event in events}, {event["user_id"] for event in events}
        known = stored | (yield Blocking(partial(_stored, model, event_ids - stored.keys())))
        erased = yield Blocking(partial(erased_among, user_ids))
        if all(e["event_id"] in known or e["user_id"] in erased for e in events):
            return _verdicts(sent, events, known, set(stored), erased)
    raise OperationalError("an event with this event_id is being deleted and sent again; try again")


def _complete(fields: Event, defaults: Callable[[], Event]) -> Event:
    event = defaults() | fields
    if "event_id" not in event:
        event["event_id"] = new_event_id()
    return event


def _first(events: Iterable[Event]) -> dict[str, Event]:
    """The first event of each event_id."""
    first: dict[str, Event] = {}
    for event in events:
        first.setdefault(event["event_id"], event)
    return first


def _with_retries(
    store: Callable[[Sequence[Event]], Steps[dict[str, int]]], events: Sequence[Event]
) -> Steps[dict[str, int]]:
    for _ in range(MAX_TRIES - 1):
        try:
            return (yield from store(events))
        except OperationalError as error:
            # Two lists had the same event_ids in opposite order; the database rolled this one back.
            if sqlstate(error) != DEADLOCK or connection.in_atomic_block:
                raise
    return (yield from store(events))


def _stored(model: type[models.Model], event_ids: Collection[str]) -> dict[str, Event]:
    names = [field.attname for field in model._meta.concrete_fields]
    rows = model._default_manager.filter(event_id__in=event_ids).values(*names)
    return {str(row["event_id"]): row | {"event_id": str(row["event_id"])} for row in rows}


def _verdicts(
    sent: Sequence[Event], events: list[Event], known: dict[str, Event], new: set[str], erased: set[int]
) -> list[Verdict]:
    verdicts = []
    for fields, event in zip(sent, events, strict=True):
        key = event["event_id"]
        if event["user_id"] in erased:
            verdicts.append(Verdict("erased", event))
        elif key in new:
            new.remove(key)  # its next occurrence in the list is a replay
            verdicts.append(Verdict("accepted", event))
        elif all(known[key][name] == value for name, value in fields.items()):
            verdicts.append(Verdict("duplicate", known[key]))
        else:
            verdicts.append(Verdict("conflict", event))
    return verdicts
