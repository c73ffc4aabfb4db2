"""manage.py consume_actions: print the messages of the topic."""

import os
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand

from actions.kafka.consumer import print_messages
from ccweb.api.arguments import printable


def positive_int(text: str) -> int:
    """argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("expected a whole number of at least 1")
    return int(text)


class Command(BaseCommand):
    help = (
        "Print messages, one JSON document per line, starting after the last commit of the consumer group "
        "(a new group starts at the beginning)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from-beginning", action="store_true", help="print all messages, also those committed before"
        )
        parser.add_argument("--limit", type=positive_int, help="exit after this many messages")
        parser.add_argument(
            "--group", type=printable, default="ccweb-console", help="the consumer group (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """SIGTERM, Ctrl-C and a closed pipe end it with exit code 0; only JSON is written to stdout."""
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        try:
            printed = print_messages(
                group=options["group"],
                from_beginning=options["from_beginning"],
                limit=options["limit"],
                out=sys.stdout,
                report=lambda text: self.stderr.write(f"consume_actions: {text}"),
                stop=stop,
            )
        except BrokenPipeError:
            # Otherwise Python reports the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.stderr.write("consume_actions: stdout was closed by its reader")
        else:
            self.stderr.write(f"consume_actions: printed {printed}")
