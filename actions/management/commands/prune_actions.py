"""manage.py prune_actions: retention of actions."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from actions.pruning import prune_actions
from ccweb.api.arguments import MAX_DAYS, whole_number


class Command(BaseCommand):
    help = (
        "Delete actions older than DAYS, which is more than the window of the RFM policy. Lifetime figures of users "
        "then count what is left. It may be interrupted and run again at any time. A retry with the event_id of a "
        "deleted action is stored as a new action: keep at least MAX_ACTION_AGE_DAYS."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=whole_number(1, MAX_DAYS), required=True, metavar="DAYS")

    def handle(self, *, older_than: int, **options: Any) -> None:
        deleted = 0
        try:
            with tqdm(total=100, unit="%", desc="prune_actions", disable=None) as bar:
                for deleted, share in prune_actions(older_than_days=older_than):  # noqa: B007 - the last value is printed
                    bar.update(100 * share - bar.n)
        except ValueError as error:
            raise CommandError(f"--older-than: {error}") from None
        self.stdout.write(f"prune_actions: {deleted} actions older than {older_than} days deleted")
