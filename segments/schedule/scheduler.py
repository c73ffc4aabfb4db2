"""The scheduler of RFM runs: daily at 02:00 in the shop, once shortly after the start, and when staff request one.

One process is the leader; the others wait and take over within seconds of its end. The leader's loop only renews the
lead and starts work: a thread of APScheduler makes the daily run, one more thread all other runs.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from time import monotonic

import psycopg
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_SUBMITTED
from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from ccweb.api.restored import refuse_restored
from ccweb.api.shop_clock import BATCH_TIME
from ccweb.db.leader_election import PING_INTERVAL_SECONDS, Lead
from segments.models import RfmRun
from segments.schedule.job_store import JobRows, warn_of_unknown_rows
from segments.schedule.jobs import (
    daily_is_missing,
    prune_executions,
    run_daily,
    run_requested,
    run_startup,
    stop,
)

logger = logging.getLogger(__name__)
# By id, under which executions are stored; and the hour of the shop at which each job begins.
JOBS: dict[str, tuple[Callable[[], None], int]] = {
    "compute_rfm_and_update_segments": (run_daily, BATCH_TIME.hour),
    "prune_executions": (prune_executions, BATCH_TIME.hour + 1),
}
MISFIRE_GRACE_TIME = timedelta(hours=12)  # a daily run up to this late is still made
CATCH_UP_INTERVAL_SECONDS = 600.0  # between two checks for a daily run that was missed or failed


class Scheduler:
    """The scheduler process; `run` returns when `stop` is set."""

    def __init__(self) -> None:
        self.lead = Lead("scheduler")
        self.leads: bool | None = None  # None: not known yet
        self.jobs: BackgroundScheduler | None = None
        self.worker = ThreadPoolExecutor(1, "rfm")
        self.at_work: Future[None] | None = None
        self.started_up = False
        self.turned_at = monotonic()  # when the last round began
        self._checked_at = -CATCH_UP_INTERVAL_SECONDS

    def run(self) -> None:
        """Keep or wait for the lead, checked twice a second. Database errors are logged and retried.

        Raises RestoredDatabase.
        """
        while not stop.is_set():
            try:
                self.step()
            except (DatabaseError, psycopg.OperationalError) as error:
                logger.error("the scheduler cannot reach the database and tries again: %s", str(error).strip())
                stop.wait(PING_INTERVAL_SECONDS)
            stop.wait(PING_INTERVAL_SECONDS)
        self.close()

    def step(self) -> None:
        """One round: keep or take the lead and, as the leader, start the next work. Never waits for work to end."""
        self.turned_at = monotonic()
        close_old_connections()
        was_leader, self.leads = self.leads, self.lead.hold()
        if not self.leads:
            if was_leader is not False:
                logger.info("another scheduler process is the leader, this one waits")
            self._stop_jobs(wait=False)
            return
        if self.jobs is None:
            refuse_restored()
            self.jobs = _registered_jobs()
        if (self.at_work is None or self.at_work.done()) and (work := self._next_work()):
            self.at_work = self.worker.submit(_logged, work)

    def close(self) -> None:
        """Wait until the work in progress has ended, then release the lead."""
        self._stop_jobs(wait=True)
        self.worker.shutdown()
        self.lead.release()

    def _next_work(self) -> Callable[[], None] | None:
        if monotonic() - self._checked_at >= CATCH_UP_INTERVAL_SECONDS:
            self._checked_at = monotonic()
            if daily_is_missing():
                return run_daily
        if not self.started_up:
            self.started_up = True
            return run_startup
        return run_requested if RfmRun.objects.requested().exists() else None

    def _stop_jobs(self, *, wait: bool) -> None:
        if self.jobs is not None:
            self.jobs.shutdown(wait=wait)
            self.jobs = None


def _registered_jobs() -> BackgroundScheduler:
    """A started APScheduler with JOBS."""
    jobs = BackgroundScheduler(
        jobstores={"default": JobRows()},
        executors={"default": JobExecutor(1)},
        job_defaults={
            "coalesce": True,
            "max_instances": 1,
            "misfire_grace_time": int(MISFIRE_GRACE_TIME.total_seconds()),
        },
        timezone=settings.SHOP_TIME_ZONE,
    )
    for job_id, (work, hour) in JOBS.items():
        jobs.add_job(work, "cron", hour=hour, id=job_id)
    warn_of_unknown_rows(JOBS)
    jobs.start()
    # After the listeners of the store, which write the execution: else each thread keeps a connection that is idle.
    jobs.add_listener(lambda event: connection.close(), EVENT_JOB_SUBMITTED | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    return jobs


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # noqa: BLE001 - the future's error is never read
        logger.exception("%s failed; the run says why", work.__name__)
