"""Admin of actions, outbox messages and hourly counts."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import ngettext

from actions.models import HourlyCount, OutboxMessage, OutboxQuerySet, UserAction
from actions.relay.relay import resend
from ccweb.admin.model_admins import ReadOnlyAdmin


@admin.register(UserAction)
class UserActionAdmin(ReadOnlyAdmin):
    """Staff may add an action, which is published like any other. Actions are never edited or deleted here."""

    list_display = (
        *("id", "user_id", "action_type", "value", "action_timestamp", "order_id", "received_at", "recorded_by"),
    )
    sortable_by = ("id",)  # any other order would sort the whole table
    search_fields = ("user_id",)
    search_help_text = "A user_id"
    fields = ("user_id", "action_type", "value", "action_timestamp", "order_id", "event_id", "recorded_by")
    readonly_fields = ("recorded_by",)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return request.user.has_perm("actions.add_useraction")


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """Messages that Kafka has not confirmed yet."""

    list_display = ("id", "topic", "key", "created_at", "quarantined_at", "error")
    sortable_by = ("id",)
    list_filter = (("quarantined_at", admin.EmptyFieldListFilter),)
    actions = ("resend",)
    search_fields = ("key",)
    search_help_text = "A user_id"

    @admin.action(description="Re-send selected quarantined messages", permissions=["resend"])
    def resend(self, request: HttpRequest, messages: OutboxQuerySet) -> None:
        """Queue the selected messages again at their old position; Kafka may reject them again."""
        ids = list(messages.quarantined().values_list("pk", flat=True))
        first = messages[0]  # read now: afterwards a filter of the list may no longer match
        count = resend(messages)
        self.log_change(request, first, f"Re-sent quarantined messages: {ids[:50]}.")
        text = ngettext(
            "%d message is queued for the relay again.", "%d messages are queued for the relay again.", count
        )
        self.message_user(request, text % count)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """The change permission, which has no other use: messages are never edited."""
        return request.user.has_perm("actions.change_outboxmessage")


@admin.register(HourlyCount)
class HourlyCountAdmin(ReadOnlyAdmin):
    """Delivered actions per hour."""

    list_display = ("hour", "actions")
