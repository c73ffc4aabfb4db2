"""manage.py compute_rfm: run the RFM batch now, or preview it."""

import json
import time
from argparse import ArgumentTypeError
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from ccweb.admin.csv_export import csv_lines
from ccweb.api.instants import format_instant, parse_typed_instant
from segments.models import RfmPolicy, RfmRun
from segments.rfm import clock
from segments.rfm.batch import DIFFERENCE_COLUMNS, Outcome, differing_rows
from segments.rfm.run_lock import BUSY_EXIT, Busy
from segments.rfm.runs import compute_rfm_and_update_segments, preview_rfm

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
FIGURES = ("users", "active", "changed", "lapsed", "groups")


def instant(text: str) -> datetime:
    """An aware datetime from ISO 8601. A date is midnight UTC, a time without offset is UTC."""
    try:
        parsed = parse_typed_instant(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not ISO 8601, such as 2026-01-31T02:00:00Z or 2026-01-31") from None
    if parsed < EARLIEST:
        raise ArgumentTypeError(f"{text!r} is before {EARLIEST.year}")
    return parsed


class Command(BaseCommand):
    """Exit codes: 0 done, 1 failed (nothing written), 75 another run is in progress."""

    help = __doc__ = "Computes scores and groups of all users and writes the rows that differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as-of", type=instant, metavar="ISO", help="later actions do not count (default: now)")
        parser.add_argument("--policy", type=int, metavar="N", help="policy revision (default: the active one)")
        parser.add_argument(
            "--dry-run", action="store_true", help="only print how many users would move from which group to which"
        )
        parser.add_argument(
            "--export", type=Path, metavar="FILE", help="with --dry-run: write the rows that would change as CSV"
        )
        parser.add_argument(
            "--force", action="store_true", help="also as of an earlier moment than the last run's: users move back"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["export"] and not options["dry_run"]:
            raise CommandError("--export is for --dry-run; the rows of a run are in the admin and the API")
        begin = time.monotonic()
        as_of = options["as_of"] or clock.run_moment()
        self._check(as_of, may_go_back=options["force"] or options["dry_run"])
        policy = self._policy(options["policy"])
        outcome = self._outcome(as_of, policy, options["dry_run"], options["export"])
        report = {"as_of": format_instant(as_of), "policy": policy.revision, "dry_run": options["dry_run"]}
        report |= {name: getattr(outcome, name) for name in FIGURES}
        if isinstance(outcome, Outcome):
            report["moves"] = [{"from": m.from_group, "to": m.to_group, "users": m.users} for m in outcome.moves]
        report["duration"] = round(time.monotonic() - begin, 3)
        if outcome.users and not outcome.active:
            self._say_where_the_data_end(as_of, policy)
        self.stdout.write(json.dumps(report) if options["json"] else as_text(report))

    def _check(self, as_of: datetime, *, may_go_back: bool) -> None:
        if as_of > timezone.now():
            raise CommandError(f"--as-of {format_instant(as_of)} is in the future: everybody would lapse")
        last = RfmRun.objects.done().first()
        if last and last.as_of and as_of < last.as_of and not may_go_back:
            raise CommandError(
                f"the last run was as of {format_instant(last.as_of)}, later than {format_instant(as_of)}: users would "
                "move back. --dry-run shows who; --force does it"
            )

    def _policy(self, revision: int | None) -> RfmPolicy:
        try:
            return RfmPolicy.objects.active() if revision is None else RfmPolicy.objects.get(revision=revision)
        except RfmPolicy.DoesNotExist:
            which = "active RFM policy" if revision is None else f"RFM policy with revision {revision}"
            raise CommandError(f"there is no {which}") from None

    def _outcome(self, as_of: datetime, policy: RfmPolicy, dry_run: bool, export: Path | None) -> Outcome | RfmRun:
        try:
            if dry_run:
                with export.open("w", newline="") if export else nullcontext() as file:
                    return preview_rfm(as_of=as_of, policy=policy, look=partial(write_rows, file))
            return compute_rfm_and_update_segments(as_of=as_of, policy=policy)
        except Busy as busy:
            raise CommandError(f"{busy}: nothing was done", returncode=BUSY_EXIT) from None
        except OSError as error:
            raise CommandError(f"cannot write {export}: {error.strerror}") from None
        except DatabaseError as error:
            raise CommandError(f"the run failed, all segments are unchanged: {error}") from error

    def _say_where_the_data_end(self, as_of: datetime, policy: RfmPolicy) -> None:
        """Old data: nobody is active, which is true but seldom what was meant."""
        if (end := clock.data_end(as_of)) is not None:
            self.stderr.write(
                f"No activity within {policy.window_days} days of {format_instant(as_of)}: the data end at "
                f"{format_instant(end)}. As of then: manage.py compute_rfm --as-of {format_instant(end)} --force "
                "(RFM_AS_OF=data: every run)"
            )


def write_rows(file: TextIO | None, outcome: Outcome) -> None:
    """Write the gathered rows as CSV with a header, if there is a file."""
    if file:
        file.writelines(csv_lines(DIFFERENCE_COLUMNS, differing_rows()))


def as_text(report: dict[str, Any]) -> str:
    """The moves, one per line, and the summary line."""
    moves = [f"{m['from']} -> {m['to']}: {m['users']}" for m in report.get("moves", [])]
    groups = ", ".join(f"{name} {users}" for name, users in report["groups"].items())
    summary = (
        f"{'dry run' if report['dry_run'] else 'RFM'} as of {report['as_of']}, policy {report['policy']}: "
        f"{report['users']} users ({groups}), {report['active']} active, {report['changed']} "
        f"{'would change' if report['dry_run'] else 'changed'}, {report['lapsed']} lapsed, {report['duration']} s"
    )
    return "\n".join([*moves, summary])
