"""Write function of site visits."""

from collections.abc import Sequence
from functools import cache

from django.db import connection, transaction
from django.utils import timezone

from ccweb.db.steps import Steps, run
from ccweb.events.idempotency import Event, Verdict, record_once
from ccweb.events.insert import PostgreSQLInsert, sqlite_insert
from ccweb.request.origin import origin
from visits.models import SiteVisit

COLUMNS = ("event_id", "user_id", "source", "visit_timestamp", "recorded_by")


def record_visits(*, visits: Sequence[Event]) -> list[Verdict]:
    """Store the visits that are new, in order; one verdict each. Raises DatabaseError when nothing is stored."""
    return run(record_once(model=SiteVisit, sent=visits, defaults=_defaults, insert=_insert))


def _defaults() -> Event:
    return {"visit_timestamp": timezone.now(), "recorded_by": origin.get().key or None}


@cache
def _statement() -> PostgreSQLInsert:
    return PostgreSQLInsert(SiteVisit, COLUMNS)


def _insert(visits: Sequence[Event], *, fresh: bool) -> Steps[dict[str, int]]:
    if connection.vendor == "postgresql":
        return (yield from _statement().steps(visits, fresh=fresh))
    with transaction.atomic():
        return sqlite_insert(SiteVisit, COLUMNS, visits)
