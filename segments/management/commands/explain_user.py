"""manage.py explain_user: print a user's recommendation and its reason."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ccweb.api.user_ids import user_id_argument
from segments.recommendations.recommend import recommend
from segments.rules.rewards import days_text


class Command(BaseCommand):
    """The same answer as the API's, as text."""

    help = "Say what is recommended to a user now and why."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user_id", type=user_id_argument, metavar="USER_ID")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the inputs, the reason, and the answer as the summary line."""
        answer = recommend(options["user_id"]).as_json()
        streak = "streak unknown" if answer["degraded"] else f"a streak of {days_text(answer['streak_count'])}"
        self.stdout.write(f"user {answer['user_id']}: {answer['rfm_group']}, {answer['risk_profile']}, {streak}")
        self.stdout.write(f"probability: {answer['reason']}")
        self.stdout.write(
            f"explain_user: {answer['recommended_reward_probability']:.4f} {answer['recommended_time_window']}, "
            f"by policy revision {answer['policy_revision']}"
        )
