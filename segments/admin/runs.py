"""The admin pages of RFM runs and of the changes of group that they made."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from ccweb.admin.model_admins import ReadOnlyAdmin
from ccweb.api.shop_clock import shop_zone
from segments.models import RfmRun, SegmentChange
from segments.rfm.run_lock import Busy
from segments.rfm.runs import request_rfm_run


@admin.register(RfmRun)
class RfmRunAdmin(ReadOnlyAdmin):
    """RFM runs with their results, and a button that requests one."""

    change_list_template = "segments/run_list.html"
    change_form_template = "segments/run_view.html"
    list_display = (
        "id",
        "kind",
        "status",
        "as_of",
        "shop_time",
        "policy",
        "users",
        "active",
        "changed",
        "lapsed",
        "finished_at",
    )
    list_filter = ("kind", "status")

    @admin.display(description="As of, in the shop")
    def shop_time(self, run: RfmRun) -> str:
        """The same in SHOP_TIME_ZONE; the other times are UTC."""
        zone = shop_zone()
        return f"{run.as_of.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}" if run.as_of else "-"

    def get_urls(self) -> list[URLPattern]:
        return [path("now/", self.admin_site.admin_view(self.now), name="segments_rfmrun_now"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Tell the template whether the user may request a run."""
        return super().changelist_view(request, {"may_request": self._may_request(request)} | (extra_context or {}))

    def now(self, request: HttpRequest) -> HttpResponse:
        """Request a run from the scheduler process and redirect to it. Refused while another requested run waits."""
        if request.method != "POST" or not self._may_request(request):
            raise PermissionDenied
        try:
            run = request_rfm_run(requested_by=request.user.get_username())
        except Busy as error:
            messages.error(request, f"{error}: nothing was requested.")
            return redirect("admin:segments_rfmrun_changelist")
        self.log_addition(request, run, "Requested a run.")
        return redirect("admin:segments_rfmrun_change", run.pk)

    def _may_request(self, request: HttpRequest) -> bool:
        return request.user.has_perm("segments.add_rfmrun")


@admin.register(SegmentChange)
class SegmentChangeAdmin(ReadOnlyAdmin):
    """Changes of group by user and run."""

    list_display = ("id", "user_id", "from_group", "to_group", "changed_at", "run")
    list_select_related = ("run",)
    sortable_by = ("id",)  # any other order would sort the whole table
    search_fields = ("user_id",)
    search_help_text = "A user_id"
