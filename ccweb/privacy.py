"""Export and erasure of one user's data. STORES lists all tables with user data."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from secrets import randbits
from typing import Any, NamedTuple

from django.db import OperationalError, connection, models, transaction
from django.utils import timezone

from actions.models import ERASURES, RECEIPTS, OutboxMessage, UserAction
from actions.outbox import queue_message
from ccweb.api.restored import deployment
from ccweb.events.erasure import erased_among, mark_erased
from ccweb.events.receipts import Receipt, receipt_of
from ccweb.staff import log_entries
from segments import streaks
from segments.models import RiskChange, SegmentChange, UserSegment
from segments.recommendations.recommend import recommend
from segments.rfm.run_lock import Busy, only_run
from visits.models import SiteVisit

TIMEOUT_SECONDS = 120.0
LOCK_WAIT = "500ms"  # while the erasure waits for a lock, all later writers wait too


class Store(NamedTuple):
    """A table with rows of users. Erasure keeps pseudonymous rows for statistics, under a random negative user_id."""

    model: type[models.Model]
    pseudonymous: bool = False


STORES = {
    "actions": Store(UserAction),
    "site_visits": Store(SiteVisit),
    "segment": Store(UserSegment),
    "group_changes": Store(SegmentChange, pseudonymous=True),
    "risk_changes": Store(RiskChange, pseudonymous=True),
}
USER_MODELS = [store.model for store in STORES.values()]


def export_user(user_id: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """All data of a user: pairs of a store's name and an iterator of its rows, oldest first."""
    for name, store in STORES.items():
        yield name, store.model._default_manager.filter(user_id=user_id).order_by("pk").values().iterator()
    yield "messages_not_yet_delivered", map(dict, _messages(user_id).values().iterator())
    yield "streak", iter([{"days": recommend(user_id).streak}])


def erase_user(user_id: int) -> Counter[str]:
    """Delete or pseudonymise all data of a user and refuse their later events; returns the number of rows by store.

    The tables change in one transaction, so a killed erasure can be run again. Raises Busy or OperationalError when an
    RFM run or long writers lock the tables for more than TIMEOUT_SECONDS, and DependencyUnavailable when Redis did not
    answer at the end: then the tables are erased and the streak expires within two days.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            with only_run():  # a run that has read the user's actions would write the segment again
                receipt = _erase_rows(user_id)
            break
        except (Busy, OperationalError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    receipt["streak"] = streaks.delete(user_id)
    return receipt


def _erase_rows(user_id: int) -> Counter[str]:
    with transaction.atomic():
        _wait_for_writers()
        receipt = Counter({"staff_log": log_entries.scrub(user_id, USER_MODELS)})
        for name, store in STORES.items():
            receipt[name] = _erase_store(store, user_id)
        receipt["messages_not_yet_delivered"] = _messages(user_id).exclude(topic=ERASURES).delete()[0]
        is_known = bool(erased_among([user_id]))
        if marked := mark_erased(user_id, receipt):
            _announce(user_id, receipt_of(deployment(), marked), to_consumers=not is_known)
    return receipt


def _wait_for_writers() -> None:
    """Wait for inserts that have not seen the erasure to commit; SQLite has a single writer and needs no lock."""
    if connection.vendor == "postgresql":
        tables = ", ".join(store.model._meta.db_table for store in STORES.values())
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")


def _erase_store(store: Store, user_id: int) -> int:
    rows = store.model._default_manager.filter(user_id=user_id)
    return rows.update(user_id=-1 - randbits(62)) if store.pseudonymous else rows.delete()[0]


def _messages(user_id: int) -> models.QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(key=str(user_id)).order_by("pk")


def _announce(user_id: int, receipt: Receipt, *, to_consumers: bool) -> None:
    """Queue the receipt, and the message that asks consumers of user_actions, by the same key, to erase them too."""
    if to_consumers:
        payload = {"user_id": user_id, "erased_at": timezone.now().isoformat()}
        queue_message(ERASURES, str(user_id), json.dumps(payload))
    queue_message(RECEIPTS, receipt.token, receipt.as_json())
