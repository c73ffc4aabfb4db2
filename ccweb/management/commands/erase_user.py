"""manage.py erase_user: the right to erasure (GDPR, article 17)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from ccweb.api.user_ids import user_id_argument
from ccweb.privacy import erase_user
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments.rfm.run_lock import Busy


class Command(BaseCommand):
    """Erases one user; the last line of output is the receipt."""

    help = (
        "Erase a user: actions, visits, segment, undelivered messages and streak are deleted, their history is kept "
        "under a random number, consumers are notified on topic_user_erasures, later events of the user are refused "
        "with 410. A killed erasure is completed by running it again. Backups and data that consumers derived from "
        "earlier messages are not erased."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user_id", type=user_id_argument)

    def handle(self, *, user_id: int, **options: Any) -> None:
        try:
            receipt = erase_user(user_id)
        except (Busy, OperationalError) as error:
            raise CommandError(f"nothing was erased, try again: {error}", returncode=75) from None
        except DependencyUnavailable as error:
            raise CommandError(f"erased except for the streak, run it again for that: {error}", returncode=75) from None
        counts = ", ".join(f"{name} {count}" for name, count in sorted(receipt.items()))
        self.stdout.write(f"erase_user: user {user_id} is erased ({counts})")
