"""manage.py relay_actions: publish the outbox to Kafka."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from actions.models import OutboxMessage
from actions.relay.relay import Relay
from ccweb.api.restored import RestoredDatabase
from ccweb.server import process_endpoint


class Command(BaseCommand):
    help = "Publish the outbox to Kafka continuously, or with --once until no message is waiting."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="exit when no message is waiting")

    def handle(self, *args: Any, **options: Any) -> None:
        """SIGTERM and Ctrl-C end it after the current batch, within 10 s."""
        relay = Relay()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: relay.stop.set())
        if not options["once"]:  # it may run beside the relay process, which has the port
            process_endpoint.serve(lambda: relay.turned_at)
        try:
            relay.run(until_empty=options["once"])
        except RestoredDatabase as error:
            raise CommandError(str(error)) from None
        counts = f"delivered {relay.delivered}, quarantined {relay.quarantined}, waiting {waiting()}"
        self.stdout.write(f"relay_actions: {counts}")


def waiting() -> str:
    """The number of waiting messages, or "unknown" when the database does not answer."""
    try:
        return str(OutboxMessage.objects.waiting().count())
    except DatabaseError:  # the relay has logged it
        return "unknown"
