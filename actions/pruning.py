"""Retention: deletes old actions in small transactions, never those that an RFM run may still read."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Max, Min
from django.utils import timezone

from actions.models import UserAction
from actions.signals import actions_needed, actions_pruned

LEAST_DAYS = 31  # whatever else reads actions
STRIDE = 10_000  # ids per transaction, so at most as many rows


def prune_actions(*, older_than_days: int) -> Iterator[tuple[int, float]]:
    """Delete actions whose action_timestamp is more than `older_than_days` days ago.

    Yields (deleted so far, share of the ids processed, 0..1) after each transaction. Raises ValueError below
    least_days(). The event_id of a deleted action is no longer known: the same event sent again is stored as a new one.
    """
    if older_than_days < (least := least_days()):
        raise ValueError(f"at least {least} days: the RFM window still reads newer actions")
    deleted = 0
    try:
        for deleted, share in _prune(older_than_days):  # noqa: B007 - the last value is asked for below
            yield deleted, share
    finally:
        if deleted:
            actions_pruned.send(sender=UserAction)


def least_days() -> int:
    """For how many days back some part of the system reads actions."""
    needed: list[tuple[Any, Any]] = actions_needed.send(sender=UserAction)
    return max([LEAST_DAYS, *(int(days) for _, days in needed)])


def _prune(older_than_days: int) -> Iterator[tuple[int, float]]:
    cutoff = timezone.now() - timedelta(days=older_than_days)
    ids = UserAction.objects.aggregate(first=Min("id"), last=Max("id"))
    if ids["first"] is None:
        return
    deleted, span = 0, ids["last"] - ids["first"] + 1
    for start in range(ids["first"], ids["last"] + 1, STRIDE):
        old = UserAction.objects.filter(id__gte=start, id__lt=start + STRIDE, action_timestamp__lt=cutoff)
        deleted += old.delete()[0]
        yield deleted, min(1.0, (start + STRIDE - ids["first"]) / span)
