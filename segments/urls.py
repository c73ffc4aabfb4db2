"""The URLs of /api/user-segments."""

from django.urls import path

from segments.views import HistoryViewSet, OutlookViewSet, RecommendationViewSet, UserSegmentViewSet

urlpatterns = [
    path("user-segments", UserSegmentViewSet.as_view({"get": "list"}), name="user-segments"),
    path(
        "user-segments/<user_id:user_id>",
        UserSegmentViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="user-segment",
    ),
    path(
        "user-segments/<user_id:user_id>/recommendation",
        RecommendationViewSet.as_view({"get": "retrieve"}),
        name="recommendation",
    ),
    path("user-segments/<user_id:user_id>/outlook", OutlookViewSet.as_view({"get": "retrieve"}), name="outlook"),
    path("user-segments/<user_id:user_id>/history", HistoryViewSet.as_view({"get": "list"}), name="history"),
]
