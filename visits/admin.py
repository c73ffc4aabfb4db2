"""Admin of site visits."""

from django.contrib import admin

from ccweb.admin.model_admins import ReadOnlyAdmin
from visits.models import SiteVisit


@admin.register(SiteVisit)
class SiteVisitAdmin(ReadOnlyAdmin):
    list_display = ("id", "user_id", "source", "visit_timestamp", "recorded_by")
    sortable_by = ("id",)  # any other order would sort the whole table
    search_fields = ("user_id",)
    search_help_text = "A user_id"
