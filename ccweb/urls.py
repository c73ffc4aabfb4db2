"""The URL configuration: the API under /api, the admin under /admin."""

import sys

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path, register_converter
from django.views import defaults
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from ccweb.api.problems import UNFORESEEN, no_such_resource, plain_problem, unavailable
from ccweb.api.schema import SchemaView
from ccweb.api.user_ids import UserIdConverter
from ccweb.db.errors import database_is_away
from ccweb.health import healthz, readyz
from ccweb.metrics import metrics

register_converter(UserIdConverter, "user_id")

api: list[URLPattern | URLResolver] = [
    path("", include("actions.urls")),
    path("", include("visits.urls")),
    path("", include("segments.urls")),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="ccweb/docs.html"), name="docs"),
    re_path("", no_such_resource),  # Django's own 404 is an HTML page when DEBUG is on
]
urlpatterns = [
    path("api/", include(api)),
    path("api", no_such_resource, name="api"),
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}ccweb/icon.svg"), name="favicon"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for requests that Django refuses before a view, such as a wrong Host."""
    return plain_problem(400, "The request is malformed.")


def handler500(request: HttpRequest) -> HttpResponse:
    """500 for errors outside a view: JSON under /api, a page elsewhere; the traceback is in the log."""
    if database_is_away(error := sys.exc_info()[1]):  # raised in a middleware
        return unavailable(request, error)
    if request.path.startswith("/api/"):
        return plain_problem(500, UNFORESEEN)
    return defaults.server_error(request)
