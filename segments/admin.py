"""Segments, runs and changes, for staff."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from ccweb.api.admin import LargeTableAdmin, ReadOnlyAdmin
from segments import filters
from segments.models import RfmRun, RiskChange, RiskProfile, SegmentChange, UserSegment
from segments.risk import set_risk_profile


@admin.register(UserSegment)
class UserSegmentAdmin(LargeTableAdmin):
    """Where users stand. Only the risk profile is staff's to set; the batch writes the rest."""

    list_display = (
        "user_id",
        "rfm_group",
        "risk_profile",
        "recency_score",
        "frequency_score",
        "monetary_score",
        "frequency",
        "monetary",
        "last_action_at",
        "story",
    )
    list_filter = (
        filters.GroupFilter,
        "risk_profile",
        filters.RecencyFilter,
        filters.FrequencyFilter,
        filters.MonetaryFilter,
        filters.LastActionFilter,
        filters.LeavingFilter,
    )
    search_fields = ("=user_id",)
    search_help_text = "A user_id"
    fields = ("risk_profile",)

    @admin.display(description="Story")
    def story(self, segment: UserSegment) -> str:
        """The way to the user's page."""
        return format_html('<a href="{}">why?</a>', reverse("admin:user", args=[segment.pk]))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One action a risk profile."""
        actions: dict[str, Any] = super().get_actions(request)
        if not self.has_change_permission(request):
            return actions
        for profile in RiskProfile:
            name = f"set_{profile.name.lower()}"
            actions[name] = (partial(_set_profile, profile), name, f"Set the risk profile {profile}")
        return actions

    def save_model(self, request: HttpRequest, obj: UserSegment, form: Any, change: bool) -> None:
        """Through the write door, which keeps the history."""
        set_risk_profile(user_ids=[obj.pk], risk_profile=obj.risk_profile, by=request.user.get_username())

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Users appear by what they do."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UserSegment | None = None) -> bool:
        """They disappear by manage.py erase_user."""
        return False


def _set_profile(
    profile: RiskProfile, model_admin: UserSegmentAdmin, request: HttpRequest, segments: QuerySet[UserSegment]
) -> None:
    user_ids = list(segments.values_list("pk", flat=True))
    changed = set_risk_profile(user_ids=user_ids, risk_profile=profile, by=request.user.get_username())
    model_admin.log_change(request, segments[0], f"Risk profile {profile} for {changed} of {len(user_ids)} users.")
    messages.success(request, f"{changed} of {len(user_ids)} users now have the risk profile {profile}.")


@admin.register(RfmRun)
class RfmRunAdmin(ReadOnlyAdmin):
    """What the batch did, and what it is doing."""

    list_display = ("id", "kind", "status", "as_of", "policy", "users", "active", "changed", "lapsed", "finished_at")
    list_filter = ("kind", "status")


@admin.register(SegmentChange)
class SegmentChangeAdmin(ReadOnlyAdmin):
    """Who moved from which group to which."""

    list_display = ("id", "user_id", "from_group", "to_group", "changed_at", "run")
    list_select_related = ("run",)
    search_fields = ("=user_id",)
    search_help_text = "A user_id"


@admin.register(RiskChange)
class RiskChangeAdmin(ReadOnlyAdmin):
    """Who changed whose risk profile."""

    list_display = ("id", "user_id", "from_profile", "to_profile", "changed_by", "changed_at")
    search_fields = ("=user_id",)
    search_help_text = "A user_id"
