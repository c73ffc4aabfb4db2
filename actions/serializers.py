"""One action as JSON, in and out."""

from actions.models import ACTION_TYPE
from ccweb.api.fields import EventIdField, InstantField, PatternField, UserIdField, ValueField
from ccweb.api.serializers import StrictSerializer


class ActionSerializer(StrictSerializer):
    """An action: who did what, when, and what it was worth."""

    user_id = UserIdField()
    action_type = PatternField(ACTION_TYPE, "A letter, then letters, digits, _ . : - (1 to 64 characters).")
    value = ValueField(required=False)
    action_timestamp = InstantField(required=False)
    event_id = EventIdField(required=False)
