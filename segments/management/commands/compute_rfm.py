"""manage.py compute_rfm: run the RFM batch now, or preview it."""

import json
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from ccweb.api.instants import format_instant, parse_typed_instant
from segments.models import RfmPolicy, RfmRun
from segments.rfm.batch import Outcome
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
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        begin = time.monotonic()
        as_of = options["as_of"] or timezone.now()
        policy = self._policy(options["policy"])
        outcome = self._outcome(as_of, policy, options["dry_run"])
        report = {"as_of": format_instant(as_of), "policy": policy.revision, "dry_run": options["dry_run"]}
        report |= {name: getattr(outcome, name) for name in FIGURES}
        if isinstance(outcome, Outcome):
            report["moves"] = [{"from": m.from_group, "to": m.to_group, "users": m.users} for m in outcome.moves]
        report["duration"] = round(time.monotonic() - begin, 3)
        self.stdout.write(json.dumps(report) if options["json"] else as_text(report))

    def _policy(self, revision: int | None) -> RfmPolicy:
        try:
            return RfmPolicy.objects.active() if revision is None else RfmPolicy.objects.get(revision=revision)
        except RfmPolicy.DoesNotExist:
            which = "active RFM policy" if revision is None else f"RFM policy with revision {revision}"
            raise CommandError(f"there is no {which}") from None

    def _outcome(self, as_of: datetime, policy: RfmPolicy, dry_run: bool) -> Outcome | RfmRun:
        try:
            if dry_run:
                return preview_rfm(as_of=as_of, policy=policy)
            return compute_rfm_and_update_segments(as_of=as_of, policy=policy)
        except Busy as busy:
            raise CommandError(f"{busy}: nothing was done", returncode=BUSY_EXIT) from None
        except DatabaseError as error:
            raise CommandError(f"the run failed, all segments are unchanged: {error}") from error


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
