"""When RFM runs: daily at 02:00 UTC, once shortly after the start, and when staff ask for it.

One process leads, the others stand by and take over within seconds of its end. The leader's loop only keeps the lead
and hands out work: one thread of APScheduler's makes the daily run, one more thread everything else.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from time import monotonic

import psycopg
from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from django.db import DatabaseError, close_old_connections
from django_apscheduler.jobstores import DjangoJobStore

from ccweb.db.leader_election import PING_INTERVAL_SECONDS, Lead
from segments.models import RfmRun
from segments.schedule.jobs import (
    DAILY_HOUR,
    daily_is_missing,
    prune_executions,
    run_daily,
    run_requested,
    run_startup,
    stop,
)

logger = logging.getLogger(__name__)
DAILY_JOB = "compute_rfm_and_update_segments"
PRUNING_JOB = "prune_executions"
MISFIRE_GRACE_TIME = timedelta(hours=12)  # a daily run that is so late is still made
CATCH_UP_INTERVAL_SECONDS = 600.0  # seconds between two looks for a daily run that was missed or failed


class Scheduler:
    """The scheduler process: `run` until `stop` is set."""

    def __init__(self) -> None:
        self.lead = Lead("scheduler")
        self.leads: bool | None = None  # not known yet
        self.jobs: BackgroundScheduler | None = None
        self.worker = ThreadPoolExecutor(1, "rfm")
        self.at_work: Future[None] | None = None
        self.started_up = False
        self._looked_at = -CATCH_UP_INTERVAL_SECONDS

    def run(self) -> None:
        """Keep or await the lead, twice a second, whatever the database does."""
        while not stop.is_set():
            try:
                self.step()
            except (DatabaseError, psycopg.OperationalError) as error:
                logger.error("the scheduler cannot reach the database and tries again: %s", str(error).strip())
                stop.wait(PING_INTERVAL_SECONDS)
            stop.wait(PING_INTERVAL_SECONDS)
        self.close()

    def step(self) -> None:
        """Lead if possible, and then start what is to be done; never waits for work."""
        close_old_connections()
        led, self.leads = self.leads, self.lead.hold()
        if not self.leads:
            if led is not False:
                logger.info("another scheduler leads, this one stands by")
            self._retire(wait=False)
            return
        if self.jobs is None:
            self.jobs = _registered_jobs()
        if (self.at_work is None or self.at_work.done()) and (work := self._next_work()):
            self.at_work = self.worker.submit(_logged, work)

    def close(self) -> None:
        """Let the work in hand end, then let another process lead."""
        self._retire(wait=True)
        self.worker.shutdown()
        self.lead.release()

    def _next_work(self) -> Callable[[], None] | None:
        if monotonic() - self._looked_at >= CATCH_UP_INTERVAL_SECONDS:
            self._looked_at = monotonic()
            if daily_is_missing():
                return run_daily
        if not self.started_up:
            self.started_up = True
            return run_startup
        return run_requested if RfmRun.objects.requested().exists() else None

    def _retire(self, *, wait: bool) -> None:
        if self.jobs is not None:
            self.jobs.shutdown(wait=wait)
            self.jobs = None


def _registered_jobs() -> BackgroundScheduler:
    """APScheduler at work with our jobs, under ids of our own, so that a restart replaces them."""
    jobs = BackgroundScheduler(
        jobstores={"default": DjangoJobStore()},
        executors={"default": JobExecutor(1)},
        job_defaults={
            "coalesce": True,
            "max_instances": 1,
            "misfire_grace_time": int(MISFIRE_GRACE_TIME.total_seconds()),
        },
        timezone="UTC",
    )
    jobs.add_job(run_daily, "cron", hour=DAILY_HOUR, id=DAILY_JOB, replace_existing=True)
    jobs.add_job(prune_executions, "cron", hour=DAILY_HOUR + 1, id=PRUNING_JOB, replace_existing=True)
    jobs.start()
    return jobs


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # noqa: BLE001 - nobody reads the future's error
        logger.exception("%s failed; the run says why", work.__name__)
