"""A second peer: a ModelViewSet of Django REST framework with the ORM, which produces in the view.

`granian --interface wsgi --factory django.core.wsgi:get_wsgi_application`, with the settings of drf_settings.py.
"""

import os
import uuid
from decimal import Decimal
from typing import Any

import redis
from confluent_kafka import Producer
from django.db import models
from django.urls import path
from django.utils import timezone
from rest_framework.decorators import api_view
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, ListSerializer, ModelSerializer
from rest_framework.viewsets import ModelViewSet

from tests.benchmarks.peer.rules import TOPIC, recommendation, streak_key

streaks = redis.Redis.from_url(os.environ["PEER_REDIS_URL"])
producer = Producer({"bootstrap.servers": os.environ["PEER_KAFKA_BROKER"], "acks": "all"})


class UserAction(models.Model):
    """user_actions"""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True, default=uuid.uuid4)
    user_id = models.BigIntegerField()
    action_type = models.CharField(max_length=64)
    value = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
    action_timestamp = models.DateTimeField(default=timezone.now)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label, db_table, managed = "peer", "user_actions", False


class UserSegment(models.Model):
    """The columns of user_segments that a recommendation needs."""

    user_id = models.BigIntegerField(primary_key=True)
    rfm_group = models.CharField(max_length=16)
    risk_profile = models.CharField(max_length=16)

    class Meta:
        app_label, db_table, managed = "peer", "user_segments", False


class Bulk(ListSerializer):
    """Lists by one INSERT, as the documents of Django REST framework propose; the default is one a row."""

    def create(self, validated_data: list[dict[str, Any]]) -> list[UserAction]:
        return UserAction.objects.bulk_create(UserAction(**fields) for fields in validated_data)


class ActionSerializer(ModelSerializer):
    """The bodies of request and response, and the message."""

    class Meta:
        model = UserAction
        fields = ("event_id", "user_id", "action_type", "value", "action_timestamp")
        read_only_fields = ("event_id",)
        list_serializer_class = Bulk


class ActionViewSet(ModelViewSet):
    """Stores and publishes one action, or a list."""

    queryset = UserAction.objects.all()
    serializer_class = ActionSerializer

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer:
        return super().get_serializer(*args, **kwargs, many=isinstance(kwargs.get("data"), list))

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save()
        for action in serializer.data if isinstance(serializer.data, list) else [serializer.data]:
            producer.produce(TOPIC, key=str(action["user_id"]), value=JSONRenderer().render(action))
            producer.poll(0)


@api_view(["GET"])
def recommend(request: Request, user_id: int) -> Response:
    """Recommend by one query and one Redis GET."""
    segment = UserSegment.objects.filter(user_id=user_id).first()
    group, risk = (segment.rfm_group, segment.risk_profile) if segment else ("Low", "Unknown")
    return Response(recommendation(user_id, group, risk, int(streaks.get(streak_key(user_id)) or 0)))


urlpatterns = [
    path("api/actions", ActionViewSet.as_view({"post": "create"})),
    path("api/actions/list", ActionViewSet.as_view({"post": "create"})),
    path("api/user-segments/<int:user_id>/recommendation", recommend),
]
