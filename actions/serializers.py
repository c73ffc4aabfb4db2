"""Serializer of actions."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from actions.models import ACTION_TYPE, ORDER_ID_LENGTH
from ccweb.api.fields import EventIdField, InstantField, PatternField, PrintableField, UserIdField, ValueField
from ccweb.api.serializers import StrictSerializer

PURCHASE = {"user_id": 42, "action_type": "purchase", "value": "19.99", "order_id": "A-1001"}


class OrderIdField(PrintableField):
    """The order that an action belongs to; null without one."""

    json_type = str | None

    def clean(self, data: Any) -> Any:
        return None if data is None else super().clean(data)


@extend_schema_serializer(
    examples=[
        OpenApiExample("One action", PURCHASE, request_only=True),
        OpenApiExample("A list", [PURCHASE, {"user_id": 43, "action_type": "login"}], request_only=True),
    ]
)
class ActionSerializer(StrictSerializer):
    """An action of a user: its type, value and time, and the order it belongs to."""

    user_id = UserIdField()
    action_type = PatternField(ACTION_TYPE, "A letter, then letters, digits, _ . : - (1 to 64 characters).")
    value = ValueField(required=False)
    action_timestamp = InstantField(required=False)
    order_id = OrderIdField(ORDER_ID_LENGTH, required=False, allow_null=True)
    event_id = EventIdField(required=False)
