"""Signal receivers: streaks of recorded and imported actions; what pruning has to know, and what it changes."""

import logging
from typing import Any

from django.db import DatabaseError
from django.dispatch import receiver

from actions.models import UserAction
from actions.signals import actions_imported, actions_needed, actions_pruned, actions_recorded
from ccweb.db.steps import Steps
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments import streaks
from segments.models import RfmPolicy, RfmRun

logger = logging.getLogger(__name__)


@receiver(actions_recorded, sender=UserAction)
def update_streaks(actions: list[dict[str, Any]], **kwargs: Any) -> Steps[None]:
    """Steps after the commit, within the request: a read after the response sees this action."""
    return streaks.update_steps(actions)


@receiver(actions_needed, sender=UserAction)
def days_of_the_window(**kwargs: Any) -> int:
    """The window of the active policy ends at an as_of that is at most a day old."""
    return RfmPolicy.objects.active().window_days + 1


@receiver(actions_pruned, sender=UserAction)
def read_everything_again(**kwargs: Any) -> None:
    """The rows hold figures of the pruned actions, so the next run cannot go on from them."""
    RfmRun.objects.done().update(seen_action_id=None)


@receiver(actions_imported, sender=UserAction)
def rebuild_streaks(**kwargs: Any) -> None:
    """Rebuild all streaks: an import may contain actions of today and yesterday."""
    try:
        streaks.rebuild()
    except (streaks.RebuildFailed, streaks.CommandRefused, DependencyUnavailable, DatabaseError) as error:
        logger.error("streaks do not include the imported actions, run manage.py rebuild_streaks: %s", error)
