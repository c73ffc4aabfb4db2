"""The scheduler's jobs and their rows for the admin. Nothing that a row holds is ever executed or unpickled.

django-apscheduler's own store pickles each job into `job_state` and unpickles it when it reads the row: whoever can
write to the table could have the scheduler execute any code.
"""

import logging
from collections.abc import Collection
from typing import Any

from apscheduler.job import Job
from django.db import Error
from django_apscheduler.jobstores import DjangoMemoryJobStore
from django_apscheduler.models import DjangoJob
from django_apscheduler.util import retry_on_db_operational_error

logger = logging.getLogger(__name__)
NO_STATE = b""


class JobRows(DjangoMemoryJobStore):
    """Keeps jobs in memory; writes the id and next run time of each into the database, and never reads a job there.

    The rows are what executions refer to. A row with an id that this process did not register is logged and left as it
    is: it is never executed, and its executions stay in the admin.
    """

    def add_job(self, job: Job) -> None:
        """Raises DatabaseError when the row cannot be written: without it no execution could be recorded."""
        super().add_job(job)
        _write_row(job)

    def update_job(self, job: Job) -> None:
        """Note the next run time; an error is logged, because it must not end APScheduler's thread."""
        super().update_job(job)
        try:
            _write_row(job)
        except Error as error:
            logger.error("the next run time of %s was not stored: %s", job.id, str(error).strip())


def warn_of_unknown_rows(known: Collection[str]) -> None:
    """Log each row whose id is not among the known ones."""
    for row_id in DjangoJob.objects.exclude(id__in=known).values_list("id", flat=True):
        logger.warning("django_apscheduler_djangojob holds %r, which is no job of this release: it is ignored", row_id)


@retry_on_db_operational_error  # type: ignore[untyped-decorator]
def _write_row(job: Job) -> None:
    values: dict[str, Any] = {"next_run_time": job.next_run_time, "job_state": NO_STATE}
    DjangoJob.objects.update_or_create(id=job.id, defaults=values)
