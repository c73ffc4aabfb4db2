"""Actions and the outbox, for staff."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from actions.models import OutboxMessage, UserAction
from ccweb.api.admin import ReadOnlyAdmin


@admin.register(UserAction)
class UserActionAdmin(ReadOnlyAdmin):
    """Operators may add an action, which is published like any other; nobody edits or deletes one."""

    list_display = ("id", "user_id", "action_type", "value", "action_timestamp", "received_at")
    search_fields = ("=user_id",)
    search_help_text = "A user_id"
    fields = ("user_id", "action_type", "value", "action_timestamp", "event_id")

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """By the ordinary permission."""
        return request.user.has_perm("actions.add_useraction")


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """What Kafka has not confirmed yet."""

    list_display = ("id", "topic", "key", "created_at", "quarantined_at", "error")
    search_fields = ("=key",)
    search_help_text = "A user_id"
