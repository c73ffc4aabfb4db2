"""manage.py import_actions: load a CSV file of actions."""

import signal
import sys
import time
from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from actions.csv_import.cells import BadLine, action_type_of
from actions.csv_import.importer import Tally, import_actions
from actions.csv_import.reader import ActionReader, BadRow, Columns, UnreadableFile

SHOWN_BAD_LINES = 1_000
SECONDS_BETWEEN_LINES = 10


class Command(BaseCommand):
    """Parse, import, one summary line; bad lines go to stderr by number and do not change the exit code."""

    help = (
        "Load a CSV file of actions in bulk. A header line is required; the columns are user_id, action_timestamp, "
        "value, action_type and event_id (the last may be missing: then the same line of the same file always gets "
        "the same one) unless told otherwise. A rerun adds only what is missing. Nothing is published to Kafka "
        "without --publish. The exit code is 0 unless the file cannot be read or no line of it is good."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="UTF-8, comma-separated, with a header line")
        parser.add_argument("--user-column", default="user_id", metavar="C")
        parser.add_argument("--time-column", default="action_timestamp", metavar="C", help="a zone left out is UTC")
        parser.add_argument("--value-column", default="", metavar="C", help="default: value, or 0 where there is none")
        parser.add_argument("--action-type", default="", metavar="NAME", help="of every line, instead of a column")
        parser.add_argument("--publish", action="store_true", help="send the new actions to Kafka as well")

    def handle(self, *, file: Path, **options: Any) -> None:
        columns = Columns(
            user=options["user_column"],
            time=options["time_column"],
            value=options["value_column"],
            action_type=self._action_type(options["action_type"]),
        )
        tally = self._import(file, columns, options["publish"])
        self.stdout.write(f"import_actions: {tally}")
        if tally.read and tally.bad == tally.read:
            raise CommandError(f"no line of {file} could be imported")

    def _action_type(self, name: str) -> str:
        try:
            return name and action_type_of(name)
        except BadLine as error:
            raise CommandError(f"--action-type: {error}") from None

    def _import(self, file: Path, columns: Columns, publish: bool) -> Tally:
        tally = Tally()
        self.left_out = 0
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            # Undecodable bytes become lone surrogates, which no cell rule accepts: a bad line, not the end.
            with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                reader = ActionReader(lines, columns)
                with closing(Progress(file, lines)) as progress:
                    for tally in import_actions(rows=reader, publish=publish, report=self._report):
                        progress.show(tally)
        except (OSError, UnreadableFile) as error:
            raise CommandError(f"cannot import {file}: {getattr(error, 'strerror', None) or error}") from None
        except (DatabaseError, KeyboardInterrupt) as error:
            why = str(error).strip() or "interrupted"
            raise CommandError(
                f"stopped half-way, at least this is done: {tally}. Run it again to add the rest. Cause: {why}"
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


class Progress:
    """How far into the file the import is, on stderr: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, file: Path, lines: TextIO) -> None:
        self._source = lines.buffer
        self._size = file.stat().st_size if lines.seekable() else 0  # a pipe has no size and no place
        self._bar = tqdm(total=self._size or None, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES

    def show(self, tally: Tally) -> None:
        """Tell how far it is, if it is time to."""
        done = self._source.tell() if self._size else 0
        self._bar.set_postfix_str(f"{tally.read} lines", refresh=False)
        self._bar.update(done - self._bar.n)
        if self._bar.disable and time.monotonic() > self._due:
            self._due = time.monotonic() + SECONDS_BETWEEN_LINES
            share = f", {100 * done // self._size} % of the file" if self._size else ""
            sys.stderr.write(f"import_actions: {tally}{share}\n")

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
