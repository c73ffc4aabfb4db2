"""The admin pages of RFM policies, recommendation policies and the kill switch."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from ccweb.admin.model_admins import ReadOnlyAdmin
from segments.admin.revisions import RevisionAdmin
from segments.models import KillSwitch, RecommendationPolicy, RfmPolicy
from segments.recommendations.kill_switch import engage_kill_switch, release_kill_switch
from segments.recommendations.policies import publish_recommendation_policy
from segments.recommendations.preview import Preview, assess
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import preview_rfm


@admin.register(RfmPolicy)
class RfmPolicyAdmin(RevisionAdmin):
    """RFM policies. A published revision is used from the next run on."""

    content = ("kind", "recency_cuts", "frequency_cuts", "monetary_cuts", "rules")
    preview_template = "segments/preview_rfm.html"
    list_display = ("revision", "active", "kind", "created_at", "created_by", "note")

    def preview(self, revision: Any) -> dict[str, Any]:
        """How many users a run as of now would move from which group to which. Computes the batch, writes nothing."""
        outcome = preview_rfm(policy=revision)
        moved = sum(move.users for move in outcome.moves)
        return {"users": outcome.users, "moved": moved, "moves": outcome.moves, "groups": outcome.groups}

    def publish(self, **content: Any) -> RfmPolicy:
        return publish_rfm_policy(**content)


@admin.register(RecommendationPolicy)
class RecommendationPolicyAdmin(RevisionAdmin):
    """Recommendation policies. All workers use a published revision within 1 s."""

    content = (
        "rules",
        "streak_step",
        "floor",
        "cap",
        "default_probability",
        "default_time_window",
        "invariants",
    )
    preview_template = "segments/preview_recommendation.html"

    def preview(self, revision: Any) -> Preview:
        """Whose answer would change, from what to what; ValidationError for too many expected rewards."""
        assessment = assess(revision)
        if assessment.refusals:
            raise ValidationError(assessment.refusals)
        return assessment

    def publish(self, **content: Any) -> RecommendationPolicy:
        return publish_recommendation_policy(**content)


@admin.register(KillSwitch)
class KillSwitchAdmin(ReadOnlyAdmin):
    """The kill switch: adding a row engages it, a button on the list releases it."""

    list_display = ("engaged", "probability", "time_window", "engaged_at", "engaged_by", "note", "released_at")
    fields = ("probability", "time_window", "note")
    change_list_template = "segments/kill_switch_list.html"

    def get_urls(self) -> list[URLPattern]:
        release = path("release/", self.admin_site.admin_view(self.release), name="segments_killswitch_release")
        return [release, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return request.user.has_perm("segments.add_killswitch")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Without "Save and add another": only one switch can be engaged at a time."""
        one = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, one | (extra_context or {}))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Tell the template whether to show the release button."""
        context = {"engaged": KillSwitch.objects.engaged().exists(), "may_release": self._may_release(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Report a switch that is engaged already as a form error: the unique constraint would answer 500."""
        form = super().get_form(request, obj, change, **kwargs)

        class EngageForm(form):  # type: ignore[misc, valid-type]
            def clean(self) -> Any:
                if KillSwitch.objects.engaged().exists():
                    raise ValidationError("The kill switch is engaged already: release it first.")
                return super().clean()

        return EngageForm

    def save_model(self, request: HttpRequest, obj: KillSwitch, form: Any, change: bool) -> None:
        answer = {"probability": obj.probability, "time_window": obj.time_window}
        obj.pk = engage_kill_switch(by=request.user.get_username(), note=obj.note, **answer).pk

    def release(self, request: HttpRequest) -> HttpResponse:
        """Release the switch, so that the active policy answers again. POST only."""
        engaged = KillSwitch.objects.engaged().first()
        if request.method != "POST" or not self._may_release(request):
            raise PermissionDenied
        if release_kill_switch(by=request.user.get_username()) and engaged:
            self.log_change(request, engaged, "Released.")
            self.message_user(request, "The policy answers again.")
        return redirect("admin:segments_killswitch_changelist")

    def _may_release(self, request: HttpRequest) -> bool:
        return request.user.has_perm("segments.change_killswitch")
