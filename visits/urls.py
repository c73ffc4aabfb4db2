"""URLs of /api/notify/site_visit and /api/site-visits."""

from django.urls import path

from visits.views import VisitViewSet

urlpatterns = [
    path("notify/site_visit", VisitViewSet.as_view({"post": "create"}), name="notify-site-visit"),
    path("site-visits", VisitViewSet.as_view({"get": "list"}), name="site-visits"),
]
