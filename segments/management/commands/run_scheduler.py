"""manage.py run_scheduler: the scheduler of RFM runs as a process."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ccweb.api.restored import RestoredDatabase
from ccweb.server import process_endpoint
from segments.schedule.jobs import finished, stop
from segments.schedule.scheduler import Scheduler


class Command(BaseCommand):
    """Several may run: one is the leader, the others take over when it ends."""

    help = (
        "Make the RFM runs: daily at 02:00 in SHOP_TIME_ZONE, once shortly after the start, and those requested in the "
        "admin."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """SIGTERM and Ctrl-C wait for the run in progress."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        scheduler = Scheduler()
        process_endpoint.serve(lambda: scheduler.turned_at)
        try:
            scheduler.run()
        except RestoredDatabase as error:
            raise CommandError(str(error)) from None
        runs = ", ".join(f"{number} {kind}" for kind, number in sorted(finished.items())) or "no"
        self.stdout.write(f"run_scheduler: stopped after {runs} RFM run(s)")
