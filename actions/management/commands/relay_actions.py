"""manage.py relay_actions: take the outbox to Kafka."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from actions.models import OutboxMessage
from actions.relay.relay import Relay


class Command(BaseCommand):
    """The relay as a process of its own."""

    help = "Deliver what is not yet in Kafka, for ever, or with --once until nothing waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--once."""
        parser.add_argument("--once", action="store_true", help="end when nothing waits any more")

    def handle(self, *args: Any, **options: Any) -> None:
        """SIGTERM and Ctrl-C finish the batch in hand, which takes at most 10 s."""
        relay = Relay()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: relay.stop.set())
        relay.run(until_empty=options["once"])
        counts = f"delivered {relay.delivered}, quarantined {relay.quarantined}, waiting {waiting()}"
        self.stdout.write(f"relay_actions: {counts}")


def waiting() -> str:
    """How many messages are left, as far as the database tells."""
    try:
        return str(OutboxMessage.objects.waiting().count())
    except DatabaseError:  # the relay has logged it
        return "unknown"
