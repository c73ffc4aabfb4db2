"""The base of the policies' admin pages: a draft starts from the active revision and is previewed before publishing."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import JSONField
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from ccweb.admin.model_admins import ReadOnlyAdmin
from segments.models import Revision

LISTS = ("rules", "invariants")


class LineByLine(json.JSONEncoder):
    """JSON encoder that writes a list of objects with one object per line."""

    def encode(self, o: Any) -> str:
        if not (isinstance(o, list) and o and all(isinstance(item, dict) for item in o)):
            return super().encode(o)
        return "[" + ",\n ".join(super(LineByLine, self).encode(item) for item in o) + "]"


class RevisionAdmin(ReadOnlyAdmin):
    """Admin of revisions, which are added and never edited. Subclasses set `content`, the fields of a revision."""

    content: tuple[str, ...] = ()
    preview_template = ""
    list_display: tuple[str, ...] = ("revision", "active", "created_at", "created_by", "note")
    add_form_template = "segments/revision_form.html"
    change_form_template = "segments/revision_view.html"

    def preview(self, revision: Any, content: dict[str, Any]) -> Any:
        """The context of `preview_template`: what publishing a draft would change. Raises ValidationError if unsafe.

        `content` is the cleaned data of the form.
        """
        raise NotImplementedError

    def publish(self, *, created_by: str, note: str, **content: Any) -> Revision:
        """Publish the revision by the write function of its policy. Raises ValidationError."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.add_{self.opts.model_name}")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A published revision also shows its author, its time and whether it is active."""
        return (*self.content, "note", "active", "created_at", "created_by") if obj else (*self.content, "note")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Show JSON fields with one object per line."""
        if isinstance(db_field, JSONField):
            kwargs |= {"encoder": LineByLine, "widget": forms.Textarea({"rows": 6 if db_field.name in LISTS else 1})}
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The content of the active revision."""
        return model_to_dict(self.model._default_manager.active(), fields=self.content)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form. A POST is a preview, unless it carries the signature of exactly this content from a preview."""
        if request.method != "POST" or not self.has_add_permission(request):
            return super().add_view(request, "#outcome", extra_context)
        form = self.get_form(request)(request.POST)
        context: dict[str, Any] = {"form": form}
        if form.is_valid():
            seal = _seal(form.cleaned_data)
            try:
                if "_publish" in request.POST and constant_time_compare(request.POST.get("seal", ""), seal):
                    return self._published(request, form.cleaned_data)
                context |= {"seal": seal, "preview": self.preview(form.save(commit=False), form.cleaned_data)}
            except ValidationError as error:
                context["refusals"] = error.messages
        return self._form_page(request, form, context)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """A published revision, read-only, with the button that publishes it again."""
        again = f"admin:{self.opts.app_label}_{self.opts.model_name}_again"
        return super().change_view(request, object_id, form_url, {"again_url": again} | (extra_context or {}))

    def _form_page(self, request: HttpRequest, form: forms.ModelForm, context: dict[str, Any]) -> HttpResponse:
        fieldsets: Any = list(self.get_fieldsets(request))
        page = {
            **self.admin_site.each_context(request),
            "title": f"Add {self.opts.verbose_name}",
            "adminform": AdminForm(form, fieldsets, {}, (), model_admin=self),
            "errors": AdminErrorList(form, []),
            "inline_admin_formsets": [],
            "media": self.media + form.media,
            "preview_template": self.preview_template,
            "form_url": "#outcome",
            **context,
        }
        return self.render_change_form(request, page, add=True)

    def _published(self, request: HttpRequest, content: dict[str, Any]) -> HttpResponse:
        before = self.model._default_manager.active()
        revision = self.publish(created_by=request.user.get_username(), **content)
        self.log_addition(request, revision, f"Published; revision {before.revision} was in force before.")
        self.message_user(request, f"Revision {revision.revision} is in force.", messages.SUCCESS)
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def get_urls(self) -> list[URLPattern]:
        """Add the URL that publishes an old revision again."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_again"
        return [path("<int:pk>/again/", self.admin_site.admin_view(self.again), name=name), *super().get_urls()]

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Publish the content of an old revision as a new one. It is validated like any other draft."""
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        old = get_object_or_404(self.model, pk=pk)
        content = {field: getattr(old, field) for field in self.content}
        try:
            return self._published(request, content | {"note": f"Back to revision {old.revision}."})
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:index"))


def _seal(content: dict[str, Any]) -> str:
    """A signature of the previewed content: publishing accepts only what was previewed."""
    return salted_hmac("policy preview", repr(sorted(content.items())), algorithm="sha256").hexdigest()
