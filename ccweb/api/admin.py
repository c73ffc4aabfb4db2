"""The admin of API keys."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import ngettext
from rest_framework_api_key.admin import APIKeyAdmin as _  # noqa: F401  registers what is unregistered below
from rest_framework_api_key.models import APIKey

from ccweb.api.models import SCOPES, ApiKey

AGAIN = (
    "This form has created the API key {} already. It cannot be shown again: if it is lost, revoke it and add another."
)
admin.site.unregister(APIKey)  # the library's own model, which this project does not use


class ApiKeyForm(forms.ModelForm):
    """Scopes as checkboxes. The form brings the prefix of its key along: sent twice, it makes one key."""

    scopes = forms.MultipleChoiceField(choices=[(s, s) for s in SCOPES], widget=forms.CheckboxSelectMultiple)
    new_prefix = forms.RegexField(
        r"\A[A-Za-z0-9]{8}\Z", required=False, widget=forms.HiddenInput, initial=ApiKey.objects.key_generator.get_prefix
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expiry_date", "revoked")


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """Keys can be added, changed and revoked; a revoked key stays as a record of who had access."""

    form = ApiKeyForm
    list_display = ("name", "prefix", "allows", "created", "expiry_date", "last_used_at", "revoked")
    list_filter = ("revoked",)
    search_fields = ("name", "prefix")
    readonly_fields = ("prefix", "created", "last_used_at")
    actions = ("revoke",)

    @admin.display(description="Scopes")
    def allows(self, key: ApiKey) -> str:
        """The scopes in one line."""
        return ", ".join(key.scopes)

    @admin.action(description="Revoke selected API keys (cannot be undone)", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        """Revoke the keys; within 1 s no process accepts them."""
        live = list(keys.filter(revoked=False))
        for key in live:
            key.revoked = True
            key.save(update_fields=["revoked"])
            self.log_change(request, key, "Revoked.")
        text = ngettext("%d API key was revoked.", "%d API keys were revoked.", len(live))
        self.message_user(request, text % len(live))

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        new = ("name", "scopes", "expiry_date")
        return (*new, "revoked", "prefix", "created", "last_used_at") if obj else (*new, "new_prefix")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key cannot be changed, so it cannot become valid again."""
        return super().has_change_permission(request, obj) and not (obj and obj.revoked)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: revoking a key has the same effect and keeps the record."""
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form, or the new key. A form that is sent again, by F5 or a double click, leads to the key it made."""
        try:
            return super().add_view(request, form_url, extra_context)
        except IntegrityError:
            key = ApiKey.objects.filter(prefix=request.POST.get("new_prefix")).first()
            if key is None:
                raise
            self.message_user(request, AGAIN.format(key.name), messages.WARNING)
            return redirect("admin:api_apikey_change", key.pk)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Generate the key of a new row; only its hash is stored. Raises IntegrityError if the prefix is taken."""
        if not change:
            prefix = form.cleaned_data["new_prefix"]
            request.new_api_key = ApiKey.objects.assign_key(obj, prefix)  # type: ignore[attr-defined]
        obj.save(force_insert=not change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key once. No redirect: the key would have to wait in a cookie, a URL or the database."""
        key = request.new_api_key  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "title": "API key created", "key": key, "row": obj}
        return TemplateResponse(request, "admin/api/apikey/created.html", context)
