"""Retention: deletes old actions in small transactions, never those that an RFM run may still read."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Max, Min
from django.utils import timezone

from actions.models import UserAction

# The RFM window is 30 days before an as_of that is at most a day old.
LEAST_DAYS = 31
STRIDE = 10_000  # ids per transaction, so at most as many rows


def prune_actions(*, older_than_days: int) -> Iterator[tuple[int, float]]:
    """Delete actions whose action_timestamp is more than `older_than_days` days ago.

    Yields (deleted so far, share of the ids processed, 0..1) after each transaction. Raises ValueError below 31 days.
    The event_id of a deleted action is no longer known: the same event sent again is stored as a new one.
    """
    if older_than_days < LEAST_DAYS:
        raise ValueError(f"at least {LEAST_DAYS} days: the RFM window still reads newer actions")
    cutoff = timezone.now() - timedelta(days=older_than_days)
    ids = UserAction.objects.aggregate(first=Min("id"), last=Max("id"))
    if ids["first"] is None:
        return
    deleted, span = 0, ids["last"] - ids["first"] + 1
    for start in range(ids["first"], ids["last"] + 1, STRIDE):
        old = UserAction.objects.filter(id__gte=start, id__lt=start + STRIDE, action_timestamp__lt=cutoff)
        deleted += old.delete()[0]
        yield deleted, min(1.0, (start + STRIDE - ids["first"]) / span)
