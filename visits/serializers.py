"""Serializer of site visits."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from ccweb.api.fields import EventIdField, InstantField, PrintableField, UserIdField
from ccweb.api.serializers import StrictSerializer


@extend_schema_serializer(
    examples=[OpenApiExample("One visit", {"user_id": 42, "source": "newsletter"}, request_only=True)]
)
class VisitSerializer(StrictSerializer):
    """A visit of a user to the corporate site: its source and time."""

    id = serializers.IntegerField(read_only=True)
    event_id = EventIdField(required=False)
    user_id = UserIdField()
    source = PrintableField(max_length=64)  # type: ignore[assignment]  # hides an attribute of DRF's Field
    visit_timestamp = InstantField(required=False)
