"""Runs of the RFM batch: score all users by a policy and write the rows that differ, in one transaction."""

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from segments.models import RfmPolicy, RfmRun
from segments.rfm import clock, user_ranges
from segments.rfm.batch import Outcome, gathered, write
from segments.rfm.counted import is_postgresql
from segments.rfm.high_water_mark import final_action_id
from segments.rfm.quantiles import quantile_cuts
from segments.rfm.run_lock import Busy, only_run
from segments.rules.scoring import Scoring

logger = logging.getLogger(__name__)
KILLED = "The process ended before the run did; nothing was written."
# Whether so few rows were written since the last VACUUM that another one would take longer than it saves.
IS_VACUUMED = """SELECT COALESCE(last_vacuum, last_autovacuum) IS NOT NULL
    AND n_ins_since_vacuum + n_dead_tup <= 0.005 * n_live_tup
    FROM pg_stat_user_tables WHERE relid = 'user_actions'::regclass"""
FENCE = "Another process has closed this run; nothing was written."


class AlreadyDone(Exception):
    """The daily run of that day, or a later run, is committed already; nothing was done."""


class Fenced(Exception):
    """Another process marked the run as failed while this process was suspended; nothing was written."""


def compute_rfm_and_update_segments(
    *,
    as_of: datetime | None = None,
    kind: str = RfmRun.Kind.MANUAL,
    policy: RfmPolicy | None = None,
    requested_by: str = "",
) -> RfmRun:
    """Score all users by their actions up to as_of (UTC, default now) and return the committed run.

    The rows depend on the stored actions, the policy and as_of only, not on earlier runs: a run as of an earlier moment
    than the last one's moves users back.

    Raises Busy when another run is in progress, AlreadyDone for a second daily run of a day. Any other error leaves all
    segments unchanged and stores the run as failed, with the error.
    """
    run = RfmRun(kind=kind, as_of=as_of, policy=policy, requested_by=requested_by)
    with only_run():
        return _carry_out(run)


def carry_out_requested(run: RfmRun) -> RfmRun:
    """Carry out a run that request_rfm_run stored. Raises as compute_rfm_and_update_segments does."""
    with only_run():
        return _carry_out(run)


def request_rfm_run(*, requested_by: str, policy: RfmPolicy | None = None) -> RfmRun:
    """Request a run from the scheduler. It starts within seconds or after the run in progress, as of its start.

    Raises Busy while another request waits.
    """
    if RfmRun.objects.requested().exists():
        raise Busy("another requested run waits for the scheduler")
    return RfmRun.objects.create(
        kind=RfmRun.Kind.REQUESTED, status=RfmRun.Status.REQUESTED, policy=policy, requested_by=requested_by
    )


def preview_rfm(
    *,
    as_of: datetime | None = None,
    policy: RfmPolicy | None = None,
    look: Callable[[Outcome], object] = lambda outcome: None,
) -> Outcome:
    """What a run would change, as of a moment (UTC, default now) and by a policy (default: the active one).

    `look` is called while the table rfm_difference holds the rows that would be written.
    """
    as_of, policy = as_of or clock.run_moment(), policy or RfmPolicy.objects.active()
    with transaction.atomic(), gathered(_scoring(policy, as_of), as_of) as outcome:
        look(outcome)
        return outcome


def _carry_out(run: RfmRun) -> RfmRun:
    RfmRun.objects.running().update(status=RfmRun.Status.FAILED, error=KILLED, finished_at=timezone.now())
    _start(run)
    try:
        final_id = _prepare()
        with transaction.atomic():
            _score_all(run, final_id)
    except BaseException as error:
        _record_failure(run, error)
        raise
    logger.info("%s: %s rows written, groups %s", run, run.changed, run.groups)
    return run


def _start(run: RfmRun) -> None:
    if run.kind == RfmRun.Kind.DAILY and RfmRun.objects.done().filter(as_of__gte=run.as_of).exists():
        raise AlreadyDone(f"a run as of {run.as_of} or later is done")
    run.started_at = timezone.now()
    run.as_of = run.as_of or (clock.run_moment() if clock.is_of_data() else run.started_at)
    run.status = RfmRun.Status.RUNNING
    run.save()


def _prepare() -> int | None:
    """VACUUM, without which the index-only scan of the window reads the table too; returns final_action_id()."""
    if is_postgresql() and not connection.in_atomic_block:
        analyze = "" if user_ranges.are_known() else ", ANALYZE"
        with connection.cursor() as cursor:
            cursor.execute(IS_VACUUMED)
            if analyze or not cursor.fetchone()[0]:
                cursor.execute(f"VACUUM (SKIP_LOCKED, TRUNCATE FALSE{analyze}) user_actions")
    return final_action_id()


def _score_all(run: RfmRun, final_id: int | None) -> None:
    assert run.as_of is not None  # noqa: S101 - set by _start
    run.policy = run.policy or RfmPolicy.objects.active()
    scoring = _scoring(run.policy, run.as_of)
    run.cuts = scoring.cuts.to_json()
    with gathered(scoring, run.as_of) as outcome:
        if outcome.changed:
            write(run, scoring, moment=timezone.now())
    run.users, run.active, run.changed, run.lapsed = outcome.users, outcome.active, outcome.changed, outcome.lapsed
    run.groups, run.scores = outcome.groups, outcome.scores
    run.seen_action_id = outcome.seen or None if final_id is None else final_id
    _finish(run)


def _finish(run: RfmRun) -> None:
    run.status, run.finished_at = RfmRun.Status.DONE, timezone.now()
    if not RfmRun.objects.running().filter(pk=run.pk).exists():
        raise Fenced(FENCE)
    run.save()


def _record_failure(run: RfmRun, error: BaseException) -> None:
    connection.close_if_unusable_or_obsolete()
    try:
        RfmRun.objects.running().filter(pk=run.pk).update(
            status=RfmRun.Status.FAILED, error=f"{type(error).__name__}: {error}"[:1000], finished_at=timezone.now()
        )
    except DatabaseError:
        logger.exception("%s failed, and the failure could not be recorded; the next run will", run)


def _scoring(policy: RfmPolicy, as_of: datetime) -> Scoring:
    if policy.kind == RfmPolicy.Kind.FIXED:
        return policy.scoring()
    return policy.scoring(quantile_cuts(as_of, policy.counting, policy.shares_below))
