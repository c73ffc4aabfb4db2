"""What segments do when actions are recorded."""

from typing import Any

from django.dispatch import receiver

from actions.models import UserAction
from actions.signals import actions_recorded
from segments import streaks


@receiver(actions_recorded, sender=UserAction)
def keep_streaks(actions: list[dict[str, Any]], **kwargs: Any) -> None:
    """Runs after the commit, in the request: whoever reads the streak after the answer sees this action."""
    streaks.keep(actions)
