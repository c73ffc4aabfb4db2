"""The write door of site visits."""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from ccweb.api.idempotency import Event, Verdict, record_once
from ccweb.api.identity import new_event_id
from ccweb.api.inserting import arrays, postgresql_insert, run, run_single, scalars, sqlite_insert
from visits.models import SiteVisit

COLUMNS = ("event_id", "user_id", "source", "visit_timestamp")


def record_visits(*, visits: Sequence[Event]) -> list[Verdict]:
    """Store the visits that are new, in order; one verdict each. Raises DatabaseError when nothing is stored."""
    return record_once(model=SiteVisit, sent=visits, defaults=_defaults, insert=_insert)


def _defaults() -> Event:
    return {"event_id": new_event_id(), "visit_timestamp": timezone.now()}


@cache
def _statement(*, single: bool) -> str:
    return postgresql_insert(SiteVisit, COLUMNS, single=single)


def _insert(visits: Sequence[Event]) -> dict[UUID, int]:
    if connection.vendor == "postgresql":
        if len(visits) == 1:
            return run_single(_statement(single=True), visits[0], scalars(visits[0], COLUMNS))
        return run(_statement(single=False), arrays(visits, COLUMNS))
    with transaction.atomic():
        return sqlite_insert(SiteVisit, COLUMNS, visits)
