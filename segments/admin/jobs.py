"""The admin pages of scheduler jobs, read-only.

django-apscheduler's own "run now" would execute the job inside the web request, without the lock of RFM runs.
"""

from django.contrib import admin
from django_apscheduler.admin import DjangoJobAdmin as _  # noqa: F401  registers the models
from django_apscheduler.models import DjangoJob, DjangoJobExecution

from ccweb.admin.model_admins import ReadOnlyAdmin

admin.site.unregister([DjangoJob, DjangoJobExecution])


@admin.register(DjangoJob)
class JobAdmin(ReadOnlyAdmin):
    """The scheduler's jobs and when each runs next."""

    list_display = ("id", "next_run_time")
    fields = ("id", "next_run_time")  # without the pickled job


@admin.register(DjangoJobExecution)
class JobExecutionAdmin(ReadOnlyAdmin):
    """Past executions of the jobs. The result of an RFM run is in RfmRun."""

    list_display = ("id", "job", "status", "run_time", "duration", "exception")
    list_filter = ("status",)
    list_select_related = ("job",)
