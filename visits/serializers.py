"""One visit as JSON, in and out."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from ccweb.api.fields import EventIdField, InstantField, PrintableField, UserIdField
from ccweb.api.serializers import StrictSerializer


@extend_schema_serializer(
    examples=[OpenApiExample("One visit", {"user_id": 42, "source": "newsletter"}, request_only=True)]
)
class VisitSerializer(StrictSerializer):
    """A visit: who came, from where, when."""

    id = serializers.IntegerField(read_only=True)
    event_id = EventIdField(required=False)
    user_id = UserIdField()
    source = PrintableField(max_length=64)  # type: ignore[assignment]  # DRF's own attribute of that name is taken off
    visit_timestamp = InstantField(required=False)
