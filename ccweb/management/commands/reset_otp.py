"""manage.py reset_otp USERNAME: for a member of staff who lost their phone and their recovery codes."""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ccweb.admin.second_factor import log, remove

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Also ends what the removed app or codes had verified: sessions of the user see nothing until the new set-up."""

    help = "Remove a user's second factor: they set up another when they next sign in to the admin by their password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        users = get_user_model()
        try:
            user = users._default_manager.get_by_natural_key(username)
        except users.DoesNotExist:
            raise CommandError(f"there is no user {username}") from None
        if not remove(user):
            raise CommandError(f"{username} has no second factor")
        log(user, "The second factor was removed by manage.py reset_otp.")
        logger.warning("the second factor of %s was removed by manage.py reset_otp", username)
        self.stdout.write(f"reset_otp: {username} sets up a new second factor when they next sign in")
