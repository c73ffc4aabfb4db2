"""The admin pages of users' segments and of changes of risk profile."""

from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from ccweb.admin.csv_export import csv_response
from ccweb.admin.model_admins import LargeTableAdmin, ReadOnlyAdmin
from ccweb.api.user_ids import typed_user_id
from ccweb.events.erasure import UserErased, erased_among
from segments.admin import list_filters
from segments.forecasts.exits import Exit, Forecast, UnknownGroup
from segments.models import RiskChange, RiskProfile, UserSegment
from segments.recommendations.risk_profiles import set_risk_profile
from segments.rfm import clock

EXPORTED = [field.attname for field in UserSegment._meta.concrete_fields]


def _score(dimension: str) -> Any:
    """A list column for one score, headed R, F or M to save width."""

    @admin.display(description=dimension[0].upper(), ordering=f"{dimension}_score")
    def column(segment: UserSegment) -> int:
        score: int = getattr(segment, f"{dimension}_score")
        return score

    return column


@admin.register(UserSegment)
class UserSegmentAdmin(LargeTableAdmin):
    """Users' segments. Staff set the risk profile only; the RFM batch writes the other fields."""

    list_display = (
        "user_id",
        "rfm_group",
        "risk_profile",
        _score("recency"),
        _score("frequency"),
        _score("monetary"),
        "frequency",
        "monetary",
        "last_action_at",
        "user_page",
    )
    list_filter = (
        list_filters.GroupFilter,
        "risk_profile",
        list_filters.RecencyFilter,
        list_filters.FrequencyFilter,
        list_filters.MonetaryFilter,
        list_filters.LastActionFilter,
        list_filters.LeavingFilter,
    )
    search_fields = ("user_id",)
    search_help_text = "A user_id"
    fields = ("risk_profile",)
    change_list_template = "segments/segment_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("export.csv", view(self.export), name="segments_usersegment_export"),
            path("exits.csv", view(self.export_exits), name="segments_usersegment_exits"),
            *super().get_urls(),
        ]

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show ten pages at most under the exit filter, which reads the actions of each user it looks at."""
        paginator: Any = super().get_paginator(request, *args, **kwargs)
        if list_filters.LeavingFilter.parameter_name in request.GET:
            paginator.most = 1000
        return paginator

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The filtered list as CSV, streamed in full."""
        self._require_view_permission(request)
        self._log_export(request, f"Segments exported, filter {request.GET.urlencode() or 'none'}.")
        rows = self.get_changelist_instance(request).get_queryset(request)
        return csv_response("segments.csv", EXPORTED, rows.values_list(*EXPORTED).iterator(chunk_size=5000))

    def export_exits(self, request: HttpRequest) -> HttpResponseBase:
        """The users who leave a group within LEAVING_DAYS, as CSV. 404 for an unknown group."""
        self._require_view_permission(request)
        group = request.GET.get("group", "")
        try:
            forecast = Forecast(group=group, days=list_filters.LEAVING_DAYS, now=clock.present())
        except UnknownGroup as error:
            raise Http404(str(error)) from None
        self._log_export(request, f"Exits of group {group} exported.")
        return csv_response("exits.csv", Exit._fields, forecast.exits())

    def _require_view_permission(self, request: HttpRequest) -> None:
        """admin_view asks only whether the user is staff."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _log_export(self, request: HttpRequest, text: str) -> None:
        LogEntry.objects.create(
            user=cast(User, request.user),
            content_type=ContentType.objects.get_for_model(UserSegment),
            object_repr="export",
            action_flag=CHANGE,  # LogEntry has no flag for exports
            change_message=text,
        )

    @admin.display(description="User page")
    def user_page(self, segment: UserSegment) -> str:
        """A link to the page that explains this user's segment."""
        return format_html('<a href="{}">explain</a>', reverse("admin:user", args=[segment.pk]))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One bulk action per risk profile."""
        actions: dict[str, Any] = super().get_actions(request)
        if not self.has_change_permission(request):
            return actions
        for profile in RiskProfile:
            name = f"set_{profile.name.lower()}"
            actions[name] = (partial(_set_profile, profile), name, f"Set the risk profile {profile}")
        return actions

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form; a user who was erased since it was opened is told as such."""
        try:
            return super().change_view(request, *args, **kwargs)
        except UserErased as error:
            messages.error(request, str(error))
            return redirect("admin:segments_usersegment_changelist")

    def save_model(self, request: HttpRequest, obj: UserSegment, form: Any, change: bool) -> None:
        """Set the risk profile by the function that also records its history."""
        by = request.user.get_username()
        if set_risk_profile(user_ids=[obj.pk], risk_profile=obj.risk_profile, by=by).erased:
            raise UserErased

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are created by RFM runs and by the API."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UserSegment | None = None) -> bool:
        """Rows are deleted by manage.py erase_user."""
        return False


def _set_profile(
    profile: RiskProfile, model_admin: UserSegmentAdmin, request: HttpRequest, segments: QuerySet[UserSegment]
) -> None:
    # Evaluated first: the list's filter may no longer match after the update.
    user_ids = list(segments.values_list("pk", flat=True))
    by = request.user.get_username()
    with transaction.atomic():  # an erasure waits for the log entry, which names the users
        done = set_risk_profile(user_ids=user_ids, risk_profile=profile, by=by)
        erased = done.erased | erased_among(_selected(request))  # their rows may be gone since the list was read
        kept = [user_id for user_id in user_ids if user_id not in erased]
        if first := UserSegment.objects.filter(pk__in=kept).first():
            text = f"Risk profile {profile} for {done.changed} of {len(kept)} users: {kept[:50]}."
            model_admin.log_change(request, first, text)
    text = f"{done.changed} of {len(kept) + len(erased)} users now have the risk profile {profile}"
    if erased:
        messages.warning(request, f"{text}; {len(erased)} left out, because their data was erased.")
    else:
        messages.success(request, f"{text}.")


def _selected(request: HttpRequest) -> list[int]:
    """The users who are ticked in the list; none if all of its pages are chosen."""
    ticked = map(typed_user_id, request.POST.getlist(ACTION_CHECKBOX_NAME))
    return [user_id for user_id in ticked if user_id is not None]


@admin.register(RiskChange)
class RiskChangeAdmin(ReadOnlyAdmin):
    """Changes of risk profile: user, author, old and new profile."""

    list_display = ("id", "user_id", "from_profile", "to_profile", "changed_by", "changed_at")
    sortable_by = ("id",)  # any other order would sort the whole table
    search_fields = ("user_id",)
    search_help_text = "A user_id"
