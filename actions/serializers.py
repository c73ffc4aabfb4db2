"""Serializer of actions."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from actions.models import ACTION_TYPE
from ccweb.api.fields import EventIdField, InstantField, PatternField, UserIdField, ValueField
from ccweb.api.serializers import StrictSerializer

PURCHASE = {"user_id": 42, "action_type": "purchase", "value": "19.99"}


@extend_schema_serializer(
    examples=[
        OpenApiExample("One action", PURCHASE, request_only=True),
        OpenApiExample("A list", [PURCHASE, {"user_id": 43, "action_type": "login"}], request_only=True),
    ]
)
class ActionSerializer(StrictSerializer):
    """An action of a user: its type, value and time."""

    user_id = UserIdField()
    action_type = PatternField(ACTION_TYPE, "A letter, then letters, digits, _ . : - (1 to 64 characters).")
    value = ValueField(required=False)
    action_timestamp = InstantField(required=False)
    event_id = EventIdField(required=False)
