"""django-apscheduler's pages, read-only: its own "run now" works in the web request and past the lock."""

from django.contrib import admin
from django_apscheduler.admin import DjangoJobAdmin as _  # noqa: F401  registers what is registered anew below
from django_apscheduler.models import DjangoJob, DjangoJobExecution

from ccweb.admin.model_admins import ReadOnlyAdmin

admin.site.unregister([DjangoJob, DjangoJobExecution])


@admin.register(DjangoJob)
class JobAdmin(ReadOnlyAdmin):
    """What the scheduler will do next."""

    list_display = ("id", "next_run_time")
    fields = ("id", "next_run_time")  # not the pickled job


@admin.register(DjangoJobExecution)
class JobExecutionAdmin(ReadOnlyAdmin):
    """What it did; what came out of a run is told by the RFM runs."""

    list_display = ("id", "job", "status", "run_time", "duration", "exception")
    list_filter = ("status",)
    list_select_related = ("job",)
