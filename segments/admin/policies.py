"""The admin pages of RFM policies, recommendation policies and the kill switch."""

from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from ccweb.admin.model_admins import ReadOnlyAdmin
from segments.admin.policy_forms import OFFERS, RfmPolicyForm
from segments.admin.revisions import RevisionAdmin
from segments.models import KillSwitch, RecommendationPolicy, RfmPolicy
from segments.publishing import forecast_policies, publish_policies, refusals_of
from segments.recommendations.kill_switch import engage_kill_switch, release_kill_switch
from segments.recommendations.preview import Preview, assess
from segments.rfm.policies import type_warnings
from segments.rules.presets import PRESETS


@admin.register(RfmPolicy)
class RfmPolicyAdmin(RevisionAdmin):
    """RFM policies. A published revision is used from the next run on."""

    form = RfmPolicyForm
    content = RfmPolicy.CONTENT
    preview_template = "segments/preview_rfm.html"
    list_display = ("revision", "active", "kind", "window_days", "groups", "created_at", "created_by", "note")

    @admin.display(description="Groups")
    def groups(self, policy: RfmPolicy) -> str:
        return ", ".join(policy.scoring_groups())

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A draft also has the recommendation rules that are published with it."""
        if obj or not self._may_offer(request):
            return super().get_fields(request, obj)
        return (*self.content, OFFERS, "note")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Without those rules for who may not publish them."""
        form = super().get_form(request, obj, change, **kwargs)
        if not self._may_offer(request):
            form.base_fields.pop(OFFERS, None)
        return form

    def _may_offer(self, request: HttpRequest) -> bool:
        return request.user.has_perm("segments.add_recommendationpolicy")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The content of the active revision, or of a preset (?preset=ten)."""
        initial = super().get_changeform_initial_data(request)
        if preset := PRESETS.get(request.GET.get("preset", "")):
            draft = RfmPolicy(**preset.rfm)
            return {field: getattr(draft, field) for field in self.content} | {OFFERS: preset.recommendation_rules}
        return initial

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form, with the presets that one can start from and the meaning of their groups."""
        return super().add_view(request, form_url, {"presets": PRESETS.values()} | (extra_context or {}))

    def preview(self, revision: Any, content: dict[str, Any]) -> dict[str, Any]:
        """How many users a run as of now would move, and what a day's answers would be. Writes nothing."""
        active = RecommendationPolicy.objects.active()
        offers = self._offers(content)
        draft = RecommendationPolicy(**{field: getattr(active, field) for field in active.CONTENT} | (offers or {}))
        if refusals := refusals_of(revision, draft):
            raise ValidationError(refusals)
        found = forecast_policies(revision, draft)
        if found.answers.refusals:
            raise ValidationError(found.answers.refusals)
        moved = sum(move.users for move in found.groups.moves)
        colors = {rule.name: rule.color for rule in revision.group_rules}
        return {
            "users": found.groups.users,
            "moved": moved,
            "moves": found.groups.moves,
            "groups": [(name, colors[name], users) for name, users in found.groups.groups.items()],
            "answers": found.answers,
            "offers": offers,
            "warnings": type_warnings(revision),
        }

    def publish(self, *, created_by: str, note: str, **content: Any) -> RfmPolicy:
        offers = self._offers(content)
        rfm = {field: content[field] for field in self.content}
        published = publish_policies(rfm=rfm, recommendation=offers, created_by=created_by, note=note)
        return cast(RfmPolicy, published.rfm)

    def _offers(self, content: dict[str, Any]) -> dict[str, Any] | None:
        """The content of a new recommendation policy; None if the rules are those in force."""
        active, rules = RecommendationPolicy.objects.active(), content.get(OFFERS)
        if rules is None or rules == active.rules:
            return None
        return {field: getattr(active, field) for field in active.CONTENT} | {"rules": rules}


@admin.register(RecommendationPolicy)
class RecommendationPolicyAdmin(RevisionAdmin):
    """Recommendation policies. All workers use a published revision within 1 s."""

    content = RecommendationPolicy.CONTENT
    preview_template = "segments/preview_recommendation.html"

    def preview(self, revision: Any, content: dict[str, Any]) -> Preview:
        """Whose answer would change, from what to what; ValidationError for too many expected rewards."""
        assessment = assess(revision)
        if assessment.refusals:
            raise ValidationError(assessment.refusals)
        return assessment

    def publish(self, *, created_by: str, note: str, **content: Any) -> RecommendationPolicy:
        published = publish_policies(recommendation=content, created_by=created_by, note=note)
        return cast(RecommendationPolicy, published.recommendation)


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
