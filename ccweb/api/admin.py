"""The admin of API keys."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_api_key.admin import APIKeyAdmin as _  # noqa: F401  registers what is unregistered below
from rest_framework_api_key.models import APIKey

from ccweb.api.models import SCOPES, ApiKey

admin.site.unregister(APIKey)  # the library's own model, which this project does not use


class ApiKeyForm(forms.ModelForm):
    """Scopes as checkboxes."""

    scopes = forms.MultipleChoiceField(choices=[(s, s) for s in SCOPES], widget=forms.CheckboxSelectMultiple)

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
        self.message_user(request, f"{len(live)} API keys were revoked.")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        new = ("name", "scopes", "expiry_date")
        return (*new, "revoked", "prefix", "created", "last_used_at") if obj else new

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key cannot be changed, so it cannot become valid again."""
        return super().has_change_permission(request, obj) and not (obj and obj.revoked)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: revoking a key has the same effect and keeps the record."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Generate the key of a new row; only its hash is stored."""
        if not change:
            request.new_api_key = ApiKey.objects.assign_key(obj)  # type: ignore[attr-defined]
        obj.save()

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key once. No redirect: a message would put the key into a cookie."""
        key = request.new_api_key  # type: ignore[attr-defined]
        context = {**self.admin_site.each_context(request), "title": "API key created", "key": key, "row": obj}
        return TemplateResponse(request, "admin/api/apikey/created.html", context)
