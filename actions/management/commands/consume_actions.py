"""manage.py consume_actions: see what is in Kafka."""

import os
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand

from actions.kafka.consumer import print_messages


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("expected a whole number from 1 on")
    return int(text)


class Command(BaseCommand):
    """A consumer for the console."""

    help = "Print messages, one JSON a line, from the group's last commit on (the first time from the beginning)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--from-beginning, --limit, --group."""
        parser.add_argument("--from-beginning", action="store_true", help="print all again, whatever was committed")
        parser.add_argument("--limit", type=positive, help="end after so many messages")
        parser.add_argument("--group", default="ccweb-console", help="the consumer group (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """SIGTERM, Ctrl-C and a closed pipe end it cleanly; all words go to stderr, so that stdout is pure JSON."""
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        try:
            printed = print_messages(
                group=options["group"],
                from_beginning=options["from_beginning"],
                limit=options["limit"],
                out=sys.stdout,
                say=lambda text: self.stderr.write(f"consume_actions: {text}"),
                stop=stop,
            )
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its exit
            self.stderr.write("consume_actions: nobody reads any more")
        else:
            self.stderr.write(f"consume_actions: printed {printed}")
