"""URLs of /api/actions."""

from django.urls import path

from actions.views import ActionViewSet

urlpatterns = [
    path("actions", ActionViewSet.as_view({"get": "list", "post": "create"}), name="actions"),
    path("actions/<event_id>", ActionViewSet.as_view({"get": "retrieve"}), name="action"),
]
