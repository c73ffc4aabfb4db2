"""The jobs of the scheduler process. Each closes its database connection at its end."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db import close_old_connections, connection
from django_apscheduler.models import DjangoJobExecution

from ccweb.api.shop_clock import batch_due as daily_due
from segments.models import RfmRun
from segments.rfm import clock
from segments.rfm.run_lock import Busy
from segments.rfm.runs import AlreadyDone, carry_out_requested, compute_rfm_and_update_segments

KEEP_EXECUTIONS = timedelta(days=30)
LOCK_RETRY_SECONDS = 1.0
ERROR_LENGTH = 900  # django-apscheduler fails to store more than 1,000 characters

finished: Counter[str] = Counter()  # runs that this process committed, by kind
stop = threading.Event()


class JobFailed(Exception):
    """A job's error, short enough for django-apscheduler. The run stores it too."""


def daily_is_missing() -> bool:
    """Whether no run as of the last daily run that was due, or of later, has been committed."""
    return not RfmRun.objects.done().filter(as_of__gte=daily_due(clock.present())).exists()


def run_daily() -> None:
    """Make the last daily run that was due, unless it is done. Of several missed runs only the last is made."""
    kind, as_of = RfmRun.Kind.DAILY, daily_due(clock.present())
    _when_free(partial(compute_rfm_and_update_segments, kind=kind, as_of=as_of))


def run_startup() -> None:
    """Make a run as of now."""
    _when_free(partial(compute_rfm_and_update_segments, kind=RfmRun.Kind.STARTUP))


def run_requested() -> None:
    """Carry out the oldest run that staff requested."""
    if run := RfmRun.objects.requested().first():
        _when_free(partial(carry_out_requested, run))


def prune_executions() -> None:
    """Delete executions older than KEEP_EXECUTIONS."""
    DjangoJobExecution.objects.delete_old_job_executions(int(KEEP_EXECUTIONS.total_seconds()))
    connection.close()


def _when_free(work: Callable[[], RfmRun]) -> None:
    """Do the work as soon as no other run is in progress; return without it when the process is to stop."""
    close_old_connections()
    try:
        while not stop.is_set():
            try:
                finished[work().kind] += 1
                return
            except AlreadyDone:
                return
            except Busy:
                stop.wait(LOCK_RETRY_SECONDS)
    except Exception as error:
        raise JobFailed(f"{type(error).__name__}: {error}"[:ERROR_LENGTH]) from error
    finally:
        connection.close()
