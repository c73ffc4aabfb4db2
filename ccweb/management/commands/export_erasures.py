"""manage.py export_erasures: the receipts of all erasures, to be kept outside the database and its backups."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from actions.models import RECEIPTS
from actions.outbox import queue_message
from ccweb.events.receipts import stored_receipts


class Command(BaseCommand):
    """New receipts reach Kafka by themselves; --to-kafka is for those of earlier releases, and for a new Kafka."""

    help = (
        "Write the receipts of all erasures, one JSON object a line, for manage.py replay_erasures after a restore. "
        "They hold no user_id. Keep the file where no restore sets it back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("file", nargs="?", help="- is stdout")
        target.add_argument(
            "--to-kafka", action="store_true", help=f"publish all of them to the topic {RECEIPTS} again"
        )

    def handle(self, *, file: str | None, **options: Any) -> None:
        receipts = list(stored_receipts())
        if file is None:
            with transaction.atomic():
                for receipt in receipts:
                    queue_message(RECEIPTS, receipt.token, receipt.as_json())
        else:
            self._write(file, "".join(f"{receipt.as_json()}\n" for receipt in receipts))
        where = "queued for Kafka" if file is None else f"written to {'stdout' if file == '-' else file}"
        self.stderr.write(f"export_erasures: {len(receipts)} receipts {where}")

    def _write(self, file: str, lines: str) -> None:
        if file == "-":
            sys.stdout.write(lines)
            return
        try:
            Path(file).write_text(lines)
        except OSError as error:
            raise CommandError(f"cannot write {file}: {error.strerror}") from None
