"""manage.py import_actions: bulk import of actions from a CSV file."""

import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from actions.csv_import.cells import BadLine, action_type_of
from actions.csv_import.from_topic import TopicActions
from actions.csv_import.importer import Source, Tally, import_actions
from actions.csv_import.reader import ActionReader, BadRow, Columns, UnreadableFile
from actions.kafka.topic_reader import TopicReader, TopicUnreadable
from actions.models import TOPIC

SHOWN_BAD_LINES = 1_000
PROGRESS_INTERVAL_SECONDS = 10


class Command(BaseCommand):
    """Prints one summary line; bad lines are reported on stderr by number and do not change the exit code."""

    help = (
        "Import a CSV file of actions, or with --from-kafka those that a restored database lacks. A header line is "
        "required. The default columns are user_id, action_timestamp, value, action_type, order_id and event_id. "
        "Without it, the event_id is derived from the content of the line: the same file always gets the same ids. A "
        "rerun adds only what is missing. Nothing is published to Kafka without --publish. The exit code is 0 unless "
        "the source cannot be read or nothing in it is valid."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("file", nargs="?", type=Path, help="UTF-8, comma-separated, with a header line")
        source.add_argument(
            "--from-kafka",
            action="store_true",
            help=f"read back {TOPIC} from its beginning, after a restore; nothing is published again",
        )
        parser.add_argument("--user-column", default="user_id", metavar="C")
        parser.add_argument(
            "--time-column", default="action_timestamp", metavar="C", help="times without a zone are of SHOP_TIME_ZONE"
        )
        parser.add_argument("--value-column", default="", metavar="C", help="default: value, or 0 in a file without it")
        parser.add_argument(
            "--action-type", default="", metavar="NAME", help="the type of all lines, instead of a column"
        )
        parser.add_argument("--order-column", default="", metavar="C", help="default: order_id, if there is one")
        parser.add_argument("--publish", action="store_true", help="also publish the new actions to Kafka")

    def handle(self, *, file: Path | None, **options: Any) -> None:
        tally = self._from_kafka(options) if file is None else self._from_file(file, options)
        self.stdout.write(f"import_actions: {tally}")
        if tally.read and tally.bad == tally.read:
            raise CommandError(f"no {tally.unit} of {file or TOPIC} could be imported")

    def _from_file(self, file: Path, options: dict[str, Any]) -> Tally:
        columns = Columns(
            user=options["user_column"],
            time=options["time_column"],
            value=options["value_column"],
            action_type=self._action_type(options["action_type"]),
            order=options["order_column"],
        )
        try:
            # Undecodable bytes become lone surrogates, which no cell rule accepts: only this line is bad.
            with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                return self._import(ActionReader(lines, columns), progress_in(file, lines), publish=options["publish"])
        except (OSError, UnreadableFile) as error:
            raise CommandError(f"cannot import {file}: {getattr(error, 'strerror', None) or error}") from None

    def _from_kafka(self, options: dict[str, Any]) -> Tally:
        if options["publish"]:
            raise CommandError("--publish: what comes from Kafka is not published again")
        try:
            reader = TopicReader(TOPIC)
            return self._import(TopicActions(reader), Progress(reader.total, lambda: reader.done, " messages"))
        except TopicUnreadable as error:
            raise CommandError(f"cannot import from Kafka: {error}; run it again to add the rest") from None

    def _action_type(self, name: str) -> str:
        try:
            return name and action_type_of(name)
        except BadLine as error:
            raise CommandError(f"--action-type: {error}") from None

    def _import(self, source: Source, progress: "Progress", *, publish: bool = False) -> Tally:
        tally = Tally()
        self.left_out = 0
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with closing(progress):
                for tally in import_actions(rows=source, publish=publish, report=self._report):
                    progress.show(tally)
        except (DatabaseError, KeyboardInterrupt) as error:
            why = str(error).strip() or "interrupted"
            raise CommandError(
                f"the import was interrupted, committed at least: {tally}. Run it again to add the rest. Cause: {why}"
            ) from error
        finally:
            signal.signal(signal.SIGTERM, previous)
        return tally

    def _report(self, bad: BadRow) -> None:
        self.left_out += 1
        with tqdm.external_write_mode(file=sys.stderr):  # above the progress bar, not through it
            if self.left_out <= SHOWN_BAD_LINES:
                self.stderr.write(f"{bad.where}: {bad.why}")
            elif self.left_out == SHOWN_BAD_LINES + 1:
                self.stderr.write("further bad lines are counted, not shown")


def progress_in(file: Path, lines: TextIO) -> "Progress":
    """The progress in a file, in bytes."""
    if not lines.seekable():  # a pipe has neither size nor position
        return Progress(0, lambda: 0, "B")
    return Progress(file.stat().st_size, lines.buffer.tell, "B")


class Progress:
    """Progress on stderr: a bar on a terminal, otherwise a line every PROGRESS_INTERVAL_SECONDS.

    `size` is the size of the source (0: unknown), `position` returns how much of it was read; both in `unit`.
    """

    def __init__(self, size: int, position: Callable[[], int], unit: str) -> None:
        self._size, self._position = size, position
        self._bar = tqdm(total=size or None, unit=unit, unit_scale=True, disable=not sys.stderr.isatty())
        self._due = time.monotonic() + PROGRESS_INTERVAL_SECONDS

    def show(self, tally: Tally) -> None:
        """Update the bar, or print a line when the interval has passed."""
        done = self._position()
        self._bar.set_postfix_str(f"{tally.read} {tally.unit}s", refresh=False)
        self._bar.update(done - self._bar.n)
        if self._bar.disable and time.monotonic() > self._due:
            self._due = time.monotonic() + PROGRESS_INTERVAL_SECONDS
            share = f", {100 * done // self._size} % of the whole" if self._size else ""
            sys.stderr.write(f"import_actions: {tally}{share}\n")

    def close(self) -> None:
        """Close the bar, which stays on the terminal."""
        self._bar.close()
