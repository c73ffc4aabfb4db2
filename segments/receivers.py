"""Signal receivers: update the streaks when actions are recorded or imported."""

import logging
from typing import Any

from django.db import DatabaseError
from django.dispatch import receiver

from actions.models import UserAction
from actions.signals import actions_imported, actions_recorded
from ccweb.db.steps import Steps
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments import streaks

logger = logging.getLogger(__name__)


@receiver(actions_recorded, sender=UserAction)
def update_streaks(actions: list[dict[str, Any]], **kwargs: Any) -> Steps[None]:
    """Steps after the commit, within the request: a read after the response sees this action."""
    return streaks.update_steps(actions)


@receiver(actions_imported, sender=UserAction)
def rebuild_streaks(**kwargs: Any) -> None:
    """Rebuild all streaks: an import may contain actions of today and yesterday."""
    try:
        streaks.rebuild()
    except (streaks.RebuildFailed, streaks.CommandRefused, DependencyUnavailable, DatabaseError) as error:
        logger.error("streaks do not include the imported actions, run manage.py rebuild_streaks: %s", error)
