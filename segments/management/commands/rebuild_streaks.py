"""manage.py rebuild_streaks: write all streaks from user_actions to Redis."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments.streaks import CommandRefused, RebuildFailed, rebuild


class Command(BaseCommand):
    """Idempotent: one statement over user_actions."""

    help = (
        "Recompute all streaks from user_actions and write them to Redis. Keys of users without a streak are not "
        "changed. The web process does the same by itself after Redis lost data."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show a progress bar on a terminal, then print one summary line."""
        began = time.monotonic()
        try:
            with tqdm(unit=" streaks", disable=not sys.stderr.isatty()) as bar:
                written = rebuild(report=bar.update)
        except (RebuildFailed, DependencyUnavailable, CommandRefused) as error:
            raise CommandError(f"the streaks are not rebuilt: {error}") from None
        self.stdout.write(f"rebuild_streaks: {written} streaks written in {time.monotonic() - began:.1f} s")
