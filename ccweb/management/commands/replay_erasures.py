"""manage.py replay_erasures: after a restore, erase again whom the restore brought back."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from tqdm import tqdm

from actions.kafka.topic_reader import TopicUnreadable
from actions.models import RECEIPTS
from actions.relay.set_back import receipts_in_kafka
from ccweb.api.restored import How, record
from ccweb.events.receipts import Receipt, parse_receipt
from ccweb.redis.circuit_breaker import DependencyUnavailable
from ccweb.replay import OtherKey, Replay, replay_erasures
from segments import streaks
from segments.rfm.run_lock import BUSY_EXIT, Busy


class Command(BaseCommand):
    """Exit codes: 0 done, 1 the receipts cannot be used (nothing changed), 75 not finished, run it again."""

    help = (
        "Erase again the users whom a restored backup brought back, by the receipts of their erasures. Until this was "
        "done or waived, the web process, the relay and the scheduler refuse to start on a restored database. Running "
        "it again is harmless."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("file", nargs="?", type=Path, help="what manage.py export_erasures wrote")
        source.add_argument("--from-kafka", action="store_true", help=f"read the topic {RECEIPTS}")
        source.add_argument("--waive", metavar="REASON", help="replay nothing; the reason is stored with the decision")

    def handle(self, *, file: Path | None, waive: str | None, **options: Any) -> None:
        if waive is not None:
            record(How.WAIVED, waive)
            self.stdout.write(f"replay_erasures: nothing replayed, waived: {waive}")
            return
        receipts = self._from_kafka() if file is None else list(self._from_file(file))
        self.stdout.write(f"replay_erasures: {self._replay(receipts)}")

    def _from_kafka(self) -> list[Receipt]:
        try:
            return list(receipts_in_kafka())
        except TopicUnreadable as error:
            raise CommandError(f"nothing was replayed: {error}") from None

    def _from_file(self, file: Path) -> Iterator[Receipt]:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"nothing was replayed: cannot read {file}: {error}") from None
        for number, line in enumerate(lines, start=1):
            try:
                yield parse_receipt(line)
            except ValueError as error:
                raise CommandError(f"nothing was replayed: {file}, line {number}: {error}") from None

    def _replay(self, receipts: list[Receipt]) -> Replay:
        try:
            streaks.is_complete()  # asks Redis before any user is erased: no rerun finds a streak without rows
            with tqdm(unit=" users", desc="looking for erased users", disable=not sys.stderr.isatty()) as bar:
                return replay_erasures(receipts, report=bar.update)
        except OtherKey as error:
            raise CommandError(f"nothing was replayed: {error}") from None
        except (Busy, OperationalError, DependencyUnavailable) as error:
            raise CommandError(f"not finished, run it again: {error}", returncode=BUSY_EXIT) from None
